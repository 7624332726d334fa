"""The samplers on data whose noise is known exactly: the right end, the right order, the right chance."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from timbre.config.convert import DIFFUSION_METHODS
from timbre.errors import SettingsError
from timbre.models.diffusion.ode_samplers import time_grid
from timbre.models.diffusion.samplers import METHODS, Sampler
from timbre.models.diffusion.schedule import Schedule, schedule_buffers
from timbre.models.diffusion.step_samplers import jumps

N_STEPS = 961  # so that the jumps begin at the last step for the speedups below
SCHEDULE = Schedule.from_buffers(schedule_buffers(N_STEPS))
FAST_METHODS = [method for method in METHODS if method != "ddpm"]
SOLVERS = ["dpm-solver", "dpm-solver++", "unipc"]


class GaussianData:
    """Normally distributed numbers, whose noise at any step is known."""

    def __init__(self, mean: float, deviation: float, schedule: Schedule = SCHEDULE) -> None:
        self.mean, self.deviation = mean, deviation
        self._log_alphas = 0.5 * np.cumsum(np.log1p(-np.array(schedule.betas)))

    def level(self, step: float) -> tuple[float, float, float]:
        """Return share of the data, share of the noise and the deviation of both together."""
        alpha = math.exp(np.interp(step, np.arange(len(self._log_alphas)), self._log_alphas))
        sigma = math.sqrt(1 - alpha**2)
        return alpha, sigma, math.hypot(alpha * self.deviation, sigma)

    def predict(self, x: Tensor, step: float) -> Tensor:
        alpha, sigma, deviation = self.level(step)
        return sigma * (x - alpha * self.mean) / deviation**2

    def end_of(self, x: Tensor, step: float) -> Tensor:
        """Return where the exact noise-free way from `step` ends, at step 0."""
        (alpha, _, deviation), (last_alpha, _, last_deviation) = self.level(step), self.level(0)
        return last_alpha * self.mean + last_deviation / deviation * (x - alpha * self.mean)


def run(
    method: str | None,
    predict: Callable[[Tensor, float], Tensor],
    x: Tensor,
    speedup: int,
    n_steps: int = N_STEPS,
    noise: Callable[[], Tensor] | None = None,
) -> Tensor:
    return Sampler(method, speedup, n_steps).run(
        predict, x, SCHEDULE, noise or (lambda: torch.zeros_like(x)), on_step=None
    )


def start(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def largest_error(method: str, speedup: int) -> float:
    data, x = GaussianData(0.1, 0.8), start(50)
    return float((run(method, data.predict, x, speedup) - data.end_of(x, N_STEPS - 1)).abs().max())


def test_settings_offer_all_methods() -> None:
    assert METHODS == DIFFUSION_METHODS


@pytest.mark.parametrize("method", FAST_METHODS)
@pytest.mark.parametrize("speedup", [320, 96])
def test_a_single_point_is_met_in_any_number_of_steps(method: str, speedup: int) -> None:
    data, x = GaussianData(0.3, 0.0), start(50)
    torch.testing.assert_close(run(method, data.predict, x, speedup), data.end_of(x, N_STEPS - 1), rtol=0, atol=2e-4)


@pytest.mark.parametrize(("method", "order"), [("ddim", 1), ("dpm-solver", 2), ("dpm-solver++", 2)])
def test_half_the_speedup_divides_the_error_by_the_order(method: str, order: int) -> None:
    coarse, fine = largest_error(method, 10), largest_error(method, 5)
    assert fine < 0.03
    assert 1.8**order < coarse / fine < 2.3**order


@pytest.mark.parametrize(("method", "bound"), [("pndm", 5e-4), ("unipc", 2e-3)])
def test_higher_orders_need_few_steps(method: str, bound: float) -> None:
    assert largest_error(method, 20) < bound
    assert largest_error("ddim", 20) > 0.05


def test_ddpm_makes_the_distribution_of_the_data() -> None:
    data, generator = GaussianData(0.2, 0.15), torch.Generator().manual_seed(1)
    made = run("ddpm", data.predict, start(4000), 10, noise=lambda: torch.randn(4000, generator=generator))
    assert float(made.mean()) == pytest.approx(0.2, abs=0.02)
    assert float(made.std()) == pytest.approx(0.15, abs=0.02)


def test_ddpm_keeps_the_clean_sound_in_range_and_adds_no_noise_at_the_end() -> None:
    x, asked = torch.tensor([5.0, -0.25]), []

    def noise() -> Tensor:
        asked.append(1)
        return torch.ones(2)

    made = run("ddpm", lambda x, step: torch.zeros_like(x), x, 1, 1, noise)
    torch.testing.assert_close(made, torch.tensor([1.0, -0.25 / math.sqrt(SCHEDULE.alphas_cumprod[0])]))
    assert asked == [1]


@pytest.mark.parametrize("method", [None, *METHODS])
@pytest.mark.parametrize("speedup", [1, 0, -3])
def test_without_speedup_all_are_ddpm(method: str | None, speedup: int) -> None:
    data, x = GaussianData(0.1, 0.4), start(4)
    assert torch.equal(run(method, data.predict, x, speedup, 20), run("ddpm", data.predict, x, 1, 20))


def test_no_method_is_ddpm_whatever_the_speedup() -> None:
    data, x = GaussianData(0.1, 0.4), start(4)
    assert torch.equal(run(None, data.predict, x, 7, 20), run("ddpm", data.predict, x, 7, 20))


@pytest.mark.parametrize(
    ("n_steps", "speedup", "expected"),
    [(30, 10, [(20, 10), (10, 0)]), (31, 10, [(30, 20), (20, 10), (10, 0)]), (10, 10, []), (3, 10, [])],
)
def test_jumps_start_at_a_multiple_and_leave_out_the_idle_one(
    n_steps: int, speedup: int, expected: list[tuple[int, int]]
) -> None:
    assert jumps(n_steps, speedup) == expected


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("speedup", [60, 100, 150, 1000])
def test_solvers_take_one_first_order_step_where_there_is_no_room_for_two(method: str, speedup: int) -> None:
    data, x, n_steps = GaussianData(0.1, 0.0), start(50), 100
    asked: list[float] = []

    def predict(x: Tensor, step: float) -> Tensor:
        asked.append(step)
        return data.predict(x, step)

    made = run(method, predict, x, speedup, n_steps)
    assert asked == [pytest.approx(n_steps - 1)]
    torch.testing.assert_close(made, data.end_of(x, n_steps - 1), rtol=0, atol=2e-4)


@pytest.mark.parametrize("speedup", [100, 1000])
def test_pndm_takes_one_jump_where_there_is_room_for_none(speedup: int) -> None:
    data, x, n_steps = GaussianData(0.1, 0.0), start(50), 100
    made = run("pndm", data.predict, x, speedup, n_steps)
    torch.testing.assert_close(made, data.end_of(x, n_steps - 1), rtol=0, atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_single_step_of_noise_is_possible(method: str) -> None:
    data, x = GaussianData(0.1, 0.4), start(5) * 0.1
    torch.testing.assert_close(run(method, data.predict, x, 10, 1), x, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("method", "speedup", "n_network_runs", "n_iterations"),
    [("ddpm", 10, 100, 100), ("ddim", 10, 9, 9), ("pndm", 10, 10, 9), *((name, 10, 10, 10) for name in SOLVERS)],
)
def test_each_step_is_told_and_costs_one_network_run(
    method: str, speedup: int, n_network_runs: int, n_iterations: int
) -> None:
    asked: list[float] = []
    told: list[tuple[int, int]] = []

    def predict(x: Tensor, step: float) -> Tensor:
        asked.append(step)
        return x

    Sampler(method, speedup, 100).run(
        predict, start(3), SCHEDULE, lambda: torch.zeros(3), on_step=lambda done, total: told.append((done, total))
    )
    assert len(asked) == n_network_runs
    assert told == [(done, n_iterations) for done in range(1, n_iterations + 1)]


def test_unknown_method_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"'euler'; it must be one of: ddpm, ddim, pndm, .*unipc$"):
        Sampler("euler", 10, 100)


def test_time_grid_is_even_and_fractional() -> None:
    grid = time_grid(SCHEDULE.betas[:57], 7)
    assert [point.step for point in grid] == pytest.approx(np.linspace(56, 0, 8), abs=1e-4)
    for point in grid:
        assert point.alpha**2 + point.sigma**2 == pytest.approx(1)
        assert point.log_snr == pytest.approx(math.log(point.alpha / point.sigma))
    assert grid[-1].alpha == pytest.approx(math.sqrt(SCHEDULE.alphas_cumprod[0]), abs=1e-7)


def test_time_grid_leaves_out_what_is_all_noise() -> None:
    betas = schedule_buffers(2000)["betas"].tolist()
    whole, cut = time_grid(betas, 10), time_grid(betas, 10, -5.1)
    assert whole[0].log_snr < -9
    assert -5.1 <= cut[0].log_snr < -5
    assert cut[0].step < 1999
    assert cut[-1] == whole[-1]
    assert time_grid(SCHEDULE.betas, 10, -5.1) == time_grid(SCHEDULE.betas, 10)
