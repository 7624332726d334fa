"""How far a sound is from the wanted one, in spectra of several resolutions, below the bandwidth of its recording."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_RATE_HZ = 44_100
RESOLUTIONS = (4096, 2048, 1024, 512)
HOP_RATIO = 0.29
MAGNITUDE_FLOOR = 2e-4
BANDWIDTH_SHARE = 0.90
BANDWIDTH_RANGE_DB = 82.0


def powers(wave: Tensor, n_fft: int, hop_samples: int, n_bins: int) -> Tensor:
    """[B, N] -> power in the lowest `n_bins` bins [B, T, n_bins], scaled so that a full-scale sine is about 1."""
    window = torch.hann_window(n_fft, device=wave.device) / (n_fft / 4)
    spectrum = torch.view_as_real(torch.fft.rfft(wave.unfold(1, n_fft, hop_samples) * window)[..., :n_bins])
    return spectrum.square().sum(dim=-1)


def band_mask(bandwidth_hz: Tensor, n_fft: int) -> Tensor:
    """Which bins to judge [B, 1, bins]: those under 0.90 of each recording's bandwidth [B]."""
    frequency = torch.arange(n_fft // 2 + 1, device=bandwidth_hz.device) * (SAMPLE_RATE_HZ / n_fft)
    return (frequency < BANDWIDTH_SHARE * bandwidth_hz.unsqueeze(1)).float().unsqueeze(1)


def spectral_loss(output: Tensor, target: Tensor, bandwidth_hz: Tensor, step: int) -> Tensor:
    """Log-magnitude L1 plus half the spectral convergence [B, N], at one of four resolutions in turn.

    It is the mean over the items, however wide each is.
    """
    n_fft = RESOLUTIONS[step % len(RESOLUTIONS)]
    hop = int(n_fft * HOP_RATIO)
    mask = band_mask(bandwidth_hz, n_fft)
    widest = int(mask.amax(dim=0).sum())  # no bins above the widest bandwidth of the batch
    frequency = torch.arange(widest, device=mask.device) * (SAMPLE_RATE_HZ / n_fft)
    weight = mask[..., :widest] / (1 + frequency / 5000)
    made = torch.log(powers(output, n_fft, hop, widest) + MAGNITUDE_FLOOR**2)  # twice the log magnitude
    with torch.no_grad():
        true = torch.log(powers(target, n_fft, hop, widest) + MAGNITUDE_FLOOR**2)
        true_magnitude = torch.exp(0.5 * true) * weight
        scale = true_magnitude.square().sum(dim=(1, 2)).add(1e-3).sqrt()
    per_item = ((made - true).abs() * weight).mean(dim=1).sum(dim=1) / weight.sum(dim=(1, 2))
    difference = 0.5 * per_item.mean()
    distance = (torch.exp(0.5 * made) * weight - true_magnitude).square().sum(dim=(1, 2)).add(1e-9).sqrt()
    return difference + 0.5 * (distance / scale).mean()


def bandwidth_hz(wave: NDArray[np.float32], original_rate_hz: int) -> float:
    """Highest frequency of `wave` [N] (44.1 kHz) within 82 dB of its strongest band, at most half the original rate."""
    n_fft = 2048
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, (0, n_fft)), n_fft)[:: n_fft * 2]
    power = (np.abs(np.fft.rfft(frames * np.hanning(n_fft))) ** 2).mean(axis=0)
    bands = power[: len(power) // 8 * 8].reshape(-1, 8).mean(axis=1)
    level_db = 10 * np.log10(bands + 1e-20)
    top = np.flatnonzero(level_db > level_db.max() - BANDWIDTH_RANGE_DB).max() + 1
    return float(min(top * 8 * SAMPLE_RATE_HZ / n_fft, original_rate_hz / 2))
