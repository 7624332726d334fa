"""The harmonic source of NSF generators: nine sines that follow the pitch, and noise, mixed into one channel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.nn.draws import Draws

SourceForm = Literal["stable", "latest", "frame", "vocoder"]

N_HARMONICS = 9
_SINE_AMPLITUDE = 0.1
_VOICED_NOISE = 0.003
_UNVOICED_NOISE = _SINE_AMPLITUDE / 3
_BLOCK_FRAMES = 256


@dataclass(frozen=True)
class _FormRules:
    offset_each_sample: bool  # the initial phases count at every sample of the first frame, not once
    noise: bool  # also: the sines are silent where unvoiced
    discarded_draw: bool


_FORMS: dict[SourceForm, _FormRules] = {
    "stable": _FormRules(offset_each_sample=False, noise=True, discarded_draw=True),
    "latest": _FormRules(offset_each_sample=False, noise=False, discarded_draw=False),
    "frame": _FormRules(offset_each_sample=True, noise=True, discarded_draw=True),
    "vocoder": _FormRules(offset_each_sample=True, noise=True, discarded_draw=False),
}


class HarmonicSource(nn.Module):
    """Turns a pitch track into the excitation of a generator (models spec 4.2, 10.3 and 12.1).

    The forms differ in what the original's branches and programs did: "stable" is 4.1-Stable, "latest" is
    4.1-Latest, "frame" is the form of its ONNX export and "vocoder" that of nsf_hifigan. `blockwise` may be set to
    False for a graph without loops.
    """

    blockwise = True

    def __init__(self, samples_per_frame: int) -> None:
        super().__init__()
        self.samples_per_frame = samples_per_frame
        self.l_linear = nn.Linear(N_HARMONICS, 1)

    def forward(
        self,
        f0_hz: Tensor,
        draws: Draws,
        sample_rate_hz: int,
        form: SourceForm = "stable",
        start_cycles: Tensor | None = None,
    ) -> Tensor:
        """f0 [B, T] in Hz, not above 0 where unvoiced -> excitation [B, 1, T * samples_per_frame].

        Draws uniform [B, 9], normal [B, samples, 9] unless "latest", and normal [B, samples, 1], which is thrown
        away, in the forms "stable" and "frame" (models spec 13). `start_cycles`, [9] or [B, 9], is added to the
        phases, so that a sound can go on where another ended. Only `l_linear` receives gradients.
        """
        rules, (n_batch, n_frames), rate = _FORMS[form], f0_hz.shape, self.samples_per_frame
        offsets = functional.pad(draws.uniform(n_batch, N_HARMONICS)[:, 1:], (1, 0))  # the fundamental starts at 0
        noise = draws.normal(n_batch, n_frames * rate, N_HARMONICS) if rules.noise else None
        if rules.discarded_draw:
            draws.normal(n_batch, n_frames * rate, 1)
        f0_hz = _where_exact(f0_hz)
        phases = _phases(f0_hz, sample_rate_hz, rate, offsets, start_cycles, rules)
        if not self.blockwise:
            return self._mixed(phases, f0_hz, noise).transpose(1, 2)
        parts = []
        for first in range(0, n_frames, _BLOCK_FRAMES):
            last = first + _BLOCK_FRAMES
            noise_part = None if noise is None else noise[:, first * rate : last * rate]
            parts.append(self._mixed(phases.part(first, last), f0_hz[:, first:last], noise_part))
        return torch.cat(parts, dim=1).transpose(1, 2)

    def _mixed(self, phases: _Phases, f0_hz: Tensor, noise: Tensor | None) -> Tensor:
        """Phases of T frames, f0 [B, T], noise [B, samples, 9] -> [B, samples, 1]."""
        harmonics = phases.sines(self.samples_per_frame)
        if noise is not None:
            harmonics = _gated(harmonics, noise, f0_hz)
        return torch.tanh(self.l_linear(harmonics.flatten(1, 2).to(self.l_linear.weight)))


def harmonic_phases(f0_hz: Tensor, sample_rate_hz: int, samples_per_frame: int) -> Tensor:
    """f0 [B, T] in Hz -> cycles, from 0 to below 1, of each harmonic before each frame: [B, T, 9] float64.

    All harmonics begin at 0. On a device without float64 the result lies on the CPU.
    """
    return _cycles_before(_cycles_per_sample(_where_exact(f0_hz), sample_rate_hz), samples_per_frame)


@dataclass(frozen=True)
class _Phases:
    """The phases of a sound: f0 is constant within a frame, so they are those before the frame and whole steps more."""

    before: Tensor  # [B, T, 9] float64, cycles before the first sample of each frame
    step: Tensor  # [B, T, 9] float64, cycles per sample

    def part(self, first: int, last: int) -> _Phases:
        """Return the phases of the frames from `first` to before `last`."""
        return _Phases(self.before[:, first:last], self.step[:, first:last])

    @torch.no_grad()
    def sines(self, samples_per_frame: int) -> Tensor:
        """Return the harmonics, [B, T, samples per frame, 9] float32."""
        count = torch.arange(1, samples_per_frame + 1, dtype=torch.float64, device=self.step.device)[:, None]
        cycles = self.before[:, :, None] + self.step[:, :, None] * count
        return _SINE_AMPLITUDE * torch.sin(2 * math.pi * torch.remainder(cycles, 1).float())


@torch.no_grad()
def _phases(
    f0_hz: Tensor,
    sample_rate_hz: int,
    samples_per_frame: int,
    offsets: Tensor,
    start_cycles: Tensor | None,
    rules: _FormRules,
) -> _Phases:
    step = _cycles_per_sample(f0_hz, sample_rate_hz)
    start = torch.zeros(N_HARMONICS) if start_cycles is None else start_cycles
    start = start.to(step.device, torch.float64).expand(len(step), N_HARMONICS)
    offsets = offsets.to(step.device)
    if rules.offset_each_sample:
        step[:, 0] += offsets
    else:
        start = start + offsets
    return _Phases(_cycles_before(step, samples_per_frame) + start[:, None], step.double())


def _where_exact(f0_hz: Tensor) -> Tensor:
    """Return f0 in float32 on a device that has float64, so that the phases of long sounds do not drift."""
    return f0_hz.float().to("cpu") if f0_hz.device.type == "mps" else f0_hz.float()


def _cycles_per_sample(f0_hz: Tensor, sample_rate_hz: int) -> Tensor:
    """f0 [B, T] -> [B, T, 9]; rounded to float32 as in the original, which fixes the frequency of each harmonic."""
    numbers = torch.arange(1, N_HARMONICS + 1, device=f0_hz.device, dtype=torch.float32)
    return torch.remainder(f0_hz[..., None] * numbers / sample_rate_hz, 1)


def _cycles_before(step: Tensor, samples_per_frame: int) -> Tensor:
    """Cycles per sample [B, T, 9] -> cycles, wrapped, before the first sample of each frame [B, T, 9] float64."""
    step = step.double()
    return torch.remainder(samples_per_frame * (step.cumsum(dim=1) - step), 1)


@torch.no_grad()
def _gated(sines: Tensor, noise: Tensor, f0_hz: Tensor) -> Tensor:
    """Silence the sines [B, T, samples, 9] where unvoiced, and add noise [B, T * samples, 9], louder there."""
    voiced = (f0_hz > 0)[:, :, None, None]
    amplitude = torch.where(voiced, _VOICED_NOISE, _UNVOICED_NOISE)
    return sines * voiced + amplitude * noise.to(sines).reshape(sines.shape)
