"""A band-limited pulse train that follows a pitch track, whole and in steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST_SINE = 1e-4


@dataclass(frozen=True)
class PulseState:
    """What the pulse train remembers between steps."""

    phase: Tensor  # [B] float64, radians, at the last frame centre
    f0_hz: Tensor  # [B, 0 or 1] last frame, none before the first step


def fresh_pulse_state(batch: int, device: torch.device | str = "cpu") -> PulseState:
    """Return the state before the first frame."""
    return PulseState(torch.zeros(batch, dtype=torch.float64, device=device), torch.zeros(batch, 0, device=device))


@torch.no_grad()
def pulse_train(f0_hz: Tensor, state: PulseState, hop_samples: int, sample_rate_hz: int) -> tuple[Tensor, PulseState]:
    """Turn f0 [B, n] (0 where unvoiced) into pulses [B, m * hop_samples] of unit RMS, one stretch per pair of frames.

    m = n - 1 in the first step and n afterwards: the stretch between frames t and t + 1 needs both. All harmonics up to
    half the sample rate have equal amplitude (closed form of their sum: the Dirichlet kernel). Pitch glides linearly
    inside a stretch, so the phase is quadratic there; it is carried in float64 between stretches. Where voicing begins
    or ends the pulses fade over one stretch at the pitch of the voiced side.
    """
    f0 = torch.cat((state.f0_hz, f0_hz), dim=1)
    if f0.shape[1] < 2:
        return f0.new_zeros(f0.shape[0], 0), PulseState(state.phase, f0[:, -1:])
    voiced = (f0 > 0).to(f0.dtype)
    start = torch.where(f0[:, :-1] > 0, f0[:, :-1], f0[:, 1:])
    end = torch.where(f0[:, 1:] > 0, f0[:, 1:], f0[:, :-1])
    advance = math.pi * hop_samples / sample_rate_hz * (start.double() + end.double())  # [B, m]
    phases = torch.cat((state.phase.unsqueeze(1), state.phase.unsqueeze(1) + advance.cumsum(dim=1)), dim=1)
    phases = torch.remainder(phases, 2 * math.pi)
    position = torch.arange(hop_samples, device=f0.device, dtype=f0.dtype) / hop_samples  # [hop]
    step = 2 * math.pi * hop_samples / sample_rate_hz
    glide = start.unsqueeze(-1) * position + (end - start).unsqueeze(-1) * (0.5 * position**2)
    phase = torch.remainder(phases[:, :-1].to(f0.dtype).unsqueeze(-1) + step * glide, 2 * math.pi)  # [B, m, hop]
    n_harmonics = (0.5 * sample_rate_hz / torch.maximum(start, end).clamp(min=1.0)).floor().clamp(min=1.0).unsqueeze(-1)
    half_sine = torch.sin(0.5 * phase)
    peak = half_sine.abs() < SMALLEST_SINE
    kernel = torch.sin((n_harmonics + 0.5) * phase) / (2 * half_sine.masked_fill(peak, 1.0)) - 0.5
    kernel = torch.where(peak, n_harmonics.expand_as(kernel), kernel)
    gate = voiced[:, :-1].unsqueeze(-1) * (1 - position) + voiced[:, 1:].unsqueeze(-1) * position
    pulses = kernel * torch.sqrt(2 / n_harmonics) * gate
    return pulses.flatten(1), PulseState(phases[:, -1], f0[:, -1:])
