"""Hum in pauses is no voice, and a low voice is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from timbre.pitch.hum import without_hum
from timbre.pitch.pm import PmTracker

RATE_HZ, HOP = 16_000, 160
TIMES_S = np.arange(2 * RATE_HZ) / RATE_HZ


def tracked(wave: NDArray[np.float64]) -> NDArray[np.float32]:
    return PmTracker().track(wave.astype(np.float32), RATE_HZ, HOP, len(wave) // HOP).f0_hz


def pulses(f0_hz: float) -> NDArray[np.float64]:
    """A voice whose harmonics up to 2 kHz are equally strong."""
    return 0.02 * sum(np.cos(2 * np.pi * f0_hz * n * TIMES_S) for n in range(1, int(2000 / f0_hz)))


@pytest.mark.parametrize("mains_hz", [55.0, 60.0])
def test_hum_has_no_pitch(mains_hz: float) -> None:
    noise = 0.001 * np.random.default_rng(0).standard_normal(len(TIMES_S))
    wave = 0.02 * np.sin(2 * np.pi * mains_hz * TIMES_S) + noise
    assert (tracked(wave) > 0).mean() > 0.9
    assert (without_hum(tracked(wave), wave.astype(np.float32), RATE_HZ) == 0).all()


@pytest.mark.parametrize("f0_hz", [62.0, 70.0, 400.0])
def test_a_voice_keeps_its_pitch_with_hum_below_it(f0_hz: float) -> None:
    wave = pulses(f0_hz) + 0.01 * np.sin(2 * np.pi * 50 * TIMES_S)
    f0 = tracked(wave)
    assert abs(np.median(f0[f0 > 0]) - f0_hz) < 1
    np.testing.assert_array_equal(without_hum(f0, wave.astype(np.float32), RATE_HZ), f0)


def test_only_the_pause_is_cleaned() -> None:
    voice = pulses(65.0) * (TIMES_S < 1)
    wave = voice + 0.01 * np.sin(2 * np.pi * 60 * TIMES_S)
    f0 = without_hum(tracked(wave), wave.astype(np.float32), RATE_HZ)
    assert (f0[10:90] > 0).all() and (f0[110:] == 0).all()
    assert len(without_hum(np.zeros(0, np.float32), np.zeros(0, np.float32), RATE_HZ)) == 0
