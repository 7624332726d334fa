"""Pitch as the so-vits-svc networks see it: in 256 steps, or as a normalised logarithm (models spec 5.1 and 5.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

N_STEPS = 256
_BEND_HZ = 700.0
_MEL_SCALE = 1127.0  # of natural logarithms
_LOWEST_MEL = _MEL_SCALE * math.log1p(50 / _BEND_HZ)
_HIGHEST_MEL = _MEL_SCALE * math.log1p(1100 / _BEND_HZ)
_STEPS_PER_MEL = (N_STEPS - 2) / (_HIGHEST_MEL - _LOWEST_MEL)
_LF0_SCALE = 2595.0  # of decimal logarithms
_LF0_DIVISOR = 500.0
_NO_VOICE_DIVISOR = 9999.0


def coarse_f0(f0_hz: Tensor, *, saturates: bool = False) -> Tensor:
    """Return the step 1..255 of each pitch in Hz, on a mel scale from 50 to 1100 Hz; any shape, int64.

    Above that range 4.1 falls to step 0, which training never met; 4.0 stays at 255 (`saturates`). Predicted pitch
    may be negative: it has step 1.
    """
    mel = _MEL_SCALE * torch.log(1 + f0_hz / _BEND_HZ)
    steps = torch.where(mel > 0, mel * _STEPS_PER_MEL - (_LOWEST_MEL * _STEPS_PER_MEL - 1), mel)
    steps = torch.floor(steps + 0.5) if saturates else torch.round(steps)
    steps = torch.where(steps >= 1, steps, 1)  # also where it is not a number
    return torch.where(steps < N_STEPS, steps, N_STEPS - 1 if saturates else 0).long()


def hz_to_lf0(f0_hz: Tensor) -> Tensor:
    """[B, T] in Hz -> [B, 1, T], 0 for 0 Hz."""
    return (_LF0_SCALE * torch.log10(1 + f0_hz / _BEND_HZ) / _LF0_DIVISOR).unsqueeze(1)


def lf0_to_hz(lf0: Tensor) -> Tensor:
    """[B, 1, T] -> [B, T] in Hz, the inverse of `hz_to_lf0`."""
    return _BEND_HZ * (10 ** (lf0 * _LF0_DIVISOR / _LF0_SCALE) - 1).squeeze(1)


def normalise_lf0(lf0: Tensor, voiced: Tensor, mask: Tensor, factor: Tensor | float = 1.0) -> Tensor:
    """Take the mean over voiced frames off each melody and stretch what is left: [B, 1, T].

    `lf0` and `mask` are [B, 1, T], `voiced` is [B, T] of 0 and 1, `factor` [B, 1] or one number.
    """
    voiced = voiced.to(lf0).unsqueeze(1)
    n_voiced = voiced.sum(dim=-1, keepdim=True)
    mean = (lf0 * voiced).sum(dim=-1, keepdim=True) / torch.where(n_voiced == 0, _NO_VOICE_DIVISOR, n_voiced)
    factor = factor.to(lf0).unsqueeze(-1) if isinstance(factor, Tensor) else factor
    return (lf0 - mean) * factor * mask
