"""From a salience over 360 pitch bins to a pitch: what crepe, rmvpe and fcpe share (pipeline spec 2.7, 2.9, 2.10)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

N_BINS = 360
CENTS_PER_BIN = 20.0
FIRST_BIN_CENTS = 1997.3794084376191  # above 10 Hz: 31.7 Hz

BIN_CENTS: NDArray[np.float64] = np.arange(N_BINS, dtype=np.float64) * CENTS_PER_BIN + FIRST_BIN_CENTS
BIN_CENTS.flags.writeable = False


def cents_to_hz(cents: NDArray[Any]) -> NDArray[np.float64]:
    """Cents above 10 Hz to Hz."""
    return np.asarray(10.0 * 2.0 ** (cents / 1200.0), dtype=np.float64)


def window_around_peak(peak: NDArray[np.int64], *, clamp: bool) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the nine bins around each peak [T, 9] and which of them count [T, 9].

    Bins beyond the edge do not count, or, with `clamp`, count again as the edge bin.
    """
    bins = peak[:, None] + np.arange(-4, 5)
    inside = np.ones_like(bins, dtype=bool) if clamp else (bins >= 0) & (bins < N_BINS)
    return np.clip(bins, 0, N_BINS - 1), inside


def local_average_hz(
    salience: NDArray[np.float32],
    threshold: float,
    bin_cents: NDArray[np.float64] = BIN_CENTS,
    *,
    clamp: bool = False,
) -> NDArray[np.float32]:
    """Decode salience [T, 360] by the mean of the nine bins around the peak: f0 [T] in Hz.

    0 where the peak is not above `threshold`. `clamp` is fcpe's way at the edges, without it is rmvpe's.
    """
    peak = salience.argmax(axis=1)
    bins, inside = window_around_peak(peak, clamp=clamp)
    weights = np.take_along_axis(salience, bins, axis=1).astype(np.float64) * inside
    total = weights.sum(axis=1)
    cents = (weights * bin_cents[bins]).sum(axis=1) / np.where(total > 0, total, 1)
    voiced = salience.max(axis=1, initial=0) > threshold
    return np.where(voiced & (total > 0), cents_to_hz(cents), 0).astype(np.float32)
