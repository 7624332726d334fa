"""The nearest rows of a table by squared Euclidean distance."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK_NUMBERS = 1 << 23  # of the largest table that is held at once


def nearest_rows(queries: Tensor, rows: Tensor, n_nearest: int) -> tuple[Tensor, Tensor]:
    """Return squared distances and positions of the nearest `rows` [N, D] to each of `queries` [T, D], nearest first.

    Both are [T, min(n_nearest, N)]. Rows are found by a matrix product, which is quick, and measured by differences,
    which is exact: a row that equals its query is at distance 0.
    """
    n_nearest, norms = min(n_nearest, len(rows)), rows.square().sum(dim=1)
    block = max(1, _BLOCK_NUMBERS // max(len(rows), n_nearest * rows.shape[1]))
    parts = [_nearest(part, rows, norms, n_nearest) for part in queries.split(block)]
    distances, positions = zip(*parts, strict=True)
    return torch.cat(distances), torch.cat(positions)


def _nearest(queries: Tensor, rows: Tensor, norms: Tensor, n_nearest: int) -> tuple[Tensor, Tensor]:
    positions = (norms - 2 * queries @ rows.T).topk(n_nearest, dim=1, largest=False).indices
    distances = (queries[:, None] - rows[positions]).square().sum(dim=2)
    distances, order = distances.sort(dim=1)
    return distances, positions.gather(1, order)
