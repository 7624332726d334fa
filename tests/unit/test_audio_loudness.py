"""Loudness, peaks and trimming."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbre.audio.loudness import integrated_loudness, match_loudness_envelope, normalize_loudness
from timbre.audio.peaks import limit_peak, limit_true_peak, normalize_peak, true_peak_db
from timbre.audio.trimming import trim_bounds, trim_silence
from timbre.errors import AudioError, MissingExtraError


def sine(frequency_hz: float, rate: int = 48000, duration_s: float = 1.0, level: float = 1.0, phase: float = 0.0):
    time = np.arange(round(duration_s * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency_hz * time + phase)).astype(np.float32)


def test_reference_levels_of_bs_1770():
    mono = sine(997)
    assert integrated_loudness(mono, 48000) == pytest.approx(-3.01, abs=0.05)
    assert integrated_loudness(np.stack([mono, mono]), 48000) == pytest.approx(0.0, abs=0.05)
    assert integrated_loudness(sine(997, level=0.1), 48000) == pytest.approx(-23.01, abs=0.05)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 96000])
def test_normalized_loudness_is_the_target(rate):
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 2 * rate)).astype(np.float32)
    out = normalize_loudness(noise, rate, -20.0)
    assert integrated_loudness(out, rate) == pytest.approx(-20.0, abs=0.02)


def test_short_and_silent_sounds_have_a_rule():
    short, long = sine(1000, duration_s=0.1), sine(1000, duration_s=1.0)
    assert integrated_loudness(short, 48000) == pytest.approx(integrated_loudness(long, 48000), abs=0.1)
    assert np.isfinite(integrated_loudness(np.ones(1, dtype=np.float32), 48000)) in (True, False)
    silence = np.zeros((2, 48000), dtype=np.float32)
    assert integrated_loudness(silence, 48000) == -np.inf
    assert integrated_loudness(silence[:, :10], 48000) == -np.inf
    assert normalize_loudness(silence, 48000, -16) is silence


def test_six_channels_leave_out_the_lfe():
    quiet, loud = sine(997, level=0.05), sine(60, level=1.0)
    six = np.stack([quiet, quiet, quiet, loud, quiet, quiet])
    assert integrated_loudness(six, 48000) == pytest.approx(
        -23.01 - 6.02 + 10 * np.log10(3 + 2 * 1.41), abs=0.1
    )  # fmt: skip
    for shape in ((7, 48000), (1, 0)):
        with pytest.raises(AudioError, match="1 to 6 channels"):
            integrated_loudness(np.zeros(shape, dtype=np.float32), 48000)


def test_missing_pyloudnorm_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyloudnorm", None)
    with pytest.raises(MissingExtraError, match=r"timbre\[loudness\]"):
        integrated_loudness(sine(997), 48000)


def test_true_peak_between_the_samples():
    wave = sine(12000, phase=np.pi / 4, level=1.0)  # every sample at 0.707
    assert np.abs(wave).max() == pytest.approx(0.7071, abs=1e-3)
    assert true_peak_db(wave[None, :], 48000) == pytest.approx(0.0, abs=0.3)
    assert true_peak_db(sine(997, level=0.5), 48000) == pytest.approx(-6.02, abs=0.02)
    assert true_peak_db(np.zeros(100, dtype=np.float32), 48000) == -np.inf
    assert true_peak_db(np.zeros((2, 0), dtype=np.float32), 48000) == -np.inf
    for rate in (96000, 192000):
        assert true_peak_db(sine(997, rate, level=0.5), rate) == pytest.approx(-6.02, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    gain=st.floats(0.1, 8),
    n_samples=st.integers(1, 6000),
    n_channels=st.integers(1, 2),
    rate=st.sampled_from([8000, 44100, 96000]),
    ceiling_db=st.sampled_from([-6.0, -1.0, 0.0]),
)
def test_limiter_never_passes_its_ceiling(seed, gain, n_samples, n_channels, rate, ceiling_db):
    rng = np.random.default_rng(seed)
    samples = (gain * rng.uniform(-1, 1, (n_channels, n_samples)) ** 3).astype(np.float32)
    limited = limit_true_peak(samples, rate, ceiling_db)
    assert limited.shape == samples.shape and limited.dtype == np.float32 and np.isfinite(limited).all()
    assert true_peak_db(limited, rate) <= ceiling_db + 1e-3


def test_limiter_is_transparent_below_and_local_above():
    quiet = sine(300, level=0.5)
    assert limit_true_peak(quiet, 48000, -1.0) is quiet
    burst = quiet.copy()
    burst[24000:24050] *= 3
    limited = limit_true_peak(burst, 48000, -3.0)
    assert np.array_equal(limited[:23500], quiet[:23500]) and np.array_equal(limited[24550:], quiet[24550:])
    gain = limited[23000:25000] / np.where(np.abs(burst[23000:25000]) < 0.05, np.nan, burst[23000:25000])
    assert np.nanmax(gain) <= 1.0001 and np.nanmin(gain) < 0.6
    assert np.nanmax(np.abs(np.diff(gain))) < 0.02  # smooth


def test_limiter_gain_is_shared_by_the_channels():
    stereo = np.stack([sine(300, level=2.0), sine(300, level=0.2)])
    limited = limit_true_peak(stereo, 48000, -1.0)
    assert np.allclose(limited[0], 10 * limited[1], atol=1e-5)


def test_peak_scaling():
    samples = np.array([[0.5, -2.0]], dtype=np.float32)
    assert normalize_peak(samples).tolist() == [[0.25, -1.0]]
    assert np.allclose(limit_peak(samples), [[0.245, -0.98]])
    fine = np.array([0.5, -1.0], dtype=np.float32)
    assert limit_peak(fine) is fine
    silence = np.zeros(3, dtype=np.float32)
    assert normalize_peak(silence) is silence and limit_peak(silence[:0]).shape == (0,)


def test_trim_finds_the_loud_part():
    samples = np.zeros(30000, dtype=np.float32)
    samples[10000:20000] = sine(1000, duration_s=10000 / 48000)
    start, end = trim_bounds(samples)
    assert 10000 - 2048 <= start <= 10000 and 20000 <= end <= 20000 + 2048
    stereo = np.stack([np.zeros_like(samples), samples])
    assert trim_bounds(stereo) == (start, end) and trim_silence(stereo).shape == (2, end - start)
    assert trim_bounds(samples[:0]) == (0, 0)
    assert trim_bounds(np.zeros(700, dtype=np.float32)) == (0, 700)


def test_envelope_follows_the_source():
    quiet_loud = np.concatenate([sine(200, 8000, 2, 0.1), sine(200, 8000, 2, 0.8)])
    flat = sine(300, 16000, 4, 0.5)
    out = match_loudness_envelope(quiet_loud, 8000, flat, 16000, 0.0)
    assert np.abs(out[16000:24000]).max() == pytest.approx(0.1, rel=0.05)
    assert np.abs(out[-12000:-9000]).max() == pytest.approx(0.8, rel=0.05)
    assert match_loudness_envelope(quiet_loud, 8000, flat, 16000, 1.0) is flat
    assert np.isfinite(match_loudness_envelope(np.zeros_like(quiet_loud), 8000, flat * 0, 16000, 0.3)).all()
    assert match_loudness_envelope(quiet_loud[:0], 8000, flat, 16000, 0.0) is flat
