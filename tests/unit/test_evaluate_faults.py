import numpy as np
import pytest
from numpy.typing import NDArray

from timbre.evaluate.clicks import find_clicks
from timbre.evaluate.faults import measure_faults
from timbre.evaluate.waves import MonoWave

RATE = 16_000
SECONDS = np.arange(2 * RATE) / RATE


def voice_like(hz: float = 120.0) -> NDArray[np.float32]:
    """A pulse train through a resonance: sharp instants, but none alone."""
    pulses = np.zeros(len(SECONDS))
    pulses[(np.arange(1, int(2 * hz)) / hz * RATE).astype(int)] = 1.0
    ring = np.exp(-np.arange(200) / 30) * np.sin(2 * np.pi * 700 * np.arange(200) / RATE)
    return (0.3 * np.convolve(pulses, ring)[: len(SECONDS)]).astype(np.float32)


CLEAN = MonoWave(voice_like(), RATE)


def changed(samples: NDArray[np.floating]) -> MonoWave:
    return MonoWave(samples.astype(np.float32), RATE)


def test_a_clean_signal_has_no_fault() -> None:
    result = measure_faults(CLEAN, CLEAN, join_times_s=[0.5, 1.0])
    assert result.clipped_fraction == 0.0
    assert result.clicks == 0 and result.clicks_at_joins == 0
    assert result.dropped_s == 0.0
    assert result.non_finite_samples == 0
    assert result.length_difference_s == 0.0


def test_glottal_pulses_and_noise_are_no_clicks() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)
    assert find_clicks(CLEAN).size == 0
    assert find_clicks(changed(noise)).size == 0


def test_jumps_are_found_where_they_are() -> None:
    samples = 0.3 * np.sin(2 * np.pi * 200 * SECONDS)
    samples[8_005:] *= -1.0
    samples[24_020:] += 0.2
    times = find_clicks(changed(samples))
    assert times == pytest.approx([8_005 / RATE, 24_020 / RATE], abs=2 / RATE)


def test_loudness_does_not_change_the_clicks() -> None:
    samples = 0.3 * np.sin(2 * np.pi * 200 * SECONDS)
    samples[8_005:] *= -1.0
    assert find_clicks(changed(samples)) == pytest.approx(find_clicks(changed(samples * 3)))


def test_clicks_of_the_source_are_not_held_against_the_result() -> None:
    samples = 0.3 * np.sin(2 * np.pi * 200 * SECONDS)
    samples[8_005:] *= -1.0
    both = samples.copy()
    both[24_020:] += 0.2
    result = measure_faults(changed(samples), changed(both), join_times_s=[1.5, 24_020 / RATE])
    assert result.click_times_s == pytest.approx([24_020 / RATE], abs=2 / RATE)
    assert result.clicks_at_joins == 1
    assert measure_faults(changed(samples), changed(both), join_times_s=[1.4]).clicks_at_joins == 0


def test_clipping_is_a_fraction_of_the_samples() -> None:
    loud = np.clip(2.0 * np.sin(2 * np.pi * 100 * SECONDS), -1, 1)
    assert measure_faults(CLEAN, changed(loud)).clipped_fraction == pytest.approx(2 / 3, abs=0.01)


def test_dropped_sound_is_counted_in_seconds() -> None:
    samples = CLEAN.samples.copy()
    samples[RATE // 2 : RATE] = 0
    assert measure_faults(CLEAN, changed(samples)).dropped_s == pytest.approx(0.5, abs=0.05)
    assert measure_faults(CLEAN, changed(CLEAN.samples[:RATE])).dropped_s == pytest.approx(1.0, abs=0.05)


def test_a_wholly_silent_result_drops_everything() -> None:
    assert measure_faults(CLEAN, changed(np.zeros(2 * RATE))).dropped_s == pytest.approx(2.0, abs=0.05)


def test_silence_that_stays_silent_is_not_dropped() -> None:
    half = CLEAN.samples.copy()
    half[RATE:] = 0
    assert measure_faults(changed(half), changed(half)).dropped_s == 0.0


def test_offset_broken_samples_and_length() -> None:
    samples = np.concatenate([CLEAN.samples + 0.05, np.full(RATE // 2, 0.05)])
    offset = measure_faults(CLEAN, changed(samples))
    assert offset.dc_offset == pytest.approx(0.05 + float(CLEAN.samples.sum()) / len(samples), abs=1e-5)
    assert offset.length_difference_s == pytest.approx(0.5)
    samples[[3, 5]] = np.nan
    samples[7] = np.inf
    assert measure_faults(CLEAN, changed(samples)).non_finite_samples == 3
