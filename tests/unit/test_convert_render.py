"""Conversion of sounds: lengths, chunks, silences, loudness, determinism."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.toys import glide, make_toy_voice
from timbre.audio.slicing import Piece
from timbre.config.convert import ConvertSettings
from timbre.convert.arrays import LoadedVoice
from timbre.convert.render import SilenceGate
from timbre.errors import AudioError
from timbre.voice.fast import FastVoice

VOICE = LoadedVoice(make_toy_voice())


def convert(wave: NDArray[np.float32], rate: int = 16_000, **options: object) -> NDArray[np.float32]:
    return VOICE.convert(wave, rate, ConvertSettings.from_mapping({"pitch": "pm", **options}))


def with_pause(rate: int = 16_000) -> NDArray[np.float32]:
    pause = np.zeros(2 * rate, dtype=np.float32)
    return np.concatenate((glide(1.5, rate), pause, glide(1.2, rate)))


def decibels(part: NDArray[np.float32], whole: NDArray[np.float32]) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(part**2)) / np.sqrt(np.mean(whole**2)) + 1e-12))


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_result_lasts_exactly_as_long_as_the_source(rate: int) -> None:
    wave = glide(0.73, rate)
    assert len(convert(wave, rate)) == -(-len(wave) * 44_100 // rate)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 5000))
def test_any_length_is_converted_to_the_sample(n_samples: int) -> None:
    wave = np.resize(glide(0.3, 16_000), n_samples)
    result = convert(wave)
    assert len(result) == -(-n_samples * 44_100 // 16_000)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("options", [{}, {"retrieval_ratio": 0.6}, {"source_detail": 0.8}])
def test_short_chunks_sound_like_the_whole(options: dict[str, float]) -> None:
    wave = with_pause()
    whole = convert(wave, max_chunk_s=600.0, **options)
    chunked = convert(wave, max_chunk_s=1.0, **options)
    if options:
        assert decibels(convert(wave, max_chunk_s=600.0) - whole, whole) > -40  # the option does something
    assert decibels(chunked - whole, whole) < -50


def test_short_chunks_sound_like_the_whole_where_loudness_follows_the_source() -> None:
    wave = with_pause()
    whole, chunked = (convert(wave, max_chunk_s=size, loudness_envelope=0.0) for size in (600.0, 1.0))
    assert decibels(chunked - whole, whole) < -50


def test_seed_decides_the_noise() -> None:
    wave = glide(0.5, 16_000)
    np.testing.assert_array_equal(convert(wave, seed=3), convert(wave, seed=3))
    assert not np.array_equal(convert(wave, seed=3), convert(wave, seed=4))


def test_silence_is_muted_unless_kept() -> None:
    rng = np.random.default_rng(0)
    wave = with_pause() + 1e-4 * rng.standard_normal(len(with_pause())).astype(np.float32)
    middle = slice(round(2.2 * 44_100), round(3.0 * 44_100))
    assert np.abs(convert(wave)[middle]).max() == 0
    assert np.abs(convert(wave, silence="convert")[middle]).max() > 0


def test_the_sources_ambience_stays_where_it_was() -> None:
    wave = 0.5 * np.concatenate((glide(1.0, 44_100), np.zeros(88_200, dtype=np.float32), glide(1.0, 44_100)))
    ambience = 1e-4 * np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32)
    muted, kept = (convert(wave + ambience, 44_100, silence=silence) for silence in ("mute", "keep"))
    was_muted = muted == 0
    was_muted[-2000:] = False  # the limiter's fade
    assert 1.2 * 44_100 < was_muted.sum() < 2 * 44_100
    np.testing.assert_allclose(kept[was_muted], ambience[was_muted], atol=1e-7)
    borders = np.abs(muted) > 0
    assert np.abs((kept - muted)[borders]).max() < 5e-4  # the ambience at most


def test_a_sound_that_is_all_ambience_is_kept_whole() -> None:
    wave = 1e-4 * np.random.default_rng(0).standard_normal(30_000).astype(np.float32)
    np.testing.assert_allclose(convert(wave, 44_100, silence="keep"), wave, atol=1e-7)


def test_all_silence_becomes_silence() -> None:
    assert np.abs(convert(np.zeros(16_000, dtype=np.float32))).max() == 0


def test_louder_source_gives_louder_result() -> None:
    wave = glide(0.6, 16_000)
    soft, loud = convert(0.2 * wave, silence="convert"), convert(wave, silence="convert")
    assert 6 < decibels(loud, soft) < 22  # random networks follow loudness loosely; the level itself is passed on


def test_stereo_is_the_mean_of_its_channels() -> None:
    wave = glide(0.4, 16_000)
    np.testing.assert_allclose(convert(np.stack((wave, wave))), convert(wave), atol=1e-5)


def test_pitch_is_moved_exactly() -> None:
    wave = glide(2.0, 16_000, 200.0, 200.0)
    cents = np.arange(-60, 61, 2)
    for shift in (-7.0, 0.0, 12.0, 24.0):
        sound = convert(wave, pitch_shift=shift)[22_050 : 22_050 + 44_100]
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8 * len(sound))) ** 2  # 1/8 Hz apart
        expected_hz = 200 * 2 ** (shift / 12)
        comb_hz = expected_hz * 2 ** (cents[:, None] / 1200) * np.arange(1, 13)  # [candidates, harmonics]
        score = np.log(power[np.rint(8 * comb_hz).astype(int)]).sum(axis=1)
        assert abs(cents[score.argmax()]) <= 4


@pytest.mark.parametrize(
    ("wave", "said"),
    [
        (np.zeros(0, dtype=np.float32), "no samples"),
        (np.array([0.0, np.nan], dtype=np.float32), "NaN"),
        (np.array([0.0, np.inf], dtype=np.float32), "infin"),
    ],
)
def test_bad_arrays_are_refused_in_one_sentence(wave: NDArray[np.float32], said: str) -> None:
    with pytest.raises(AudioError, match=said):
        convert(wave)


def test_gate_fades_inside_the_voiced_piece() -> None:
    pieces = [Piece(True, 0, 1600), Piece(False, 1600, 4800), Piece(True, 4800, 6400)]
    gate = SilenceGate(pieces, 16_000, ConvertSettings(crossfade_s=0.05))
    gains = np.concatenate([gate.gains(start, 1000) for start in range(0, 7000, 1000)])
    assert gains[:1600].max() == 0 and gains[4800:].max() == 0
    assert gains[1600] == 0 and gains[2400:4000].min() == 1
    assert np.abs(np.diff(gains)).max() <= 1 / 799


def test_voice_folder_round_trip(tmp_path: object, toy_voice: FastVoice) -> None:
    from pathlib import Path

    from timbre.errors import OutputError, VoiceError
    from timbre.voice.fast import read_voice

    folder = Path(str(tmp_path)) / "声"
    card = toy_voice.save(folder)
    again = read_voice(folder, toy_voice.base)
    assert again.card == card
    assert (again.reference.content - toy_voice.reference.content).abs().max() < 2e-3
    with pytest.raises(OutputError, match="exists"):
        toy_voice.save(folder)
    (folder / "reference.safetensors").write_bytes(b"not a file of tensors")
    with pytest.raises(VoiceError, match="damaged"):
        read_voice(folder, toy_voice.base)
