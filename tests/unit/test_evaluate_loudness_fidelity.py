import numpy as np
import pytest

from timbre.evaluate.loudness_fidelity import measure_loudness_fidelity
from timbre.evaluate.waves import MonoWave, frame_level_db

RATE = 16_000
SECONDS = np.arange(2 * RATE) / RATE
SWELL_DB = -20.0 + 15.0 * np.sin(2 * np.pi * 1.0 * SECONDS)


def tone(level_db: np.ndarray, hz: float = 1000.0) -> MonoWave:  # type: ignore[type-arg]
    return MonoWave((10 ** (level_db / 20) * np.sin(2 * np.pi * hz * SECONDS)).astype(np.float32), RATE)


def test_levels_of_known_signals() -> None:
    constant = np.full(1000, 0.1, dtype=np.float32)
    assert frame_level_db(constant, 400, 160) == pytest.approx([-20.0] * 4, abs=1e-4)
    assert frame_level_db(np.zeros(1000, dtype=np.float32), 400, 160) == pytest.approx([-120.0] * 4)
    assert frame_level_db(np.full(100, 1.0, dtype=np.float32), 400, 160) == pytest.approx([0.0])


def test_another_tone_with_the_same_swell() -> None:
    result = measure_loudness_fidelity(tone(SWELL_DB), tone(SWELL_DB - 6.0, hz=300.0))
    assert result.envelope_correlation == pytest.approx(1.0, abs=1e-3)
    assert result.level_difference_db == pytest.approx(-6.0, abs=0.05)


def test_an_inverted_swell() -> None:
    result = measure_loudness_fidelity(tone(SWELL_DB), tone(-40.0 - SWELL_DB))
    assert result.envelope_correlation == pytest.approx(-1.0, abs=1e-2)


def test_a_flattened_swell_follows_nothing() -> None:
    result = measure_loudness_fidelity(tone(SWELL_DB), tone(np.full_like(SWELL_DB, -20.0)))
    assert result.envelope_correlation is not None and abs(result.envelope_correlation) < 0.3


def test_a_constant_source_has_no_envelope() -> None:
    constant = tone(np.full_like(SWELL_DB, -20.0))
    assert measure_loudness_fidelity(constant, constant).envelope_correlation is None


def test_a_silent_result_follows_nothing_and_is_far_below() -> None:
    silent = MonoWave(np.zeros(2 * RATE, dtype=np.float32), RATE)
    result = measure_loudness_fidelity(tone(SWELL_DB), silent)
    assert result.envelope_correlation == 0.0
    assert result.level_difference_db < -80.0


def test_room_noise_in_the_pauses_does_not_count() -> None:
    gated = np.where(SECONDS < 1.0, SWELL_DB, -90.0)
    noisy_pause = np.where(SECONDS < 1.0, SWELL_DB, -70.0)
    result = measure_loudness_fidelity(tone(gated), tone(noisy_pause))
    assert result.envelope_correlation == pytest.approx(1.0, abs=1e-3)
    assert 95 <= result.n_active_frames <= 103
