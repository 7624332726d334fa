"""The snake activation without aliasing: it acts at twice the rate, between two low-pass filters (models spec 4.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_TAPS = 12
_CUTOFF = 0.25  # cycles per sample of the doubled rate
_HALF_WIDTH = 0.3  # of the transition band, in the same unit
_REPLICATED = _TAPS // 2 - 1  # samples repeated at the ends before filtering


class FilteredSnake(nn.Module):
    """Doubles the rate, applies the snake and halves the rate again."""

    reach_samples = _REPLICATED
    """How far an output sees to each side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = Snake(channels)
        self.upsample = _Doubling()
        self.downsample = _Halving()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        y: Tensor = self.downsample(self.act(self.upsample(x)))
        return y


class Snake(nn.Module):
    """x + sin(alpha x)^2 / beta for each channel; both parameters are stored as logarithms (Ziyin et al. 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        alpha, beta = self.alpha.exp()[:, None], self.beta.exp()[:, None]
        return x + torch.sin(x * alpha).square() / (beta + 1e-9)


class _Doubling(nn.Module):
    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", _lowpass_taps())

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, 2 T]."""
        channels, crop = x.shape[1], 2 * _REPLICATED + (_TAPS - 2) // 2
        padded = functional.pad(x, (_REPLICATED, _REPLICATED), mode="replicate")
        filters = self.filter.expand(channels, 1, _TAPS)
        return 2 * functional.conv_transpose1d(padded, filters, stride=2, groups=channels)[..., crop:-crop]


class _Halving(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lowpass = _Lowpass()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, 2 T] -> [B, C, T]."""
        channels = x.shape[1]
        padded = functional.pad(x, (_REPLICATED, _REPLICATED + 1), mode="replicate")
        return functional.conv1d(padded, self.lowpass.filter.expand(channels, 1, _TAPS), stride=2, groups=channels)


class _Lowpass(nn.Module):
    """Only holds the filter under the key that checkpoints have."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", _lowpass_taps())


def _lowpass_taps() -> Tensor:
    """Return the Kaiser-windowed sinc [1, 1, 12] with sum 1."""
    attenuation_db = 2.285 * (_TAPS // 2 - 1) * math.pi * 4 * _HALF_WIDTH + 7.95
    beta = 0.1102 * (attenuation_db - 8.7)
    window = torch.kaiser_window(_TAPS, periodic=False, beta=beta, dtype=torch.float64)
    time = torch.arange(_TAPS, dtype=torch.float64) - (_TAPS - 1) / 2
    taps = window * torch.sinc(2 * _CUTOFF * time)
    return (taps / taps.sum()).float()[None, None]
