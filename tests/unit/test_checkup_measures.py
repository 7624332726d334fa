"""Measures of a clip, on sounds whose answer is known."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.toys import glide
from timbre.audio.peaks import limit_true_peak
from timbre.audio.resample import resample
from timbre.prepare.checkup.bandwidth import measure_bandwidth_hz
from timbre.prepare.checkup.clip_measures import hear_clip
from timbre.prepare.checkup.clipping import measure_clipping
from timbre.prepare.checkup.fingerprint import find_matches, take_fingerprint
from timbre.prepare.checkup.hum import measure_hum
from timbre.prepare.checkup.noise import measure_noise
from timbre.prepare.checkup.picture import encode_png, spectrogram_png
from timbre.prepare.checkup.pitch_range import measure_pitch_range, note_name
from timbre.prepare.checkup.reverberation import measure_reverberation_s
from timbre.prepare.checkup.spectra import band_powers, power_spectra
from timbre.prepare.checkup.strangers import LEAST_DISTANCE, compare_clips

RATE = 44_100
Wave = NDArray[np.float32]


def white(seconds: float, seed: int = 0) -> Wave:
    """White noise of power 1."""
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)


def syllables(seconds: float, seed: int = 0, *, voiced: bool = True) -> Wave:
    """Bursts of 0.15 to 0.25 s with pauses between: a glide, or noise, which has all frequencies."""
    chance = np.random.default_rng(seed)
    sound = glide(seconds, RATE) if voiced else 0.1 * white(seconds, seed + 100)
    gate = np.zeros(len(sound), dtype=np.float32)
    start = 0
    while start < len(gate):
        length, pause = chance.uniform(0.15, 0.25), chance.uniform(0.15, 0.3)
        gate[start : start + round(length * RATE)] = chance.uniform(0.5, 1)
        start += round((length + pause) * RATE)
    return (sound * np.convolve(gate, np.ones(441) / 441, mode="same")).astype(np.float32)


def bandwidth(wave: Wave) -> float:
    return measure_bandwidth_hz(band_powers(power_spectra(wave)), RATE)


def low_pass(wave: Wave, cutoff_hz: float) -> Wave:
    """Take away everything above the cut-off."""
    spectrum = np.fft.rfft(wave)
    spectrum[round(cutoff_hz * len(wave) / RATE) :] = 0
    return np.fft.irfft(spectrum, len(wave)).astype(np.float32)


def in_room(wave: Wave, seconds: float) -> Wave:
    """Sound the wave in a room whose decaying noise falls by 60 dB in `seconds`."""
    n_echo = round(seconds * RATE)
    echo = white(seconds, 9) * 10 ** (-3 * np.arange(n_echo) / n_echo)
    echo /= np.sqrt(np.sum(echo**2))
    echo[0] += 1
    size = len(wave) + n_echo
    return np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(echo, size), size)[: len(wave)].astype(np.float32)


def test_spectra_add_up_to_the_mean_square() -> None:
    power = power_spectra(0.1 * white(2))
    assert power.shape == ((2 * RATE - 2048) // 512 + 1, 1025)
    assert power.sum(axis=1).mean() == pytest.approx(0.01, rel=0.03)


@pytest.mark.parametrize("asked_db", [10.0, 20.0, 30.0, 40.0])
def test_signal_to_noise_is_near_the_truth(asked_db: float) -> None:
    voice = syllables(6)
    level = measure_noise(power_spectra(voice)).voice_db
    noisy = voice + 10 ** ((level - asked_db) / 20) * white(6, 3)
    assert measure_noise(power_spectra(noisy)).signal_to_noise_db == pytest.approx(asked_db, abs=1.5)


def test_a_held_note_is_not_taken_for_noise() -> None:
    time = np.arange(3 * RATE) / RATE
    note = sum(0.1 / k * np.sin(2 * np.pi * 220 * k * time) for k in range(1, 30))
    noisy = (note + 0.001 * white(3)).astype(np.float32)
    assert measure_noise(power_spectra(noisy)).signal_to_noise_db > 25


@pytest.mark.parametrize("cutoff_hz", [3400.0, 8000.0, 16_000.0])
@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_bandwidth_is_where_the_voice_ends(cutoff_hz: float, noise: float) -> None:
    wave = low_pass(syllables(4, voiced=False), cutoff_hz) + noise * white(4, 5)
    assert bandwidth(wave.astype(np.float32)) == pytest.approx(cutoff_hz, abs=450)


def test_bandwidth_of_steady_noise_and_of_silence_is_none() -> None:
    assert bandwidth(0.1 * white(4)) < 1000
    assert bandwidth(np.zeros(RATE, dtype=np.float32)) == 0


@pytest.mark.parametrize("mains_hz", [50, 60])
def test_hum_is_found_with_its_level(mains_hz: int) -> None:
    time = np.arange(5 * RATE) / RATE
    hum = 0.01 * np.sin(2 * np.pi * mains_hz * time) + 0.005 * np.sin(2 * np.pi * 3 * mains_hz * time)
    level_db, found_hz = measure_hum((syllables(5) + hum + 1e-4 * white(5)).astype(np.float32), RATE)
    assert found_hz == mains_hz
    assert level_db == pytest.approx(10 * np.log10((0.01**2 + 0.005**2) / 2), abs=1.5)


@pytest.mark.parametrize("wave", [syllables(5), 0.1 * white(5), np.zeros(3 * RATE, np.float32), syllables(1)])
def test_no_hum_where_there_is_none(wave: Wave) -> None:
    assert measure_hum(wave, RATE) == (-160.0, 0)


@pytest.mark.parametrize("louder_db", [3.0, 6.0, 12.0])
@pytest.mark.parametrize("resampled", [False, True])
def test_clipping_is_found_at_any_level(louder_db: float, resampled: bool) -> None:
    tone = glide(3, RATE)
    clipped = np.clip(tone * 10 ** (louder_db / 20), -np.abs(tone).max(), np.abs(tone).max()).astype(np.float32)
    if resampled:
        clipped = resample(resample(clipped, RATE, 48_000), 48_000, RATE)
    if louder_db > 3 or not resampled:
        assert measure_clipping(0.2 * clipped) > 0.005


def test_unclipped_and_limited_sounds_are_not_clipped() -> None:
    for wave in (syllables(3), 0.1 * white(3), np.zeros(RATE, np.float32), np.zeros(1, np.float32)):
        assert measure_clipping(wave) == 0
    loud = 3 * syllables(3)
    limited = limit_true_peak(loud, RATE, -12.0)
    assert np.abs(limited).max() < 0.6 * np.abs(loud).max()
    assert measure_clipping(limited) == 0


@pytest.mark.parametrize("room_s", [0.4, 0.5, 0.8])
def test_reverberation_is_near_the_room(room_s: float) -> None:
    bands = band_powers(power_spectra(in_room(syllables(10, voiced=False), room_s)))
    assert measure_reverberation_s(bands, RATE) == pytest.approx(room_s, rel=0.3)


def test_reverberation_of_dry_held_short_and_silent_sounds() -> None:
    dry = measure_reverberation_s(band_powers(power_spectra(syllables(10, voiced=False))), RATE)
    assert dry is not None and dry < 0.2
    time = np.arange(3 * RATE) / RATE
    for wave in (0.1 * np.sin(2 * np.pi * 440 * time), syllables(0.1), np.zeros(2 * RATE)):
        assert measure_reverberation_s(band_powers(power_spectra(wave.astype(np.float32))), RATE) is None


def test_pitch_range_counts_seconds_per_note() -> None:
    track = np.concatenate([np.full(100, 440), np.full(50, 220), np.zeros(50)]).astype(np.float32)
    found = measure_pitch_range([track[:120], track[120:]], frame_s=0.01)
    assert found.seconds_per_note == pytest.approx({69: 1.0, 57: 0.5})
    assert (found.voiced_share, found.median_hz) == (0.75, 440)
    assert found.covered_notes(1.0) == [69]
    assert measure_pitch_range([], 0.01).median_hz is None
    assert [note_name(note) for note in (21, 60, 69, 70)] == ["A0", "C4", "A4", "A♯4"]


def test_fingerprints_find_the_same_sound_moved_quieter_and_noisy() -> None:
    songs = [syllables(5, seed, voiced=False) * (1 + glide(5, RATE)) for seed in range(4)]
    copy = 0.3 * songs[2][12_345:] + 0.002 * white(5, 8)[12_345:]
    prints = [take_fingerprint(power_spectra(wave.astype(np.float32))) for wave in [*songs, copy]]
    (match,) = find_matches(prints, RATE)
    assert (match.first, match.second) == (2, 4)
    assert match.overlap_s == pytest.approx(5 - 12_345 / RATE, abs=0.1)


def test_fingerprints_of_nothing_match_nothing() -> None:
    silent = take_fingerprint(power_spectra(np.zeros(RATE, np.float32)))
    assert find_matches([silent, silent], RATE) == []
    assert find_matches([], RATE) == []
    assert find_matches([take_fingerprint(power_spectra(0.1 * white(0.01)))] * 2, RATE) == []


def test_strangers_are_far_from_the_rest() -> None:
    chance = np.random.default_rng(0)
    voices = np.array([1.0, 0, 0, 0]) + 0.1 * chance.standard_normal((20, 4))
    voices[7] = (0, 1, 0, 0)
    vectors = (voices / np.linalg.norm(voices, axis=1, keepdims=True)).astype(np.float32)
    likeness = compare_clips(vectors)
    assert likeness is not None
    assert np.flatnonzero(likeness.distances > likeness.limit).tolist() == [7]
    assert likeness.limit == LEAST_DISTANCE
    assert compare_clips(vectors[:5]) is None


@pytest.mark.parametrize("wave", [np.zeros(RATE, np.float32), np.zeros(1, np.float32), 0.1 * white(0.02)])
def test_silent_and_tiny_clips_are_measured_without_warnings(wave: Wave) -> None:
    measures = hear_clip(wave, RATE).measures
    assert all(np.isfinite(value) for value in vars(measures).values() if isinstance(value, float))
    assert (measures.clipped_share, measures.mains_hz) == (0, 0)


def test_long_clips_are_measured_for_a_minute() -> None:
    wave = np.concatenate([np.zeros(60 * RATE, np.float32), 0.5 * np.ones(RATE, np.float32)])
    assert hear_clip(wave, RATE).measures.offset == 0


def test_pictures_are_whole_png_files() -> None:
    picture = spectrogram_png(syllables(2))
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.endswith(b"IEND\xaeB`\x82")
    shades = np.arange(6, dtype=np.uint8).reshape(2, 3)
    picture = encode_png(shades)
    assert struct.unpack(">II", picture[16:24]) == (3, 2)
    begin = picture.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", picture[begin - 8 : begin - 4])
    lines = np.frombuffer(zlib.decompress(picture[begin : begin + length]), np.uint8).reshape(2, 4)
    assert lines[:, 1:].tolist() == shades.tolist()
