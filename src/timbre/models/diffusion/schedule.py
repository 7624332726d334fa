"""How much noise each step holds: the stored buffers and the numbers that samplers read there (models spec 9.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

_FIRST_BETA = 1e-4
_LAST_BETA = 0.02
_VARIANCE_FLOOR = 1e-20


def schedule_buffers(timesteps: int) -> dict[str, Tensor]:
    """Return the twelve buffers of a checkpoint by name, each [timesteps] float32, made in float64."""
    beta = torch.linspace(_FIRST_BETA, _LAST_BETA, timesteps, dtype=torch.float64)
    alpha = 1 - beta
    kept = alpha.cumprod(dim=0)
    kept_before = torch.cat((kept.new_ones(1), kept[:-1]))
    variance = beta * (1 - kept_before) / (1 - kept)
    exact = {
        "betas": beta,
        "alphas_cumprod": kept,
        "alphas_cumprod_prev": kept_before,
        "sqrt_alphas_cumprod": kept.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - kept).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - kept).log(),
        "sqrt_recip_alphas_cumprod": (1 / kept).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / kept - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp_min(_VARIANCE_FLOOR).log(),
        "posterior_mean_coef1": beta * kept_before.sqrt() / (1 - kept),
        "posterior_mean_coef2": (1 - kept_before) * alpha.sqrt() / (1 - kept),
    }
    return {name: values.float() for name, values in exact.items()}


@dataclass(frozen=True)
class Schedule:
    """The numbers of each step that samplers use, as plain floats."""

    betas: tuple[float, ...]
    alphas_cumprod: tuple[float, ...]
    sqrt_recip_alphas_cumprod: tuple[float, ...]
    sqrt_recipm1_alphas_cumprod: tuple[float, ...]
    posterior_log_variance_clipped: tuple[float, ...]
    posterior_mean_coef1: tuple[float, ...]
    posterior_mean_coef2: tuple[float, ...]

    @classmethod
    def from_buffers(cls, buffers: Mapping[str, Tensor]) -> Schedule:
        """Read the numbers out of buffers named as in `schedule_buffers`."""
        return cls(**{field.name: tuple(buffers[field.name].tolist()) for field in fields(cls)})
