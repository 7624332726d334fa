"""Everything a model hears about a stretch of sound, on one frame grid."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Frames:
    """Everything a model hears about a stretch of sound, on one frame grid."""

    content: Tensor  # [T, D] encoder features
    f0_hz: Tensor  # [T]    0 where unvoiced
    voiced: Tensor  # [T]    bool
    loudness: Tensor  # [T]    natural log of the mean power of the frame
    hop_samples: int  # at sample_rate_hz
    sample_rate_hz: int
    log_mel: Tensor | None = None  # [T, 80] of `timbre.dsp.frontend`, where that heard the sound
