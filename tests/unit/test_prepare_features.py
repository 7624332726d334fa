"""The features of a clip: the right frames, the same numbers each time, and those that a conversion hears."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.toys import glide
from timbre.audio.resample import resample
from timbre.config.prepare import PrepareSettings
from timbre.config.vocoder import USUAL_VOCODER
from timbre.dataset.manifest import count_frames
from timbre.errors import SettingsError
from timbre.features.extract import FrameExtractor
from timbre.prepare.features import FeatureMaker
from timbre.prepare.hearing import Hearing, choose_hearing
from timbre.voice.base import load_base

RATE, CLIP = 44_100, "0123456789abcdef"
SOVITS = Hearing(RATE, 512, "vec768l12", 3, "pm", "exact float32", {}, {}, "")


class StandInEncoder:
    """Answers with three numbers for each 20 ms."""

    dimensions, sample_rate_hz, hop_samples = 3, 16_000, 320

    def encode(self, wave: Tensor) -> Tensor:
        return wave[: len(wave) // 320 * 320].reshape(-1, 320)[:, :3]


@pytest.fixture
def sovits(monkeypatch: pytest.MonkeyPatch) -> FeatureMaker:
    maker = FeatureMaker(PrepareSettings(encoder="vec768l12", diffusion=True, seed=5), SOVITS)
    monkeypatch.setattr("timbre.prepare.features.load_encoder", lambda *_, **__: StandInEncoder())
    monkeypatch.setattr("timbre.prepare.features.reduced_type", lambda *_: None)
    return maker


@pytest.mark.parametrize("n_samples", [4_410, 44_100, 44_611, 51_200])
def test_packaged_encoder_hears_what_a_conversion_hears(toy_assets: Path, n_samples: int) -> None:
    hearing = choose_hearing(PrepareSettings(pitch="pm"))
    maker, wave = FeatureMaker(PrepareSettings(pitch="pm"), hearing), glide(n_samples / RATE, RATE)
    wave_16k = torch.from_numpy(resample(wave, RATE, 16_000))
    f0_hz = maker.make("pitch", wave, CLIP)["f0_hz"]
    frames = FrameExtractor(load_base(toy_assets / "base").networks.content).whole(wave_16k, torch.from_numpy(f0_hz))
    assert len(f0_hz) == len(frames.content) == count_frames(n_samples, RATE, 16_000, 160)
    content, volume = maker.make("content", wave, CLIP)["content"], maker.make("loudness", wave, CLIP)["volume"]
    np.testing.assert_array_equal(content, frames.content)
    np.testing.assert_allclose(2 * np.log(volume), frames.loudness, atol=1e-4)


@pytest.mark.parametrize("n_samples", [5_120, 44_100, 44_543, 51_200])
def test_frames_of_sovits_voices(sovits: FeatureMaker, n_samples: int) -> None:
    wave = glide(n_samples / RATE, RATE)
    arrays: dict[str, np.ndarray] = {}
    for kind in ("content", "pitch", "loudness", "diffusion"):
        arrays |= sovits.make(kind, wave, CLIP)
    n_frames = n_samples // 512
    lengths = {name: len(array) for name, array in arrays.items()}
    assert lengths.pop("content") == -(-n_samples * 16_000 // RATE) // 320
    assert lengths.pop("key_shift_semitones") == 1
    assert set(lengths.values()) == {n_frames}
    assert arrays["mel"].shape == arrays["augmented_mel"].shape == (n_frames, USUAL_VOCODER.n_mels)
    assert all(array.dtype in (np.float32, np.bool_) for array in arrays.values())


def test_augmentation_belongs_to_the_clip_and_the_seed(sovits: FeatureMaker) -> None:
    wave = glide(0.3, RATE)
    first, again, other = (sovits.make("diffusion", wave, name) for name in (CLIP, CLIP, "f" * 16))
    seeded = FeatureMaker(PrepareSettings(encoder="vec768l12", seed=6), SOVITS).make("diffusion", wave, CLIP)
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
    shifts = [float(each["key_shift_semitones"][0]) for each in (first, other, seeded)]
    assert len(set(shifts)) == 3 and all(-5 <= shift <= 5 for shift in shifts)
    np.testing.assert_array_equal(first["mel"], other["mel"])


def test_augmented_volume_is_that_of_the_changed_sound(sovits: FeatureMaker) -> None:
    wave = glide(0.5, RATE)
    plain = sovits.make("loudness", wave, CLIP)["volume"]
    for number in range(8):
        gain = sovits.make("diffusion", wave, f"{number:016x}")["augmented_volume"] / plain
        np.testing.assert_allclose(gain, gain[0], rtol=1e-3)
        assert gain[0] * 1.0001 >= 0.1 and gain[0] * np.abs(wave).max() <= 1.0001


def test_pitch_alone_loads_no_encoder() -> None:
    maker = FeatureMaker(PrepareSettings(encoder="vec768l12"), SOVITS)
    assert maker.make("pitch", glide(0.3, RATE), CLIP)["voiced"].any()  # there are no such weights here


def test_hearing_travels_as_json(toy_assets: Path) -> None:
    hearing = choose_hearing(PrepareSettings(pitch="pm"))
    assert Hearing(**json.loads(json.dumps(asdict(hearing)))) == hearing


def test_diffusion_needs_an_encoder_of_its_voices() -> None:
    with pytest.raises(SettingsError, match="choose another encoder"):
        PrepareSettings(diffusion=True)
