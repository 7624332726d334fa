"""Chance that belongs to items: what is drawn for one does not depend on the batch that it is in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_ITEM, _ORDER = 0, 1
_SEEDS = 2**63


class ItemDraws:
    """Answers requests for random numbers [B, ...] by one generator for each of the B items (a `Draws`)."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers; the first axis is that of the items."""
        return torch.stack([torch.randn(shape[1:], generator=generator) for generator in self._generators])

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers from 0 to below 1; the first axis is that of the items."""
        return torch.stack([torch.rand(shape[1:], generator=generator) for generator in self._generators])


def item_numbers(step: int, part: int, n_parts: int, count: int) -> range:
    """Return the numbers of the `count` items of a step that belong to one of `n_parts` processes.

    All items of a training are numbered through: two parts of `count` hold the items of one part of twice as many.
    """
    first = (step * n_parts + part) * count
    return range(first, first + count)


def item_chance(seed: int, number: int) -> np.random.Generator:
    """Return the chance of one item."""
    return np.random.default_rng([seed, _ITEM, number])


def torch_seed(chance: np.random.Generator) -> int:
    """Draw a seed for a generator of torch."""
    return int(chance.integers(_SEEDS))


def shuffled_place(seed: int, number: int, n_places: int) -> int:
    """Return which of `n_places` clips item `number` is of: each once in an epoch, in an order of its own."""
    epoch, at = divmod(number, n_places)
    return int(np.random.default_rng([seed, _ORDER, epoch]).permutation(n_places)[at])
