"""Samplers on the trained steps: DDPM, DDIM and PNDM (models spec 9.6).

DDPM: J. Ho and others, NeurIPS 2020; DDIM: J. Song and others, ICLR 2021; PNDM: L. Liu and others, ICLR 2022.
Each yields x after each of its steps, given `predict(x, step)`, the noise in x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from timbre.models.diffusion.schedule import Schedule

Predict = Callable[[Tensor, float], Tensor]
Jump = tuple[int, int]

# Adams-Bashforth weights of the newest and one, two or three earlier predictions.
_MULTISTEP = ((3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def ddpm(
    predict: Predict, x: Tensor, schedule: Schedule, n_steps: int, noise: Callable[[], Tensor]
) -> Iterator[Tensor]:
    """Walk all steps down from `n_steps` - 1 with fresh noise in each; the last one asks for noise but adds none."""
    for step in reversed(range(n_steps)):
        eps = predict(x, step)
        clean = schedule.sqrt_recip_alphas_cumprod[step] * x - schedule.sqrt_recipm1_alphas_cumprod[step] * eps
        mean = schedule.posterior_mean_coef1[step] * clean.clamp(-1, 1) + schedule.posterior_mean_coef2[step] * x
        deviation = math.exp(0.5 * schedule.posterior_log_variance_clipped[step]) if step else 0.0
        x = mean + deviation * noise()
        yield x


def jumps(n_steps: int, speedup: int) -> list[Jump]:
    """Return from and to which step DDIM and PNDM go.

    They start at the largest multiple of `speedup` below `n_steps`, as the original does. Its last jump, from step 0
    to step 0, changes nothing and is left out; so nothing is left to do when `n_steps` <= `speedup`.
    """
    return [(step, max(step - speedup, 0)) for step in reversed(range(speedup, n_steps, speedup))]


def ddim(predict: Predict, x: Tensor, schedule: Schedule, plan: Sequence[Jump]) -> Iterator[Tensor]:
    """Jump without noise, by `plan`."""
    kept = schedule.alphas_cumprod
    for step, target in plan:
        slope = math.sqrt((1 - kept[target]) / kept[target]) - math.sqrt((1 - kept[step]) / kept[step])
        x = math.sqrt(kept[target]) * (x / math.sqrt(kept[step]) + slope * predict(x, step))
        yield x


def pndm(predict: Predict, x: Tensor, schedule: Schedule, plan: Sequence[Jump]) -> Iterator[Tensor]:
    """Jump with the noise extrapolated from up to three earlier predictions, by `plan`."""
    kept = schedule.alphas_cumprod
    earlier: list[Tensor] = []  # newest first
    for step, target in plan:
        eps = predict(x, step)
        if earlier:
            newest_weight, *weights = _MULTISTEP[len(earlier) - 1]
            combined = newest_weight * eps
            for weight, each in zip(weights, earlier, strict=True):
                combined = combined + weight * each
        else:
            combined = (eps + predict(_transfer(x, eps, kept[step], kept[target]), target)) / 2
        x = _transfer(x, combined, kept[step], kept[target])
        earlier = [eps, *earlier[:2]]
        yield x


def _transfer(x: Tensor, eps: Tensor, kept: float, kept_next: float) -> Tensor:
    """Move x from the noise level of `kept` to that of `kept_next` (cumulated alphas)."""
    x_part = 1 / (math.sqrt(kept) * (math.sqrt(kept) + math.sqrt(kept_next)))
    eps_part = 1 / (math.sqrt(kept) * (math.sqrt((1 - kept_next) * kept) + math.sqrt((1 - kept) * kept_next)))
    return x + (kept_next - kept) * (x_part * x - eps_part * eps)
