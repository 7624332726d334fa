"""WORLD's DIO with StoneMask refinement (pipeline spec 2.4; M. Morise and others, AES 35th Conference, 2009)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbre.pitch.contract import PitchTrack
from timbre.pitch.world import CEILING_HZ, FLOOR_HZ, world_library, world_track


class DioTracker:
    """Follows pitch by DIO: fast, with gaps in rough passages; values are rounded to 0.1 Hz as of old."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def track(
        self, wave: NDArray[np.float32], sample_rate_hz: int, hop_samples: int, n_frames: int | None = None
    ) -> PitchTrack:
        """See `PitchTracker.track`."""
        return world_track(_dio, self._library, wave, sample_rate_hz, hop_samples, n_frames)


def _dio(
    library: Any, samples: NDArray[np.float64], sample_rate_hz: int, frame_period_ms: float
) -> NDArray[np.float64]:
    rough, times = library.dio(
        samples, sample_rate_hz, f0_floor=FLOOR_HZ, f0_ceil=CEILING_HZ, frame_period=frame_period_ms
    )
    refined = library.stonemask(samples, rough, times, sample_rate_hz)
    return np.array([round(float(value), 1) for value in refined])  # numpy's rounding differs in the last digit


def load(voiced_threshold: float, device: str, weights_file: Path | None) -> DioTracker:
    """Make the tracker; WORLD decides on voicing itself and runs on the CPU, so the arguments have no effect.

    Raises MissingExtraError when pyworld is not installed.
    """
    return DioTracker(world_library("pitch tracker dio"))
