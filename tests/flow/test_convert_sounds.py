"""Conversion with a toy voice: any sound of any shape gives a clean sound of the exact length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.flow.command import OUTPUT_RATE, WorkFolder
from tests.toys import glide, make_toy_voice
from timbre.audio.limiter import CEILING_DB
from timbre.audio.reader import probe_audio, read_audio
from timbre.config.convert import ConvertSettings
from timbre.convert.arrays import LoadedVoice
from timbre.errors import AudioError

VOICE = LoadedVoice(make_toy_voice())
CEILING = np.float32(10 ** (CEILING_DB / 20))


def convert(wave: NDArray[Any], rate: int = 16_000, **options: object) -> NDArray[np.float32]:
    return VOICE.convert(wave, rate, ConvertSettings.from_mapping({"pitch": "pm", "precision": "exact", **options}))


def check_clean(result: NDArray[np.float32], n_samples: int, rate: int) -> None:
    assert result.dtype == np.float32 and result.shape == (-(-n_samples * OUTPUT_RATE // rate),)
    assert np.isfinite(result).all() and np.abs(result).max() <= CEILING


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 48_000, 96_000])
@pytest.mark.parametrize("n_channels", [1, 2, 6])
def test_rates_and_channels(work: WorkFolder, rate: int, n_channels: int) -> None:
    wave = glide(0.23, rate)
    soundfile.write(work / "a.wav", np.stack([wave] * n_channels, axis=1), rate)
    assert work.convert(work / "a.wav", "-o", work / "b.wav").code == 0
    info = probe_audio(work / "b.wav")
    assert (info.n_channels, info.n_samples) == (1, -(-len(wave) * OUTPUT_RATE // rate))


@pytest.mark.parametrize("encoding", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_widths(work: WorkFolder, encoding: str) -> None:
    source = work.sing("a.wav", subtype=encoding)
    assert work.convert(source, "-o", work / "b.wav").code == 0
    assert np.abs(read_audio(work / "b.wav").samples).max() > 0.01
    assert probe_audio(work / "b.wav").n_samples == 11_025


def test_channels_in_phase_and_inverted_sound_as_one() -> None:
    wave = glide(0.4, 16_000)
    alone = convert(wave)
    np.testing.assert_allclose(convert(np.stack((wave, wave))), alone, atol=1e-5)
    np.testing.assert_allclose(convert(np.stack((wave, -wave))), alone, atol=1e-5)
    np.testing.assert_allclose(convert(np.stack([wave] * 6)), alone, atol=1e-4)


KINDS = ("noise", "constant", "impulses", "denormal", "square", "tone", "zeros and a sample")


def make_sound(kind: str, n_samples: int, level: float, seed: int) -> NDArray[np.float32]:
    rng, wave = np.random.default_rng(seed), np.zeros(n_samples)
    if kind == "noise":
        wave = rng.uniform(-1, 1, n_samples)
    elif kind == "constant":
        wave += 1
    elif kind == "impulses":
        wave[rng.integers(0, n_samples, 1 + n_samples // 500)] = rng.choice([-1.0, 1.0])
    elif kind == "denormal":
        return np.full(n_samples, 1e-40, dtype=np.float32)
    elif kind == "square":
        wave = np.sign(np.sin(np.arange(n_samples) / 20) + 1e-9)
    elif kind == "tone":
        wave = np.sin(np.arange(n_samples) / rng.uniform(4, 30))
    else:
        wave[-1] = 1
    return np.asarray(level * wave, dtype=np.float32)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.sampled_from([1, 2, 159, 160, 161, 480, 3_000, 9_001]),
    st.sampled_from([1e-30, 1e-6, 0.5, 1.0, 40.0, 1e6]),
    st.integers(0, 99),
    st.sampled_from([8_000, 16_000, 44_100]),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from(["mute", "keep", "convert"]),
)
def test_any_finite_sound_gives_a_clean_one(
    kind: str, n_samples: int, level: float, seed: int, rate: int, envelope: float, silence: str
) -> None:
    wave = make_sound(kind, n_samples, level, seed)
    options: dict[str, object] = {"loudness_envelope": envelope, "silence": silence}
    check_clean(convert(wave, rate, **options), n_samples, rate)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 40_000), st.integers(0, 99), st.sampled_from([1.0, 1.7]), st.sampled_from([0.0, 0.5]))
def test_seed_and_chunks(n_samples: int, seed: int, max_chunk_s: float, envelope: float) -> None:
    wave = np.resize(glide(2.0, 16_000), n_samples)
    options: dict[str, object] = {"seed": seed, "loudness_envelope": envelope}
    whole = convert(wave, **options)
    np.testing.assert_array_equal(convert(wave, **options), whole)
    chunked = convert(wave, max_chunk_s=max_chunk_s, **options)
    assert np.abs(chunked - whole).max() <= 1e-3 * max(1e-3, np.abs(whole).max())


def test_loud_sound_is_limited_not_clipped() -> None:
    wave = glide(0.8, 16_000)
    soft, loud = convert(0.3 * wave, silence="convert"), convert(60 * wave, silence="convert")
    assert np.abs(soft).max() < 0.9 * CEILING
    check_clean(loud, len(wave), 16_000)
    assert np.mean(np.abs(loud) >= CEILING * 0.9999) < 0.01


@pytest.mark.parametrize(
    ("wave", "rate", "sentence"),
    [
        (np.zeros(100, dtype=np.int16), 16_000, "the array holds int16 numbers; they must be floating point"),
        (np.zeros((16_000, 2), dtype=np.float32), 16_000, "transpose it"),
        (np.zeros((1, 1, 9), dtype=np.float32), 16_000, "it must be float32 of shape"),
        (np.full(9, 1e300), 16_000, "holds NaN or infinity"),
        (np.full(9, 2e6), 16_000, "samples of 2e"),
        (np.zeros(9), 0, "need at least 1000"),
        (np.zeros(9), 22_050.5, "must be a whole number"),
    ],
)
def test_arrays_that_are_no_sound(wave: NDArray[Any], rate: int, sentence: str) -> None:
    with pytest.raises(AudioError, match=sentence) as caught:
        convert(wave, rate)
    assert "\n" not in str(caught.value)


def test_rate_may_be_a_number_of_numpy() -> None:
    wave = glide(1.1, 44_100)
    np.testing.assert_array_equal(convert(wave.astype(np.float64), np.int32(44_100)), convert(wave, 44_100))
