"""The samplers by their names (models spec 9.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from timbre.errors import SettingsError
from timbre.models.diffusion.ode_samplers import dpm_solver, dpm_solver_plus_plus, unipc
from timbre.models.diffusion.schedule import Schedule
from timbre.models.diffusion.step_samplers import Predict, ddim, ddpm, jumps, pndm

OnStep = Callable[[int, int], None]  # steps done, steps in all

_DDPM, _PNDM = "ddpm", "pndm"
_JUMPERS = {"ddim": ddim, _PNDM: pndm}
_SOLVERS = {"dpm-solver": dpm_solver, "dpm-solver++": dpm_solver_plus_plus, "unipc": unipc}
METHODS = (_DDPM, *_JUMPERS, *_SOLVERS)


@dataclass(frozen=True)
class Sampler:
    """One way down from step `n_steps` - 1; raises SettingsError for an unknown method.

    `speedup` is how many steps are taken at once; with 1 or less, and with no method, it is DDPM. The solvers of the
    differential equation take `n_steps` // `speedup` steps, but at least one, as does PNDM; DDIM takes none where
    `n_steps` is not above `speedup`.
    """

    method: str | None
    speedup: int
    n_steps: int

    def __post_init__(self) -> None:
        if self.method is not None and self.method not in METHODS:
            raise SettingsError(f"the diffusion method is {self.method!r}; it must be one of: {', '.join(METHODS)}")

    def run(
        self, predict: Predict, x: Tensor, schedule: Schedule, noise: Callable[[], Tensor], on_step: OnStep | None
    ) -> Tensor:
        """Return what is left of x without its noise; `noise` makes fresh noise like x, asked by DDPM in every step."""
        n_iterations, trajectory = self._trajectory(predict, x, schedule, noise)
        for done, cleaner in enumerate(trajectory, 1):
            x = cleaner
            if on_step is not None:
                on_step(done, n_iterations)
        return x

    def _trajectory(
        self, predict: Predict, x: Tensor, schedule: Schedule, noise: Callable[[], Tensor]
    ) -> tuple[int, Iterator[Tensor]]:
        """Return the number of steps and x after each."""
        if self.method is None or self.method == _DDPM or self.speedup <= 1:
            return self.n_steps, ddpm(predict, x, schedule, self.n_steps, noise)
        if self.method in _JUMPERS:
            plan = jumps(self.n_steps, self.speedup)
            if not plan and self.method == _PNDM:  # the original fails here; its DDIM leaves the noise in x
                plan = [(self.n_steps - 1, 0)]
            return len(plan), _JUMPERS[self.method](predict, x, schedule, plan)
        n_solver_steps = max(1, self.n_steps // self.speedup)
        betas = schedule.betas[: self.n_steps]
        return n_solver_steps, _SOLVERS[self.method](predict, x, betas, n_solver_steps)
