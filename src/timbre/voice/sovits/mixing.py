"""Static mixing: one voice whose weights are a weighted sum of several (models spec 11, pipeline spec 6.9)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from timbre.errors import SettingsError, WeightsError
from timbre.voice.sovits.export import generator_content
from timbre.voice.sovits.slimming import TRAINING_ONLY
from timbre.weights.identify import network_state

MIX_RULES = ("normalised", "softmax", "linear")


def effective_weights(weights: Sequence[float], rule: str) -> list[float]:
    """Return what each voice counts for.

    "normalised" divides the weights by their sum. "softmax" and "linear" are so-vits-svc's, whose rates are percent
    (70 is 0.7 here): its "convex" rule, which is nearly even (1, 0, 0 gives 0.58, 0.21, 0.21), and the weights as they
    are. Raises SettingsError for a weight that is negative or no number, weights whose sum is 0, and an unknown rule.
    """
    if rule not in MIX_RULES:
        raise SettingsError(f"the mix rule is {rule!r}; it must be one of: {', '.join(MIX_RULES)}")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise SettingsError(f"the weights are {', '.join(f'{weight:g}' for weight in weights)}; each must be 0 or more")
    if rule == "softmax":
        return torch.softmax(torch.tensor(weights, dtype=torch.float64), dim=0).tolist()
    if sum(weights) == 0:
        raise SettingsError("all weights are 0; give at least one voice more")
    if rule == "linear":
        return list(weights)
    relative = [weight / max(weights) for weight in weights]  # the sum of huge weights is no number
    return [weight / sum(relative) for weight in relative]


def mix_states(states: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted sum of each tensor, in the types of the first state.

    What only training needs is left out where a state lacks it. Raises WeightsError where the states do not have the
    same other tensors of the same shapes.
    """
    first = {
        name: tensor
        for name, tensor in states[0].items()
        if not name.startswith(TRAINING_ONLY) or all(name in state for state in states)
    }
    for number, other in enumerate(states[1:], start=2):
        odd = next((name for name in first if name not in other or other[name].shape != first[name].shape), None)
        if odd is not None:
            raise WeightsError(
                f"model {number} differs from the first in {odd}; only models of the same config can be mixed"
            )
    return {name: _weighted_sum([state[name] for state in states], weights) for name in first}


def mix_checkpoints(contents: Sequence[Mapping[Any, Any]], weights: Sequence[float]) -> dict[str, Any]:
    """Return the content of a G_*.pth that mixes those of others, with the counters of the first.

    States of optimizers are left out: they belong to one model. Raises WeightsError as `mix_states` does.
    """
    states = [network_state(dict(content)) for content in contents]
    return generator_content(mix_states(states, weights), like=contents[0])


def _weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = torch.zeros(tensors[0].shape)
    for tensor, weight in zip(tensors, weights, strict=True):
        total += weight * tensor.float()
    return total.to(tensors[0].dtype)
