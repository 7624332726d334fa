"""Chance that belongs to items: what is drawn for one does not depend on the batch that it is in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ITEM, _ORDER, _NETWORK, _LAYERS = range(4)  # what chance is for
_SEEDS = 2**63


class ItemDraws:
    """Random numbers for a batch that belong to its items (`timbre.nn.draws.Draws`).

    They depend on the seed, the item's number and the request only: not on what else is in the batch, nor on how far
    items are filled up at their end.
    """

    def __init__(self, seed: int, numbers: Sequence[int]) -> None:
        self._seed, self._numbers, self._n_requests = seed, numbers, 0

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers; the first axis is that of the items."""
        chances = self._chances()
        return _stacked([chance.standard_normal(shape[:0:-1], dtype=np.float32) for chance in chances])

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers from 0 to below 1; the first axis is that of the items."""
        return _stacked([chance.random(shape[:0:-1], dtype=np.float32) for chance in self._chances()])

    def _chances(self) -> list[np.random.Generator]:
        self._n_requests += 1
        return [np.random.default_rng([self._seed, _NETWORK, number, self._n_requests]) for number in self._numbers]


def _stacked(drawn: Sequence[NDArray[np.float32] | float]) -> Tensor:
    """Join what was drawn for each item with its last axis first, so that more of that changes nothing before."""
    return torch.from_numpy(np.stack([np.asarray(each, dtype=np.float32).T for each in drawn]))


def item_numbers(step: int, part: int, n_parts: int, count: int) -> range:
    """Return the numbers of the `count` items of a step that belong to one of `n_parts` processes.

    All items of a training are numbered through: two parts of `count` hold the items of one part of twice as many.
    """
    first = (step * n_parts + part) * count
    return range(first, first + count)


def item_chance(seed: int, number: int) -> np.random.Generator:
    """Return the chance of one item."""
    return np.random.default_rng([seed, _ITEM, number])


def layers_seed(seed: int, step: int, part: int) -> int:
    """Return the seed for what layers such as dropout draw themselves in a step of one process."""
    return int(np.random.default_rng([seed, _LAYERS, step, part]).integers(_SEEDS))


def shuffled_place(seed: int, number: int, n_places: int) -> int:
    """Return which of `n_places` clips item `number` is of: each once in an epoch, in an order of its own."""
    epoch, at = divmod(number, n_places)
    return int(np.random.default_rng([seed, _ORDER, epoch]).permutation(n_places)[at])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let new networks draw their first weights by `seed`, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
