"""The mel bands in which a voice is corrected, and the bins of its filters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from timbre.config.fast import N_FFT, SAMPLE_RATE_HZ
from timbre.dsp.frontend import N_FFT as ENCODER_N_FFT
from timbre.dsp.frontend import N_MELS, SpectralFrontend
from timbre.dsp.frontend import SAMPLE_RATE_HZ as ENCODER_RATE_HZ
from timbre.dsp.mel import mel_filter_bank
from timbre.models.fast.decoder import FilterSpectra
from timbre.models.fast.synthesis import LOG_LIMIT

POWER_FLOOR = 1e-12


@dataclass(frozen=True)
class Bands:
    """The encoder's mel bands as seen from the filters' bins."""

    to_bins: Tensor  # [80, bins] draws band values in lines between band centres, held beyond the outer ones
    of_bins: Tensor  # [bins, 80] mean power of each band

    def log_powers(self, power: Tensor) -> Tensor:
        """Power of the filters [1, T, bins] -> natural log of band powers [T, 80]."""
        return torch.log(power[0] @ self.of_bins)


def make_bands(frontend: SpectralFrontend) -> Bands:
    """Return the bands of the encoder's front end, on its device."""
    like = frontend.mel_basis
    of_bins = mel_filter_bank(SAMPLE_RATE_HZ, N_FFT, N_MELS, 0.0, ENCODER_RATE_HZ / 2).T
    return Bands(_drawing(like), of_bins.contiguous().to(like.device))


def band_centres_hz(mel_basis: Tensor) -> Tensor:
    """Return the centre of each band [80] of a mel basis [encoder bins, 80]."""
    bins = torch.arange(len(mel_basis), device=mel_basis.device).unsqueeze(1)
    return (bins * mel_basis).sum(dim=0) / mel_basis.sum(dim=0) * (ENCODER_RATE_HZ / ENCODER_N_FFT)


def _drawing(basis: Tensor) -> Tensor:
    centres_hz = band_centres_hz(basis)
    bins_hz = torch.arange(N_FFT // 2 + 1, device=basis.device) * (SAMPLE_RATE_HZ / N_FFT)
    above = torch.searchsorted(centres_hz, bins_hz).clamp(1, N_MELS - 1)
    low, high = centres_hz[above - 1], centres_hz[above]
    share = ((bins_hz - low) / (high - low)).clamp(0, 1)
    columns = torch.arange(len(bins_hz), device=basis.device)
    matrix = torch.zeros(N_MELS, len(bins_hz), device=basis.device)
    matrix[above - 1, columns] = 1 - share
    matrix[above, columns] = share
    return matrix


def smoothed(values: Tensor, n_bands: int) -> Tensor:
    """Return band values [T, 80] as means over `n_bands` neighbours (odd), the outer values held."""
    half = n_bands // 2
    padded = functional.pad(values.unsqueeze(1), (half, half), mode="replicate")
    return functional.avg_pool1d(padded, n_bands, 1)[:, 0]


def drawn_power(spectra: FilterSpectra, f0_hz: Tensor) -> Tensor:
    """Return the mean power [B, T, bins] of the sound that filters make at a pitch f0_hz [B, T] (0 unvoiced).

    Pulses and noise have unit variance, so it is the sum of the squared filters; its scale is arbitrary.
    """
    harmonic, noise = ((2 * log.clamp(max=LOG_LIMIT)).exp() for log in (spectra.log_harmonic, spectra.log_noise))
    return torch.where(f0_hz.unsqueeze(-1) > 0, harmonic, 0.0) + noise + POWER_FLOOR
