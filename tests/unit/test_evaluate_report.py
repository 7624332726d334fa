import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from timbre.errors import AudioError
from timbre.evaluate import intelligibility, similarity
from timbre.evaluate.files import OVERALL, NamedReport, mean_tables
from timbre.evaluate.report import evaluate_triple
from timbre.evaluate.speaker_encoder import SpeakerEncoder
from timbre.evaluate.waves import MonoWave

RATE = 16_000
TIME_S = np.arange(RATE) / RATE


@pytest.fixture(autouse=True)
def toy_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny speaker encoder, and a recogniser that hears one word per loud quarter second."""
    torch.manual_seed(0)
    encoder = SpeakerEncoder(width=8).eval().requires_grad_(False)
    monkeypatch.setattr(similarity, "load_speaker_encoder", lambda: encoder)

    def hear(wave: MonoWave) -> tuple[str, ...]:
        quarters = wave.samples.reshape(4, -1)
        return tuple(f"w{index}" for index, quarter in enumerate(quarters) if np.abs(quarter).max() > 0.05)

    monkeypatch.setattr(intelligibility, "recognise_english", hear)


def voice(ratio: float = 1.0) -> NDArray[np.float32]:
    """A second of a harmonic sound with a moving melody and loudness."""
    phase = 2 * np.pi * np.cumsum(200 * ratio * 2 ** (np.sin(4 * np.pi * TIME_S) / 6)) / RATE
    swell = 0.6 + 0.4 * np.cos(6 * np.pi * TIME_S)
    return (swell * sum(0.2 / k * np.sin(k * phase) for k in range(1, 9))).astype(np.float32)


SOURCE = MonoWave(voice(), RATE)
TARGET = MonoWave(voice(2.0), RATE)


def test_the_source_itself_is_the_floor() -> None:
    numbers = evaluate_triple(SOURCE, SOURCE, [TARGET, TARGET]).numbers()
    assert numbers["similarity_to_target"] == pytest.approx(numbers["similarity_floor"])
    assert numbers["similarity_to_source"] == pytest.approx(1.0, abs=1e-5)
    assert numbers["word_disagreement"] == 0.0
    assert numbers["median_error_cents"] == pytest.approx(0.0)
    assert numbers["log_f0_correlation"] == pytest.approx(1.0)
    assert numbers["envelope_correlation"] == pytest.approx(1.0)
    assert numbers["level_difference_db"] == pytest.approx(0.0)
    assert numbers["clicks"] == 0.0 and numbers["dropped_s"] == 0.0


def test_every_damage_shows_in_its_number() -> None:
    samples = voice(1.5) * np.float32(0.5)
    samples[RATE // 2 : 3 * RATE // 4] = 0.0
    numbers = evaluate_triple(
        SOURCE, MonoWave(samples, RATE), [TARGET], transcript="w0 w1 w2 w3", asked_shift_semitones=7.0
    ).numbers()
    assert numbers["shift_semitones"] == pytest.approx(12 * math.log2(1.5), abs=0.05)
    assert numbers["shift_error_semitones"] == pytest.approx(12 * math.log2(1.5) - 7, abs=0.05)
    assert numbers["word_disagreement"] == pytest.approx(0.25)
    assert numbers["converted_word_error"] == pytest.approx(0.25)
    assert numbers["source_word_error"] == 0.0
    assert numbers["dropped_s"] == pytest.approx(0.25, abs=0.05)
    power = float(np.mean(samples**2) / np.mean(SOURCE.samples**2))
    assert numbers["level_difference_db"] == pytest.approx(10 * math.log10(power), abs=0.2)
    assert numbers["voicing_disagreement"] == pytest.approx(0.25, abs=0.06)


def test_words_of_other_languages_are_not_judged() -> None:
    report = evaluate_triple(SOURCE, SOURCE, [TARGET], english=False)
    assert report.intelligibility is None
    assert report.numbers()["word_disagreement"] is None


def test_broken_samples_are_counted_and_the_rest_measured() -> None:
    samples = voice()
    samples[100:103] = np.nan
    numbers = evaluate_triple(SOURCE, MonoWave(samples, RATE), [TARGET]).numbers()
    assert numbers["non_finite_samples"] == 3.0
    assert all(value is None or math.isfinite(value) for value in numbers.values())
    assert numbers["log_f0_correlation"] == pytest.approx(1.0, abs=0.01)


def test_a_silent_result_scores_nothing() -> None:
    numbers = evaluate_triple(SOURCE, MonoWave(np.zeros(RATE, dtype=np.float32), RATE), [TARGET]).numbers()
    assert numbers["similarity_to_target"] == 0.0
    assert numbers["word_disagreement"] == 1.0
    assert numbers["envelope_correlation"] == 0.0
    assert numbers["log_f0_correlation"] is None
    assert numbers["dropped_s"] == pytest.approx(1.0, abs=0.1)


def test_a_content_encoder_may_be_given() -> None:
    report = evaluate_triple(SOURCE, SOURCE, [TARGET], extract_content=lambda wave: wave[: RATE // 10].reshape(-1, 10))
    assert report.content_distance == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("samples", [np.zeros(0, dtype=np.float32), np.zeros((2, 8), dtype=np.float32)])
def test_a_wave_is_one_row_of_samples(samples: NDArray[np.float32]) -> None:
    with pytest.raises(AudioError, match=r"mono samples \[N\]"):
        MonoWave(samples, RATE)


def test_means_per_group_and_overall() -> None:
    report = evaluate_triple(SOURCE, SOURCE, [TARGET])
    quieter = evaluate_triple(SOURCE, MonoWave(voice() * np.float32(0.5), RATE), [TARGET])
    rows = [NamedReport("one", "a", report), NamedReport("two", "a", quieter), NamedReport("three", "b", report)]
    means = mean_tables(rows)
    assert list(means) == ["a", "b", OVERALL]
    half_db = 20 * math.log10(0.5)
    assert means["a"]["level_difference_db"].mean == pytest.approx(half_db / 2, abs=1e-3)
    assert means["b"]["level_difference_db"].mean == pytest.approx(0.0, abs=1e-3)
    assert means[OVERALL]["level_difference_db"].mean == pytest.approx(half_db / 3, abs=1e-3)
