"""The vocoder, its mel spectrogram and the enhancer against recorded results, at the tolerance stored with each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.golden_cases import Case, parametrize
from tests.toys_vocoder import load_vocoder
from timbre.config.vocoder import VocoderShape
from timbre.nn.nsf_generator import NsfGenerator
from timbre.nn.weight_norm import legacy_name
from timbre.vocoder.enhancer import Enhancer
from timbre.vocoder.mel import VocoderMel
from timbre.vocoder.nsf_hifigan import CONFIG_FILE, NsfHifigan


def vocoder_of(case: Case) -> NsfHifigan:
    folder = case.call["model_dir"]
    config = case.beside(f"{folder}/{CONFIG_FILE}")
    if {config} == set(config.parent.iterdir()):
        pytest.skip(f"{case.name}: the weights are absent from {folder}")
    return load_vocoder(config.parent)


@parametrize("vocoder")
def test_wave(case: Case) -> None:
    vocoder = vocoder_of(case)
    assert vocoder.shape == VocoderShape.from_config(case.config)
    case.judge({"audio": vocoder.synthesize(case.tensor("in.mel"), case.tensor("in.f0"), case.draws())})


@parametrize("vocmel")
def test_mel(case: Case) -> None:
    extractor = VocoderMel(VocoderShape.from_config(case.config))
    wave = case.tensor("in.wav")
    got = {f"mel.keyshift_{shift:g}": extractor(wave, shift) for shift in case.call["keyshifts"]}
    for name in case.expected():
        kind, _, speed = name.rpartition("_")
        if kind == "mel.speed":
            got[name] = extractor(wave, speed=float(speed))
    case.judge(got | {"mel.short": extractor(case.tensor("in.wav_short")), "mel_basis": extractor.bank})


@parametrize("enhancer")
def test_enhancer(case: Case) -> None:
    enhancer = Enhancer(vocoder_of(case))
    f0_hz = case.tensor("in.f0")[..., 0]
    before, got = f0_hz.clone(), {}
    for index, (adaptive_key, silence_front) in enumerate(case.call["variants"]):
        got[f"audio.{index}"], rate_hz = enhancer.enhance(
            case.tensor("in.audio"),
            case.call["sample_rate"],
            f0_hz,
            case.call["hop_size"],
            adaptive_key,
            silence_front,
            case.draws(),
        )
        assert rate_hz == case.config["sampling_rate"]
    case.judge(got)
    assert torch.equal(f0_hz, before)


USUAL_SIZES: dict[str, Any] = {
    "upsample_rates": (8, 8, 2, 2, 2),
    "upsample_kernel_sizes": (16, 16, 4, 4, 4),
    "upsample_initial_channel": 512,
    "resblock": "1",
    "resblock_kernel_sizes": (3, 7, 11),
    "resblock_dilation_sizes": ((1, 3, 5),) * 3,
}


def shapes_of(**sizes: Any) -> dict[str, list[int]]:
    with torch.device("meta"):
        state = NsfGenerator(**USUAL_SIZES | sizes).state_dict()
    return {legacy_name(key): list(value.shape) for key, value in state.items()}


def decoder_part(shapes: dict[str, list[int]]) -> dict[str, list[int]]:
    return {key.removeprefix("dec."): shape for key, shape in shapes.items() if key.startswith("dec.")}


def test_keys_of_the_vocoder(golden_manifest: dict[str, Any]) -> None:
    expected = golden_manifest["nsf_hifigan_generator"]
    assert list(shapes_of(in_channels=128).items()) == list(expected.items())  # the order is the optimizer's


@pytest.mark.parametrize(("config", "initial_channel"), [("G_4.1_vec768l12", 512), ("G_tiny", 400)])
def test_keys_of_the_synthesizers_generator(golden_manifest: dict[str, Any], config: str, initial_channel: int) -> None:
    shapes = shapes_of(in_channels=192, speaker_channels=768, upsample_initial_channel=initial_channel)
    assert list(shapes.items()) == list(decoder_part(golden_manifest[config]).items())


def test_keys_of_the_snake_generator(golden_manifest: dict[str, Any]) -> None:
    plain, extra = (decoder_part(golden_manifest[name]) for name in ("G_4.1_vec768l12", "G_snake_extra"))
    assert shapes_of(in_channels=192, speaker_channels=768, snake=True) == plain | extra
