"""Resampling by a rational factor with any windowed-sinc kernel, one short filter per output phase."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class PhaseGroup:
    """The filters of some neighbouring output phases over one shared window of input samples."""

    first_sample: int  # of the window, relative to the input sample under output phase 0; negative is before it
    filters: NDArray[np.float32]  # [phases, taps]; no tensor, which inference and training could not share


def phase_groups(step_in: int, step_out: int, half_width: float, kernel: Kernel) -> tuple[PhaseGroup, ...]:
    """Sample `kernel` for each of the `step_out` phases that repeat every `step_in` input samples.

    `kernel` maps distances (input samples from the output point) to weights and is 0 beyond `half_width`.
    Phases are grouped so that a window is at most about twice as long as one filter: the memory grows
    with step_out, never with step_in * step_out.
    """
    reach = math.ceil(half_width)
    per_group = max(1, min(step_out, 2 * reach * step_out // step_in))
    groups = []
    for first in range(0, step_out, per_group):
        phases = np.arange(first, min(first + per_group, step_out))
        start = first * step_in // step_out - reach
        stop = -(-(int(phases[-1]) + 1) * step_in // step_out) + reach
        distance = np.arange(start, stop)[None, :] - phases[:, None] * (step_in / step_out)
        weights = np.where(np.abs(distance) <= half_width, kernel(distance), 0.0)
        groups.append(PhaseGroup(start, weights.astype(np.float32)))
    return tuple(groups)


def apply_phases(
    wave: Tensor, step_in: int, step_out: int, groups: tuple[PhaseGroup, ...], n_samples_out: int
) -> Tensor:
    """Filter [..., N] float32 to [..., n_samples_out]; the sound is zero beyond its ends."""
    if n_samples_out == 0:
        return wave[..., :0]
    flat = wave.reshape(-1, 1, wave.shape[-1])
    n_blocks = math.ceil(n_samples_out / step_out)
    before = max(0, -groups[0].first_sample)  # the first group starts earliest
    after = max(group.first_sample + group.filters.shape[1] for group in groups)
    padded = functional.pad(flat, (before, max(0, (n_blocks - 1) * step_in + after - flat.shape[-1])))
    phases = []
    for group in groups:
        window = padded[..., before + group.first_sample :]
        filters = torch.from_numpy(group.filters).to(device=wave.device, dtype=wave.dtype)[:, None]
        phases.append(functional.conv1d(window, filters, stride=step_in)[..., :n_blocks])
    # [B, step_out, blocks] -> [B, blocks * step_out]
    joined = torch.cat(phases, dim=1).transpose(1, 2).reshape(flat.shape[0], -1)
    return joined[:, :n_samples_out].reshape(*wave.shape[:-1], n_samples_out)
