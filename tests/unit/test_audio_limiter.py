"""The streaming limiter: its ceiling, what it leaves alone, and that blocks do not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from timbre.audio.limiter import CEILING_DB, StreamLimiter
from timbre.errors import AudioError

RATE = 44_100
CEILING = 10 ** (CEILING_DB / 20)


def limit(samples: NDArray[np.float32], sizes: list[int] | None = None, rate: int = RATE) -> NDArray[np.float32]:
    """Limit [C, N] in blocks of these sizes in turn (default: all at once)."""
    limiter, at, parts, turn = StreamLimiter(rate, len(samples)), 0, [], 0
    sizes = sizes or [samples.shape[1]]
    while at < samples.shape[1]:
        size = sizes[turn % len(sizes)]
        parts.append(limiter.push(samples[:, at : at + size]))
        at, turn = at + size, turn + 1
    return np.concatenate([*parts, limiter.flush()], axis=1)


def tone(seconds: float, level: float, hz: float = 220.0) -> NDArray[np.float32]:
    return np.asarray(level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE), dtype=np.float32)[None]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 999),
    st.floats(0.1, 1e6),
    st.integers(0, 40_000),
    st.integers(1, 2),
    st.sampled_from([50, 8000, 44_100]),
    st.lists(st.integers(1, 9000), min_size=1, max_size=4),
)
def test_ceiling_and_length_hold_whatever_the_blocks(
    seed: int, gain: float, n_samples: int, n_channels: int, rate: int, sizes: list[int]
) -> None:
    samples = (gain * np.random.default_rng(seed).uniform(-1, 1, (n_channels, n_samples)) ** 3).astype(np.float32)
    limited = limit(samples, sizes, rate)
    assert limited.shape == samples.shape and limited.dtype == np.float32
    assert np.abs(limited).max(initial=0.0) <= np.float32(CEILING)
    np.testing.assert_array_equal(limited, limit(samples, None, rate))


def test_single_samples_give_the_same() -> None:
    samples = tone(0.05, 1.8)
    np.testing.assert_array_equal(limit(samples, [1]), limit(samples))


def test_sound_below_the_ceiling_passes_bit_for_bit() -> None:
    samples = np.random.default_rng(0).uniform(-CEILING, CEILING, (2, 50_000)).astype(np.float32)
    limiter = StreamLimiter(RATE, 2)
    np.testing.assert_array_equal(np.concatenate((limiter.push(samples), limiter.flush()), axis=1), samples)
    assert limiter.reduction_db == 0.0


def test_only_the_neighbourhood_of_a_peak_changes_and_smoothly() -> None:
    samples = tone(2.0, 0.5)
    samples[0, 40_000:40_100] *= 4
    limiter = StreamLimiter(RATE)
    limited = np.concatenate((limiter.push(samples), limiter.flush()), axis=1)
    reach = round(0.041 * RATE)
    np.testing.assert_array_equal(limited[:, : 40_000 - reach], samples[:, : 40_000 - reach])
    np.testing.assert_array_equal(limited[:, 40_100 + reach :], samples[:, 40_100 + reach :])
    gain = (limited / np.where(np.abs(samples) < 0.05, np.nan, samples))[0]
    assert np.nanmin(gain) == pytest.approx(CEILING / np.abs(samples).max(), rel=1e-4)
    known = gain[np.isfinite(gain)]
    assert known.max() <= 1 and np.abs(np.diff(known)).max() < 0.02
    assert limiter.reduction_db == pytest.approx(20 * np.log10(np.abs(samples).max() / CEILING), abs=1e-3)


def test_a_steady_tone_keeps_its_shape() -> None:
    limited = limit(tone(1.0, 2.0, hz=60.0))[0]
    middle, source = limited[10_000:30_000], tone(1.0, 2.0, hz=60.0)[0, 10_000:30_000]
    gain = float(middle @ source / (source @ source))
    assert np.abs(middle - gain * source).max() < 1e-3  # one gain, no distortion


def test_channels_share_the_gain() -> None:
    limited = limit(np.concatenate((tone(0.3, 2.0), tone(0.3, 0.2))))
    np.testing.assert_allclose(limited[0], 10 * limited[1], atol=1e-6)


def test_nothing_pushed_gives_nothing() -> None:
    assert StreamLimiter(RATE).flush().shape == (1, 0)


def test_rate_is_checked() -> None:
    with pytest.raises(AudioError, match="at least 1"):
        StreamLimiter(0)
