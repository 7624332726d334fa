"""Means over many conversions, with the uncertainty that the number of them leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from timbre.errors import SettingsError

_N_RESAMPLES = 2000


@dataclass(frozen=True)
class MeanInterval:
    """A mean and its bootstrap 95 % interval (percentile method, Efron 1979); `low` = `high` for a single value."""

    mean: float
    low: float
    high: float
    n_values: int


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> MeanInterval:
    """Return the mean of `values` and the interval in which resampled means fall 95 % of the time.

    The same values and seed give the same interval. Raises SettingsError for an empty list.
    """
    if not len(values):
        raise SettingsError("no value was given; a mean needs at least one")
    numbers = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(numbers), size=(_N_RESAMPLES, len(numbers)))
    low, high = np.percentile(numbers[picks].mean(axis=1), [2.5, 97.5])
    return MeanInterval(float(numbers.mean()), float(low), float(high), len(numbers))


def summarise(rows: Sequence[Mapping[str, float | None]], seed: int = 0) -> dict[str, MeanInterval]:
    """Return the mean of each named measure over the rows that have it; measures that no row has are left out."""
    names = dict.fromkeys(name for row in rows for name in row)
    summary: dict[str, MeanInterval] = {}
    for name in names:
        values = [value for row in rows if (value := row.get(name)) is not None]
        if values:
            summary[name] = bootstrap_mean(values, seed)
    return summary
