"""Centres of many rows by k-means: seeded as in k-means++, then Lloyd's rounds (pipeline spec 5.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from timbre.nn.draws import Draws, SeededDraws

MOST_ROUNDS = 25
_LEAST_GAIN = 2e-3  # share of the mean distance; a round that gains less is the last
_BLOCK_NUMBERS = 1 << 22  # of the largest table that is held at once


@dataclass(frozen=True, eq=False)
class Clustering:
    """Centres, each of them the nearest to some row."""

    centres: Tensor  # [K, D]
    nearest: Tensor  # [N], the centre of each row
    mean_distance: float  # of the rows to their centres, Euclidean


def cluster(
    rows: Tensor,
    n_centres: int,
    seed: int,
    *,
    number_type: torch.dtype | None = None,
    on_progress: Callable[[float], None] = lambda done: None,
) -> Clustering:
    """Find at most `n_centres` centres of `rows` [N, D], N > 0; there are fewer where fewer rows differ.

    `number_type` is that of the products by which the nearest centre is found, by default that of the rows: reduced
    precision chooses between centres that are about as near. Centres and distances are always exact. The same seed
    gives the same centres on the same machine. `on_progress` hears the share that is done, 0 to 1.
    """
    search = _Search(rows.mean(dim=0), number_type or rows.dtype)
    centres = _seeds(rows, n_centres, search, SeededDraws(seed), lambda done: on_progress(done / (1 + MOST_ROUNDS)))
    previous = float("inf")
    for n_done in range(1, 1 + MOST_ROUNDS):
        distances, nearest = search.nearest(rows, centres)
        mean = float(distances.sqrt().mean())
        if mean >= (1 - _LEAST_GAIN) * previous or n_done == MOST_ROUNDS:
            break
        previous = mean
        centres = _means(rows, nearest, distances, len(centres))
        on_progress((1 + n_done) / (1 + MOST_ROUNDS))
    on_progress(1.0)
    used, nearest = nearest.unique(return_inverse=True)
    return Clustering(centres[used], nearest, mean)


@dataclass(frozen=True, eq=False)
class _Search:
    """Finds nearest centres by products of rows without their mean, which lose less when they are rounded."""

    mean: Tensor  # [D]
    number_type: torch.dtype

    def nearest(self, rows: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Return the squared distance and the position of the nearest of `centres` [K, D] to each row, both [N]."""
        table = (centres - self.mean).to(self.number_type).T
        norms = (centres - self.mean).square().sum(dim=1)
        distances, positions = [], []
        for part in rows.split(max(1, _BLOCK_NUMBERS // len(centres))):
            products = (part - self.mean).to(self.number_type) @ table
            positions.append(torch.add(norms, products, alpha=-2).argmin(dim=1))
            distances.append((part - centres[positions[-1]]).square().sum(dim=1))
        return torch.cat(distances), torch.cat(positions)


def _seeds(rows: Tensor, n_centres: int, search: _Search, draws: Draws, on_progress: Callable[[float], None]) -> Tensor:
    """Draw rows by their squared distance to those drawn before; each time as many as there are, which is quick."""
    newest = chosen = (draws.uniform(1) * len(rows)).long().to(rows.device)
    distances = rows.new_full((len(rows),), torch.inf)
    while len(chosen) < n_centres:
        distances = torch.minimum(distances, search.nearest(rows, rows[newest])[0])
        n_new = min(len(chosen), n_centres - len(chosen), int((distances > 0).sum()))
        if n_new == 0:
            break
        keys = draws.uniform(len(rows)).to(rows.device).log() / distances  # the largest are such a draw
        newest = keys.topk(n_new).indices
        chosen = torch.cat((chosen, newest))
        on_progress(len(chosen) / n_centres)
    return rows[chosen]


def _means(rows: Tensor, nearest: Tensor, distances: Tensor, n_centres: int) -> Tensor:
    """Return the mean of the rows of each centre; one without rows moves to a row that is far from its own."""
    order, counts = nearest.argsort(stable=True), nearest.bincount(minlength=n_centres)
    means = torch.segment_reduce(rows[order], "mean", lengths=counts, axis=0)
    empty = (counts == 0).nonzero()[:, 0]
    means[empty] = rows[distances.topk(len(empty)).indices]
    return means
