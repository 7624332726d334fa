"""The packaged base and voices convert the packaged phrases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import timbre
from timbre.audio.reader import read_audio
from timbre.audio.resample import resample
from timbre.convert.arrays import LoadedVoice
from timbre.nn.precision import reduced_type
from timbre.pitch.pm import PmTracker
from timbre.pitch.trackers import load_tracker
from timbre.stream.engine import StreamConverter
from timbre.voice.shelf import ASSETS, list_voices

MAX_BASE_BYTES = 24_000_000


@pytest.fixture(scope="module")
def ada() -> LoadedVoice:
    return timbre.load_voice("ada")


def phrase(repository: Path, name: str) -> tuple[NDArray[np.float32], int]:
    sound = read_audio(repository / "examples" / f"{name}.flac")
    return sound.samples[0], sound.sample_rate_hz


def log_f0_correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    n = min(len(first), len(second))
    both = (first[:n] > 0) & (second[:n] > 0)
    return float(np.corrcoef(np.log(first[:n][both]), np.log(second[:n][both]))[0, 1])


def test_base_is_small_and_names_its_licence() -> None:
    assert (ASSETS / "base" / "weights.safetensors").stat().st_size <= MAX_BASE_BYTES
    assert "CC BY-SA 4.0" in (ASSETS / "base" / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_four_voices_with_attribution_are_packaged() -> None:
    cards = list_voices()
    assert len(cards) >= 4
    assert all(card.licence and card.attribution for card in cards)
    assert min(card.median_f0_hz for card in cards) < 140 < 160 < max(card.median_f0_hz for card in cards)


@pytest.mark.parametrize(("name", "shift"), [("spoken", 0.0), ("spoken", 5.0), ("sung", 12.0), ("sung", -12.0)])
def test_melody_follows_the_source(repository: Path, ada: LoadedVoice, name: str, shift: float) -> None:
    wave, rate = phrase(repository, name)
    converted = ada.convert(wave, rate, timbre.ConvertSettings(pitch_shift=shift))
    assert len(converted) == -(-len(wave) * 44_100 // rate)
    tracker = load_tracker("fcpe")  # autocorrelation takes two periods of a nearly pure high tone for one
    source_f0 = tracker.track(resample(wave, rate, 16_000), 16_000, 160).f0_hz
    result_f0 = tracker.track(resample(converted, 44_100, 16_000), 16_000, 160).f0_hz
    assert log_f0_correlation(source_f0, result_f0) > 0.97
    n = min(len(source_f0), len(result_f0))
    both = (source_f0[:n] > 0) & (result_f0[:n] > 0)
    cents = 1200 * np.log2(result_f0[:n][both] / source_f0[:n][both]) - 100 * shift
    assert abs(np.median(cents)) < 8


def treble_level_db(wave: NDArray[np.float32], low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Return the mean power of a 44.1 kHz wave in steps of 172 Hz, in decibels."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, 1024)[::512] * np.hanning(1024)
    bins = slice(round(low_hz / 44_100 * 1024), round(high_hz / 44_100 * 1024))
    power = (np.abs(np.fft.rfft(frames)) ** 2).mean(axis=0)[bins]
    return np.asarray(10 * np.log10(power[: len(power) // 4 * 4].reshape(-1, 4).mean(axis=1) + 1e-12))


@pytest.mark.parametrize("name", ["ada", "finn", "greta", "ravi"])
def test_no_voice_whistles_in_the_treble(repository: Path, name: str) -> None:
    converted = timbre.load_voice(name).convert(*phrase(repository, "spoken"))
    below, top = treble_level_db(converted, 12_000, 17_000), treble_level_db(converted, 17_500, 22_000)
    assert top.max() < np.median(below) + 6
    end = treble_level_db(converted, 7_000, 10_000)  # most recordings of the training end at 8 kHz
    depths = [min(end[:at].max(), end[at + 1 :].max()) - end[at] for at in range(1, len(end) - 1)]
    assert max(depths) < 8  # no notch


def test_chunks_join_without_a_trace(repository: Path, ada: LoadedVoice) -> None:
    wave, rate = phrase(repository, "sung")
    whole = ada.convert(wave, rate, timbre.ConvertSettings(max_chunk_s=600.0))
    chunked = ada.convert(wave, rate, timbre.ConvertSettings(max_chunk_s=1.0))
    difference_db = 10 * np.log10(np.mean((whole - chunked) ** 2) / np.mean(whole**2) + 1e-20)
    assert difference_db < -50


def test_reduced_precision_is_not_heard(repository: Path, ada: LoadedVoice) -> None:
    wave, rate = phrase(repository, "spoken")
    exact, quick = (ada.convert(wave, rate, timbre.ConvertSettings(precision=each)) for each in ("exact", "auto"))
    difference_db = 10 * np.log10(np.mean((exact - quick) ** 2) / np.mean(exact**2) + 1e-20)
    assert difference_db < -45
    assert (difference_db > -120) == (reduced_type("auto", "cpu") is not None)


@pytest.mark.parametrize("source_detail", [0.0, 0.5])
def test_live_steps_sound_like_the_file(repository: Path, ada: LoadedVoice, source_detail: float) -> None:
    wave, rate = phrase(repository, "spoken")
    narrow = resample(wave, rate, 16_000)
    settings = timbre.ConvertSettings(pitch_shift=0.0, silence="convert", source_detail=source_detail)
    engine = StreamConverter(ada.voice, settings)
    assert engine.delay_s <= 0.08
    blocks = [engine.push(narrow[start : start + 320]) for start in range(0, len(narrow) - 320, 320)]
    live = np.concatenate(blocks)
    whole = ada.convert(wave, rate, settings)[: len(live)]
    live_f0, whole_f0 = (
        PmTracker().track(resample(sound, 44_100, 16_000), 16_000, 160).f0_hz for sound in (live, whole)
    )
    n = min(len(live_f0), len(whole_f0))
    assert np.mean((live_f0[:n] > 0) == (whole_f0[:n] > 0)) > 0.9
    assert log_f0_correlation(live_f0, whole_f0) > 0.95
    envelope = [
        np.log(np.sqrt(np.mean(sound[: len(sound) // 441 * 441].reshape(-1, 441) ** 2, axis=1)) + 1e-4)
        for sound in (live, whole)
    ]
    assert np.corrcoef(envelope[0], envelope[1])[0, 1] > 0.97


def test_a_voice_is_made_from_a_reference(repository: Path) -> None:
    voice = timbre.voice_like(repository / "examples" / "spoken.flac")
    assert 60 < voice.card.median_f0_hz < 300
    wave, rate = phrase(repository, "sung")
    assert np.isfinite(voice.convert(wave, rate)).all()
