"""Changing the sample rate."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbre.audio.resample import StreamResampler, resample, resampled_length
from timbre.errors import AudioError

RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000])


@settings(max_examples=60, deadline=None)
@given(
    n_samples=st.integers(0, 4000), from_hz=RATES, to_hz=RATES, n_channels=st.integers(1, 3), seed=st.integers(0, 99)
)
def test_length_is_exact_and_finite(n_samples, from_hz, to_hz, n_channels, seed):
    samples = np.random.default_rng(seed).uniform(-1, 1, (n_channels, n_samples)).astype(np.float32)
    out = resample(samples, from_hz, to_hz)
    assert out.shape == (n_channels, -(-n_samples * to_hz // from_hz))
    assert out.dtype == np.float32 and np.isfinite(out).all()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 700), max_size=8), from_hz=RATES, to_hz=RATES, n_channels=st.integers(1, 2)
)  # fmt: skip
def test_stream_equals_whole(sizes, from_hz, to_hz, n_channels):
    samples = np.random.default_rng(3).uniform(-1, 1, (n_channels, sum(sizes))).astype(np.float32)
    stream = StreamResampler(from_hz, to_hz, n_channels)
    ends = np.cumsum([0, *sizes])
    parts = [stream.push(samples[:, a:b]) for a, b in pairwise(ends)]
    out = np.concatenate([*parts, stream.flush()], axis=1)
    whole = resample(samples, from_hz, to_hz)
    assert out.shape == whole.shape
    assert np.abs(out - whole).max(initial=0) < 1e-6


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 16000), (16000, 44100), (48000, 44100), (8000, 192000)])
def test_a_tone_stays_the_same_tone_at_the_same_time(from_hz, to_hz):
    def tone(rate):
        return np.sin(2 * np.pi * 440 * np.arange(rate // 4) / rate).astype(np.float32)

    out = resample(tone(from_hz), from_hz, to_hz)
    expected = tone(to_hz)
    edge = to_hz // 50
    assert len(out) == len(expected)
    assert np.abs(out - expected)[edge:-edge].max() < 1e-4


def test_what_is_above_the_new_band_is_gone():
    high = np.sin(2 * np.pi * 9000 * np.arange(44100) / 44100).astype(np.float32)
    assert np.abs(resample(high, 44100, 16000)[500:-500]).max() < 1e-4


def test_equal_rates_return_the_input():
    samples = np.ones((2, 7), dtype=np.float32)
    assert resample(samples, 8000, 8000) is samples
    stream = StreamResampler(8000, 8000, 2)
    assert stream.push(samples) is samples and stream.flush().shape == (2, 0)


def test_refusals():
    for rates in ((0, 8000), (8000, -1)):
        with pytest.raises(AudioError, match="at least 1"):
            resample(np.zeros(4, dtype=np.float32), *rates)
    with pytest.raises(AudioError, match=r"must be \[2, samples\]"):
        StreamResampler(8000, 16000, 2).push(np.zeros((1, 4), dtype=np.float32))
    assert resampled_length(3, 2, 1) == 2
