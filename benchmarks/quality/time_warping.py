"""Distances between sounds of different tempo by dynamic time warping.

The symmetric form of Sakoe and Chiba (1978) without a slope limit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]  # [T, D]
_DIAGONAL_WEIGHT = 2.0  # so that all paths through [T, U] have the weight T + U


def warped_distances(first: Sequence[Frames], second: Sequence[Frames]) -> NDArray[np.float32]:
    """Return the mean cosine distance along the best path between each of `first` and each of `second`, [n, m]."""
    costs = _costs(first, second)  # [T, U, n * m]
    lengths = np.array([len(frames) for frames in first])[:, None], np.array([len(frames) for frames in second])[None]
    last_rows = np.broadcast_to(lengths[0] - 1, (len(first), len(second))).reshape(-1)
    total_lengths = (lengths[0] + lengths[1]).reshape(-1)
    distances = np.zeros(len(total_lengths), dtype=np.float32)
    n_rows, n_columns, n_pairs = costs.shape
    nothing = np.full((n_rows + 1, n_pairs), np.inf, dtype=np.float32)  # entry i + 1 belongs to row i
    before, previous = nothing.copy(), nothing.copy()
    before[0] = -costs[0, 0]  # so that the first cell, reached by a diagonal step, costs its cost once more: 2c - c
    for diagonal in range(n_rows + n_columns - 1):
        rows = np.arange(max(0, diagonal - n_columns + 1), min(diagonal + 1, n_rows))
        cost = costs[rows, diagonal - rows]
        current = nothing.copy()
        straight = np.minimum(previous[rows], previous[rows + 1]) + cost
        current[rows + 1] = np.minimum(straight, before[rows] + _DIAGONAL_WEIGHT * cost)
        before, previous = previous, current
        ends = np.flatnonzero(total_lengths - 2 == diagonal)
        distances[ends] = current[last_rows[ends] + 1, ends]
    mean: NDArray[np.float32] = (distances / (total_lengths - 1)).astype(np.float32)
    return mean.reshape(len(first), len(second))


def _costs(first: Sequence[Frames], second: Sequence[Frames]) -> NDArray[np.float32]:
    """Cosine distance of all frames of all pairs [T, U, n * m]; what lies behind a sound's end is arbitrary."""
    ours, theirs = _padded(first), _padded(second)
    flat = 1.0 - ours.reshape(-1, ours.shape[2]) @ theirs.reshape(-1, theirs.shape[2]).T
    grid = flat.reshape(ours.shape[0], ours.shape[1], theirs.shape[0], theirs.shape[1])
    return np.ascontiguousarray(grid.transpose(1, 3, 0, 2)).reshape(ours.shape[1], theirs.shape[1], -1)


def _padded(sounds: Sequence[Frames]) -> NDArray[np.float32]:
    """Stack unit frames [n, T, D], zero behind the end."""
    stacked = np.zeros((len(sounds), max(map(len, sounds)), sounds[0].shape[1]), dtype=np.float32)
    for row, frames in zip(stacked, sounds, strict=True):
        row[: len(frames)] = frames / np.maximum(np.linalg.norm(frames, axis=1, keepdims=True), 1e-6)
    return stacked
