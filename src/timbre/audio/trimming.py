"""Finds and removes quiet ends, as dataset preparation does (pipeline spec 4.1)."""

from __future__ import annotations

import numpy as np

from timbre.audio.levels import frame_rms
from timbre.audio.sound import Samples

_FRAME_SAMPLES, _HOP_SAMPLES = 2048, 512
_FLOOR = 1e-5  # levels below -100 dB count as equal


def trim_bounds(samples: Samples, top_db: float = 40.0) -> tuple[int, int]:
    """Return (start, end) in samples of the part within `top_db` of the loudest frame; [N] or [C, N].

    Frames are 2048 samples each 512 (of any channel the loudest), as in librosa. Digital silence is kept whole: it
    has no louder part.
    """
    channels = np.atleast_2d(samples)
    n_samples = channels.shape[1]
    if n_samples == 0:
        return 0, 0
    rms = np.max([frame_rms(channel, _FRAME_SAMPLES, _HOP_SAMPLES) for channel in channels], axis=0)
    level_db = 20 * np.log10(np.maximum(rms, _FLOOR) / max(float(rms.max()), _FLOOR))
    loud = np.flatnonzero(level_db > -top_db)
    return int(loud[0]) * _HOP_SAMPLES, min(n_samples, (int(loud[-1]) + 1) * _HOP_SAMPLES)


def trim_silence(samples: Samples, top_db: float = 40.0) -> Samples:
    """Return a view of [N] or [C, N] without its quiet ends; see `trim_bounds`."""
    start, end = trim_bounds(samples, top_db)
    return samples[..., start:end]
