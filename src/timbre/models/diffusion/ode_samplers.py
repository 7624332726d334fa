"""Samplers that solve the diffusion's differential equation in continuous time (models spec 9.6).

DPM-Solver and DPM-Solver++: C. Lu and others, NeurIPS 2022 and arXiv 2211.01095, multistep of second order. UniPC:
W. Zhao and others, NeurIPS 2023, second order, variant B2. Each yields x after each of its steps and ends at the noise
level of step 0. The order falls to one in the first step, and in the last one where the method says so; hence a single
step is a first-order one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor

from timbre.models.diffusion.step_samplers import Predict

_LOWEST_LOG_SNR = -5.1  # the DPM solvers leave out what lies below at the noisy end
_FEW_STEPS = 10  # with fewer, the DPM solvers end with a first-order step


@dataclass(frozen=True)
class Point:
    """One moment in time."""

    alpha: float  # share of the clean spectrogram
    sigma: float  # share of the noise
    log_snr: float  # ln(alpha / sigma)
    step: float  # what the network is told, a fraction


def time_grid(betas: Sequence[float], n_solver_steps: int, lowest_log_snr: float = -math.inf) -> list[Point]:
    """Return `n_solver_steps` + 1 moments, even in time from the last of `betas` to the first.

    Time runs from 1 / N to 1, ln(alpha) being linear between the N trained steps; the noisiest steps below
    `lowest_log_snr` do not count.
    """
    # As in the original, 1 - beta and what the network is told are rounded to float32; all else is exact.
    log_alphas = 0.5 * np.log(1 - np.asarray(betas, dtype=np.float32)).cumsum(dtype=np.float64)
    log_snrs = log_alphas - 0.5 * np.log(-np.expm1(2 * log_alphas))
    log_alphas = log_alphas[log_snrs >= lowest_log_snr]
    n_steps = len(log_alphas)
    between = np.interp(np.linspace(n_steps - 1, 0, n_solver_steps + 1), np.arange(n_steps), log_alphas)
    times = np.linspace(1, 1 / n_steps, n_solver_steps + 1, dtype=np.float32)
    steps = (times - np.float32(1 / n_steps)) * np.float32(n_steps)
    return [_point(float(log_alpha), float(step)) for log_alpha, step in zip(between, steps, strict=True)]


def _point(log_alpha: float, step: float) -> Point:
    log_sigma = 0.5 * math.log(-math.expm1(2 * log_alpha))
    return Point(math.exp(log_alpha), math.exp(log_sigma), log_alpha - log_sigma, step)


def dpm_solver(predict: Predict, x: Tensor, betas: Sequence[float], n_solver_steps: int) -> Iterator[Tensor]:
    """Solve for x with the noise as the value that is taken to change slowly."""

    def advance(x: Tensor, noise: Tensor, s: Point, t: Point) -> Tensor:
        return (t.alpha / s.alpha) * x - t.sigma * math.expm1(t.log_snr - s.log_snr) * noise

    grid = time_grid(betas, n_solver_steps, _LOWEST_LOG_SNR)
    return _multistep(lambda x, point: predict(x, point.step), advance, x, grid)


def dpm_solver_plus_plus(predict: Predict, x: Tensor, betas: Sequence[float], n_solver_steps: int) -> Iterator[Tensor]:
    """Solve for x with the clean spectrogram as the value that is taken to change slowly."""
    grid = time_grid(betas, n_solver_steps, _LOWEST_LOG_SNR)
    return _multistep(lambda x, point: _clean(predict, x, point), _advance_clean, x, grid)


def _clean(predict: Predict, x: Tensor, point: Point) -> Tensor:
    """Return the clean spectrogram that the network believes to lie behind x."""
    return (x - point.sigma * predict(x, point.step)) / point.alpha


def _advance_clean(x: Tensor, clean: Tensor, s: Point, t: Point) -> Tensor:
    """Go from s to t, the clean spectrogram staying the same."""
    return (t.sigma / s.sigma) * x - t.alpha * math.expm1(s.log_snr - t.log_snr) * clean


def _multistep(
    value_at: Callable[[Tensor, Point], Tensor],
    advance: Callable[[Tensor, Tensor, Point, Point], Tensor],
    x: Tensor,
    grid: Sequence[Point],
) -> Iterator[Tensor]:
    """Advance over the grid with the value extrapolated to the middle of each step."""
    n_steps = len(grid) - 1
    before: tuple[Point, Tensor] | None = None
    for index, (s, t) in enumerate(pairwise(grid), 1):
        value = middle = value_at(x, s)
        if before is not None and not (index == n_steps < _FEW_STEPS):
            point, earlier = before
            middle = value + 0.5 * (t.log_snr - s.log_snr) / (s.log_snr - point.log_snr) * (value - earlier)
        x = advance(x, middle, s, t)
        before = s, value
        yield x


def unipc(predict: Predict, x: Tensor, betas: Sequence[float], n_solver_steps: int) -> Iterator[Tensor]:
    """Predict each next x as DPM-Solver++ does, then correct it by the clean spectrogram found there.

    The clean spectrogram found before the correction serves the next step too, so that a step costs one network run.
    """
    grid = time_grid(betas, n_solver_steps)
    clean = _clean(predict, x, grid[0])
    before: tuple[Point, Tensor] | None = None
    for s, t in pairwise(grid[:-1]):
        found = _clean(predict, _advance_clean(x, _predictor(clean, before, s, t), s, t), t)
        x = _advance_clean(x, _corrector(clean, before, found, s, t), s, t)
        before, clean = (s, clean), found
        yield x
    yield _advance_clean(x, clean, *grid[-2:])


def _predictor(clean: Tensor, before: tuple[Point, Tensor] | None, s: Point, t: Point) -> Tensor:
    """Return the clean spectrogram that serves from s to t as far as the past tells."""
    if before is None:
        return clean
    return clean + 0.5 * _slope(clean, before, s, t)


def _corrector(clean: Tensor, before: tuple[Point, Tensor] | None, found: Tensor, s: Point, t: Point) -> Tensor:
    """Return the clean spectrogram that serves from s to t, knowing the one `found` at t."""
    if before is None:
        return clean + 0.5 * (found - clean)
    q = s.log_snr - t.log_snr
    growth = math.expm1(q)
    first = (growth / q - 1) / growth
    second = ((growth / q - 1) / q - 0.5) * 2 / growth
    past_weight = (first - second) / (1 - _reach(before[0], s, t))
    return clean + past_weight * _slope(clean, before, s, t) + (first - past_weight) * (found - clean)


def _slope(clean: Tensor, before: tuple[Point, Tensor], s: Point, t: Point) -> Tensor:
    """Return how much the clean spectrogram would change from s to t at the pace of the step before."""
    point, earlier = before
    return (earlier - clean) / _reach(point, s, t)


def _reach(before: Point, s: Point, t: Point) -> float:
    """Return where the step before began, in steps from s to t; negative."""
    return (before.log_snr - s.log_snr) / (t.log_snr - s.log_snr)
