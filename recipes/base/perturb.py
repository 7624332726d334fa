"""Make a recording sound like somebody else, in the spectrum: for training what must not depend on the voice.

The log power spectrum is split by a cepstral lifter into envelope and fine structure, which are warped along frequency
by independent factors (formants and pitch), then coloured, lowered in bandwidth and put over noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

N_BINS = 257
N_CEPSTRAL = 36


def lifter(n_bins: int) -> Tensor:
    """Matrix [bins, bins] that smooths a log spectrum (from the right) by keeping 36 cepstral coefficients."""
    quefrency = torch.arange(N_CEPSTRAL, dtype=torch.float64)
    angle = math.pi * torch.arange(n_bins, dtype=torch.float64) / (n_bins - 1)
    cosines = torch.cos(angle.unsqueeze(1) * quefrency)  # [bins, cepstral]
    weight = torch.full((n_bins,), 2.0, dtype=torch.float64)
    weight[0] = weight[-1] = 1.0
    scale = torch.full((N_CEPSTRAL,), 2.0, dtype=torch.float64)
    scale[0] = 1.0
    return ((weight.unsqueeze(1) * cosines / (2 * (n_bins - 1))) @ (scale.unsqueeze(1) * cosines.T)).float()


def _warps(factors: Tensor, bins: Tensor) -> Tensor:
    """Matrices [B, bins, bins] that stretch spectra over `bins` (from the right) along frequency by `factors` [B]."""
    source = bins.unsqueeze(0) / factors.unsqueeze(1)  # [B, bins] where each output bin reads
    distance = bins.view(1, -1, 1) - source.clamp(max=len(bins) - 1.0).unsqueeze(1)
    return (1 - distance.abs()).clamp(min=0)


class Perturbation:
    """Random changes of a batch of log power spectra [B, T, 257] at 16 kHz, all on one device."""

    def __init__(self, device: torch.device, noise_share: float = 0.6, low_pass_share: float = 0.15) -> None:
        self.noise_share, self.low_pass_share = noise_share, low_pass_share
        smooth = lifter(N_BINS)
        mel = torch.log1p(torch.arange(N_BINS) / (N_BINS - 1) * 8000 / 700)
        self.smooth = smooth.to(device)
        self.rough = (torch.eye(N_BINS) - smooth).to(device)
        self.position = (mel / mel[-1]).to(device)
        self.bins = torch.arange(N_BINS, device=device)

    def __call__(self, log_power: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
        """Return the changed copy, drawn from `generator`; `strength` scales the warps."""
        batch = log_power.shape[0]

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            drawn = torch.rand(batch, *shape, generator=generator, device=generator.device)
            return drawn * (high - low) + low

        envelope = torch.exp(strength * uniform(math.log(0.78), math.log(1.28)))
        fine = torch.exp(strength * uniform(math.log(0.6), math.log(1.7)))
        depth = uniform(0.6, 1.15).view(-1, 1, 1)
        matrix = self.smooth @ _warps(envelope, self.bins) + depth * (self.rough @ _warps(fine, self.bins))
        changed = torch.bmm(log_power, matrix)
        colour = sum(
            uniform(-0.5, 0.5, 1, 1) * torch.cos(math.pi * k * self.position + uniform(0, 2 * math.pi, 1, 1))
            for k in range(1, 6)
        )
        changed = changed + 1.4 * colour + uniform(-2.5, 2.5, 1, 1)
        loud = changed.mean(dim=2).amax(dim=1).view(-1, 1, 1)
        noise = loud - uniform(2.0, 9.0, 1, 1) + uniform(-2.5, 2.5, 1, 1) * (self.position - 0.5)
        hiss = torch.randn(log_power.shape, generator=generator, device=generator.device)
        noisy = torch.logaddexp(changed, noise + 0.8 * hiss)
        changed = torch.where(uniform(0, 1, 1, 1) < self.noise_share, noisy, changed)
        edge = uniform(0.45, 0.95, 1, 1)
        cut = -10.0 * torch.sigmoid((self.bins / N_BINS - edge) * 60)
        return torch.where(uniform(0, 1, 1, 1) < self.low_pass_share, changed + cut, changed)
