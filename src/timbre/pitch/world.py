"""What dio and harvest share: calling the WORLD vocoder's library (pipeline spec 2.4 to 2.6)."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbre.errors import MissingExtraError
from timbre.pitch.contract import PitchTrack
from timbre.pitch.frame_grid import check_wave, frame_count, track_of, unvoiced_track
from timbre.pitch.gaps import resize

FLOOR_HZ = 50.0
CEILING_HZ = 1100.0
_SHORTEST_S = 0.02  # one period of the floor

WorldCall = Callable[[Any, NDArray[np.float64], int, float], NDArray[np.float64]]


def world_library(needed_for: str) -> Any:
    """Import pyworld; raises MissingExtraError when it, or the setuptools it needs, is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyworld reads its own version through the deprecated pkg_resources
        try:
            return importlib.import_module("pyworld")
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "pyworld", "pitch", needed_for) from error


def world_track(
    call: WorldCall,
    library: Any,
    wave: NDArray[np.float32],
    sample_rate_hz: int,
    hop_samples: int,
    n_frames: int | None,
) -> PitchTrack:
    """Follow pitch by `call`(library, samples float64, rate, frame period in ms), fitted to the frame grid."""
    check_wave(wave)
    count = frame_count(len(wave), sample_rate_hz, hop_samples, n_frames)
    if count == 0 or len(wave) < _SHORTEST_S * sample_rate_hz or not wave.any():
        return unvoiced_track(count, hop_samples, sample_rate_hz)
    f0 = call(library, wave.astype(np.float64), sample_rate_hz, 1000 * hop_samples / sample_rate_hz)
    return track_of(resize(f0, count), hop_samples, sample_rate_hz)
