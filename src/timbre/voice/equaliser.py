"""Correct what the decoder systematically gets wrong about one voice.

The decoder rebuilds the reference recordings in the reference's own voice; where the result is on average too weak or
too strong in a frequency band, every later rendering is corrected by that much.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from timbre.config.fast import N_FFT, SAMPLE_RATE_HZ
from timbre.dsp.frontend import N_FFT as ENCODER_N_FFT
from timbre.dsp.frontend import N_MELS, SpectralFrontend
from timbre.dsp.frontend import SAMPLE_RATE_HZ as ENCODER_RATE_HZ
from timbre.dsp.sinc_resample import sinc_resample
from timbre.models.fast.decoder import FilterSpectra

MAX_CORRECTION = 1.2  # natural log of amplitude, about 10 dB
SMOOTHING_BANDS = 5
MIN_FRAMES = 50


@dataclass(frozen=True)
class Equaliser:
    """Corrections of the harmonic and the noise filter, natural log of amplitude, in 80 mel bands or in bins."""

    harmonic: Tensor  # [80] or [bins]
    noise: Tensor  # [80] or [bins]

    def in_bins(self, frontend: SpectralFrontend) -> Equaliser:
        """Return the corrections of the mel bands drawn out to the bins of the filters."""
        to_bins = bands_to_bins(frontend)
        return Equaliser(self.harmonic @ to_bins, self.noise @ to_bins)

    def apply(self, spectra: FilterSpectra) -> FilterSpectra:
        """Return the corrected filters; this equaliser must be in bins."""
        return FilterSpectra(spectra.log_harmonic + self.harmonic, spectra.phase, spectra.log_noise + self.noise)


def bands_to_bins(frontend: SpectralFrontend) -> Tensor:
    """Return the matrix [80, bins] that draws band values in lines between band centres, held beyond the outer ones."""
    basis = frontend.mel_basis  # [encoder bins, 80]
    step_hz = ENCODER_RATE_HZ / ENCODER_N_FFT
    centres_hz = (torch.arange(len(basis), device=basis.device).unsqueeze(1) * basis).sum(0) / basis.sum(0) * step_hz
    bins_hz = torch.arange(N_FFT // 2 + 1, device=basis.device) * (SAMPLE_RATE_HZ / N_FFT)
    above = torch.searchsorted(centres_hz, bins_hz).clamp(1, N_MELS - 1)
    low, high = centres_hz[above - 1], centres_hz[above]
    share = ((bins_hz - low) / (high - low)).clamp(0, 1)
    columns = torch.arange(len(bins_hz), device=basis.device)
    matrix = torch.zeros(N_MELS, len(bins_hz), device=basis.device)
    matrix[above - 1, columns] = 1 - share
    matrix[above, columns] = share
    return matrix


def measure_equaliser(frontend: SpectralFrontend, true_log_mel: Tensor, voiced: Tensor, rebuilt: Tensor) -> Equaliser:
    """Compare recordings with what the decoder made of them.

    `true_log_mel` [T, 80] and `voiced` [T] describe the recordings, `rebuilt` [T * 441] is the decoder's sound. Only
    frames in the louder half count; a kind of frame (voiced, unvoiced) with fewer than 50 of them is not corrected.
    """
    narrow = sinc_resample(rebuilt.unsqueeze(0), SAMPLE_RATE_HZ, ENCODER_RATE_HZ)
    made_log_mel = frontend.log_mel(frontend.power(narrow))[0][: len(true_log_mel)]
    true_log_mel, voiced = true_log_mel[: len(made_log_mel)], voiced[: len(made_log_mel)]
    level = true_log_mel.mean(dim=-1)
    loud = level >= level.median()
    difference = 0.5 * (true_log_mel - made_log_mel)  # of log power, halved: of log amplitude
    return Equaliser(_correction(difference[loud & voiced]), _correction(difference[loud & ~voiced]))


def _correction(difference: Tensor) -> Tensor:
    """Return the smooth, bounded mean of differences [n, 80] -> [80]."""
    if len(difference) < MIN_FRAMES:
        return difference.new_zeros(N_MELS)
    mean = difference.clamp(-3, 3).mean(dim=0)
    half = SMOOTHING_BANDS // 2
    padded = functional.pad(mean.view(1, 1, -1), (half, half), mode="replicate")
    return functional.avg_pool1d(padded, SMOOTHING_BANDS, 1)[0, 0].clamp(-MAX_CORRECTION, MAX_CORRECTION)
