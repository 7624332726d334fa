"""WORLD's Harvest with StoneMask refinement (pipeline spec 2.5; M. Morise, Interspeech 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbre.pitch.contract import PitchTrack
from timbre.pitch.world import CEILING_HZ, FLOOR_HZ, world_library, world_track


class HarvestTracker:
    """Follows pitch by Harvest: few gaps, calls much voiced that is not, slow."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def track(
        self, wave: NDArray[np.float32], sample_rate_hz: int, hop_samples: int, n_frames: int | None = None
    ) -> PitchTrack:
        """See `PitchTracker.track`."""
        return world_track(_harvest, self._library, wave, sample_rate_hz, hop_samples, n_frames)


def _harvest(
    library: Any, samples: NDArray[np.float64], sample_rate_hz: int, frame_period_ms: float
) -> NDArray[np.float64]:
    rough, times = library.harvest(
        samples, sample_rate_hz, f0_floor=FLOOR_HZ, f0_ceil=CEILING_HZ, frame_period=frame_period_ms
    )
    refined: NDArray[np.float64] = library.stonemask(samples, rough, times, sample_rate_hz)
    return refined


def load(voiced_threshold: float, device: str, weights_file: Path | None) -> HarvestTracker:
    """Make the tracker; WORLD decides on voicing itself and runs on the CPU, so the arguments have no effect.

    Raises MissingExtraError when pyworld is not installed.
    """
    return HarvestTracker(world_library("pitch tracker harvest"))
