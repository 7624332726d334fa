import numpy as np
import pytest

from timbre.errors import SettingsError
from timbre.evaluate.summary import bootstrap_mean, summarise


def test_interval_matches_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    result = bootstrap_mean(list(values))
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert result.mean == pytest.approx(values.mean())
    assert result.low == pytest.approx(values.mean() - half_width, abs=0.03)
    assert result.high == pytest.approx(values.mean() + half_width, abs=0.03)
    assert result.n_values == 400


def test_intervals_are_repeatable_and_depend_on_the_seed() -> None:
    values = [1.0, 2.0, 4.0, 9.0, 1.5]
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_equal_values_leave_no_doubt() -> None:
    result = bootstrap_mean([2.0, 2.0, 2.0])
    assert (result.mean, result.low, result.high) == (2.0, 2.0, 2.0)


def test_summary_skips_what_does_not_apply() -> None:
    summary = summarise([{"a": 1.0, "b": None}, {"a": 3.0, "b": 5.0}, {"c": None}])
    assert summary["a"].mean == 2.0 and summary["a"].n_values == 2
    assert summary["b"].mean == 5.0 and summary["b"].n_values == 1
    assert "c" not in summary


def test_no_values_is_an_error() -> None:
    with pytest.raises(SettingsError, match="at least one"):
        bootstrap_mean([])
