"""From CREPE's salience to pitch and periodicity (pipeline spec 2.7, steps 4 and 5).

The original added random dither of up to 20 cents here; this one is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbre.pitch.salience import (
    BIN_CENTS,
    CENTS_PER_BIN,
    FIRST_BIN_CENTS,
    N_BINS,
    cents_to_hz,
    window_around_peak,
)

FLOOR_HZ = 50.0
CEILING_HZ = 1100.0
_REACH_BINS = 12  # the path moves by less than this from frame to frame

Decoder = Callable[[NDArray[np.float32]], tuple[NDArray[np.float64], NDArray[np.float32]]]


def mask_range(salience: NDArray[np.float32]) -> NDArray[np.float32]:
    """Set the bins outside 50 to 1100 Hz of salience [T, 360] to minus infinity, in a copy."""
    low, high = ((1200 * np.log2(hz / 10) - FIRST_BIN_CENTS) / CENTS_PER_BIN for hz in (FLOOR_HZ, CEILING_HZ))
    masked: NDArray[np.float32] = np.array(salience)
    masked[:, : int(np.floor(low))] = -np.inf
    masked[:, int(np.ceil(high)) :] = -np.inf
    return masked


def decode_viterbi(masked: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return (f0 in Hz [T], periodicity [T]) on the smoothest likely path through masked salience [T, 360]."""
    path = _viterbi_path(masked)
    return cents_to_hz(BIN_CENTS[path]), masked[np.arange(len(masked)), path]


def decode_argmax(masked: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return (f0 in Hz [T], periodicity [T]) of the highest bin of each frame."""
    peak = masked.argmax(axis=1)
    return cents_to_hz(BIN_CENTS[peak]), masked[np.arange(len(masked)), peak]


def decode_weighted_argmax(masked: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return (f0 in Hz [T], periodicity [T]) of the mean of the nine bins around the highest."""
    peak = masked.argmax(axis=1)
    bins, inside = window_around_peak(peak, clamp=False)
    values = np.take_along_axis(masked, bins, axis=1).astype(np.float64)
    weights = np.where(inside, 1 / (1 + np.exp(-values)), 0)  # a sigmoid of what is a sigmoid already, as of old
    cents = (weights * BIN_CENTS[bins]).sum(axis=1) / weights.sum(axis=1)
    return cents_to_hz(cents), masked[np.arange(len(masked)), peak]


DECODERS: dict[str, Decoder] = {
    "viterbi": decode_viterbi,
    "argmax": decode_argmax,
    "weighted-argmax": decode_weighted_argmax,
}


def _viterbi_path(masked: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the most likely bin of each frame [T] when near bins follow each other."""
    n_frames = len(masked)
    if n_frames == 0:
        return np.zeros(0, dtype=np.int64)
    scores = masked - masked.max(axis=1, keepdims=True)  # [T, bins], log softmax but for a constant per frame
    transitions = _banded_transitions()  # [bins, 23]
    best = np.full(N_BINS + 2 * (_REACH_BINS - 1), -np.inf)  # with a margin, so that each bin has 23 neighbours
    inner = slice(_REACH_BINS - 1, _REACH_BINS - 1 + N_BINS)
    best[inner] = scores[0]
    came_from = np.zeros((n_frames, N_BINS), dtype=np.int64)
    neighbours = np.lib.stride_tricks.sliding_window_view(best, 2 * _REACH_BINS - 1)
    bins = np.arange(N_BINS)
    for frame in range(1, n_frames):
        candidates = neighbours + transitions
        choice = candidates.argmax(axis=1)
        came_from[frame] = bins + choice - (_REACH_BINS - 1)
        best[inner] = candidates[bins, choice] + scores[frame]
    path = np.empty(n_frames, dtype=np.int64)
    path[-1] = best[inner].argmax()
    for frame in range(n_frames - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path


def _banded_transitions() -> NDArray[np.float64]:
    """Return log probabilities of coming to bin j from bin j - 11 ... j + 11: [bins, 23]; farther is never best."""
    bins = np.arange(N_BINS)
    weights: NDArray[Any] = np.maximum(_REACH_BINS - np.abs(bins[:, None] - bins[None, :]), 0).astype(np.float64)
    weights /= weights.sum(axis=1, keepdims=True)  # [from, to]
    sources = bins[:, None] + np.arange(-_REACH_BINS + 1, _REACH_BINS)
    valid = (sources >= 0) & (sources < N_BINS)
    banded = np.where(valid, weights[np.clip(sources, 0, N_BINS - 1), bins[:, None]], 1.0)
    return np.where(valid, np.log(banded), -np.inf)
