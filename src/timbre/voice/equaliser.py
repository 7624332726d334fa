"""Correct what the decoder gets wrong about one voice.

When a voice is made, the decoder rebuilds the reference recordings in their own voice. What it then gets wrong, band by
band, is kept for each frame of the reference; a later frame is corrected by the mean error of the reference frames with
similar content.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from timbre.config.fast import SAMPLE_RATE_HZ
from timbre.dsp.frontend import SAMPLE_RATE_HZ as ENCODER_RATE_HZ
from timbre.dsp.frontend import SpectralFrontend
from timbre.dsp.sinc_resample import sinc_resample
from timbre.models.fast.decoder import FilterSpectra
from timbre.voice.bands import Bands, smoothed

MAX_ERROR = 3.0  # of one frame, natural log of amplitude
MAX_CORRECTION = 1.5  # of a rendered frame, about 13 dB
SMOOTHING_BANDS = 5
SHARPNESS = 15.0  # of the look-up: how much a more similar frame counts


@dataclass(frozen=True)
class Equaliser:
    """The reference's frames and what to correct at each, natural log of amplitude."""

    directions: Tensor  # [M, C] unit vectors
    corrections: Tensor  # [M, 80]
    bands: Bands

    def apply(self, spectra: FilterSpectra, content: Tensor) -> FilterSpectra:
        """Return the corrected filters [B, T, bins] of frames with `content` [B, T, C]; every frame for itself."""
        similarity = functional.normalize(content, dim=-1) @ self.directions.T
        errors = torch.softmax(SHARPNESS * similarity, dim=-1) @ self.corrections
        return spectra.raised(errors.clamp(-MAX_CORRECTION, MAX_CORRECTION) @ self.bands.to_bins)


def make_equaliser(content: Tensor, corrections: Tensor, bands: Bands) -> Equaliser:
    """Make the equaliser of a voice from its reference frames: content [M, C], corrections [M, 80]."""
    return Equaliser(functional.normalize(content, dim=-1), corrections, bands)


def measure_corrections(frontend: SpectralFrontend, true_log_mel: Tensor, rebuilt: Tensor) -> Tensor:
    """Compare recordings with what the decoder made of them: [T, 80], smoothed over five bands.

    `true_log_mel` [T, 80] describes the recordings, `rebuilt` [T * 441] is the decoder's sound.
    """
    narrow = sinc_resample(rebuilt.unsqueeze(0), SAMPLE_RATE_HZ, ENCODER_RATE_HZ)
    made_log_mel = frontend.log_mel(frontend.power(narrow))[0][: len(true_log_mel)]
    error = 0.5 * (true_log_mel - made_log_mel).clamp(-2 * MAX_ERROR, 2 * MAX_ERROR)  # log of power -> of amplitude
    return smoothed(error, SMOOTHING_BANDS)
