"""Static mixing: one voice whose weights are a weighted sum of several (models spec 11, pipeline spec 6.9)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from timbre.errors import SettingsError, WeightsError

MIX_MODES = ("normalised", "convex", "linear")


def effective_weights(rates: Sequence[float], mode: str) -> list[float]:
    """Return what each voice counts for `rates` in percent.

    "normalised" divides by their sum. "convex" and "linear" are so-vits-svc's: the softmax of rate / 100, which is
    nearly even (100, 0, 0 gives 0.58, 0.21, 0.21), and rate / 100 as it is. Raises SettingsError for a rate that is
    negative or no number, rates whose sum is 0, and an unknown mode.
    """
    if mode not in MIX_MODES:
        raise SettingsError(f"the mix mode is {mode!r}; it must be one of: {', '.join(MIX_MODES)}")
    if not all(math.isfinite(rate) and rate >= 0 for rate in rates):
        raise SettingsError(f"the rates are {', '.join(f'{rate:g}' for rate in rates)}; each must be 0 or more")
    shares = [rate / 100 for rate in rates]
    if mode == "linear":
        return shares
    if mode == "convex":
        return [float(weight) for weight in torch.softmax(torch.tensor(shares, dtype=torch.float64), dim=0)]
    if sum(shares) <= 0:
        raise SettingsError("all rates are 0; give at least one voice more")
    return [share / sum(shares) for share in shares]


def mix_states(states: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted sum of each tensor, in the types of the first state.

    Raises WeightsError where the states do not have the same tensors of the same shapes.
    """
    first = states[0]
    for number, other in enumerate(states[1:], start=2):
        odd = next((name for name in first if name not in other or other[name].shape != first[name].shape), None)
        if odd is not None:
            raise WeightsError(
                f"model {number} differs from the first in {odd}; only models of the same config can be mixed"
            )
    return {name: _weighted_sum([state[name] for state in states], weights) for name in first}


def _weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = torch.zeros(tensors[0].shape)
    for tensor, weight in zip(tensors, weights, strict=True):
        total += weight * tensor.float()
    return total.to(tensors[0].dtype)
