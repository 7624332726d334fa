"""Rumble goes, voices stay, and pieces sound like the whole."""

from __future__ import annotations

import numpy as np
import pytest

from timbre.audio.rumble import RumbleFilter, without_rumble

RATES = (16_000, 44_100)


def tone(hz: float, rate: int) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(4 * rate) / rate).astype(np.float32)


def level_db(wave: np.ndarray) -> float:
    settled = wave[len(wave) // 2 :]
    return float(10 * np.log10(2 * np.mean(settled**2) + 1e-20))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("hz", "low_db", "high_db"), [(5, -80, -45), (10, -26, -23), (20, -3.1, -2.9), (40, -0.1, 0.01)]
)
def test_tones_are_lowered_as_by_a_butterworth_filter(rate: int, hz: float, low_db: float, high_db: float) -> None:
    assert low_db < level_db(without_rumble(tone(hz, rate), rate)) < high_db


@pytest.mark.parametrize("hz", [200, 1000, 7000])
def test_voices_stay(hz: float) -> None:
    assert abs(level_db(without_rumble(tone(hz, 16_000), 16_000))) < 0.02


def test_an_offset_goes_wholly() -> None:
    clean = without_rumble(np.full(16_000, 0.3, dtype=np.float32), 16_000)
    assert np.abs(clean[3000:]).max() < 1e-6


@pytest.mark.parametrize("size", [1, 7, 320, 5000, 40_000])
def test_pieces_give_what_the_whole_gives(size: int) -> None:
    wave = (
        np.random.default_rng(0)
        .standard_normal(2000 if size == 1 else 9000 if size < 9000 else 100_000)
        .astype(np.float32)
    )
    cleaner = RumbleFilter(16_000)
    pieces = [cleaner.push(wave[start : start + size]) for start in range(0, len(wave), size)]
    np.testing.assert_allclose(np.concatenate(pieces), without_rumble(wave, 16_000), atol=1e-6)
    assert len(cleaner.push(wave[:0])) == 0
