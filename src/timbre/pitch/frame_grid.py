"""The frame grid of a track: checks of what goes into a tracker, and tracks made from what comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbre.errors import AudioError, SettingsError
from timbre.pitch.contract import PitchTrack

_MAX_FRAME_DIFFERENCE = 4


def check_wave(wave: NDArray[np.float32]) -> None:
    """Raise AudioError unless `wave` is mono [N] and finite."""
    if wave.ndim != 1:
        raise AudioError(f"the sound has the shape {wave.shape}; pitch is followed in one mono channel [samples]")
    if not np.isfinite(wave).all():
        raise AudioError("the sound holds NaN or infinity; repair the recording before its pitch is followed")


def frame_count(n_samples: int, sample_rate_hz: int, hop_samples: int, n_frames: int | None) -> int:
    """Return how many frames a track has (pipeline spec 2.1); see `PitchTracker.track` for the errors."""
    if hop_samples < 1 or sample_rate_hz < 1:
        raise SettingsError(f"got a hop of {hop_samples} samples at {sample_rate_hz} Hz; both must be at least 1")
    natural = n_samples // hop_samples
    if n_frames is None:
        return natural
    if n_frames < 0 or abs(n_frames - natural) >= _MAX_FRAME_DIFFERENCE:
        raise AudioError(
            f"asked for {n_frames} pitch frames of a sound that holds {natural}; ask for at most 3 more or fewer"
        )
    return n_frames


def track_of(f0_hz: NDArray[Any], hop_samples: int, sample_rate_hz: int) -> PitchTrack:
    """Make a track from values [T] that are 0, negative or NaN where unvoiced."""
    f0 = np.nan_to_num(f0_hz, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
    f0 = np.maximum(f0, np.float32(0))
    return PitchTrack(f0, f0 > 0, hop_samples, sample_rate_hz)


def unvoiced_track(n_frames: int, hop_samples: int, sample_rate_hz: int) -> PitchTrack:
    """Make a track without any voiced frame."""
    return track_of(np.zeros(n_frames), hop_samples, sample_rate_hz)
