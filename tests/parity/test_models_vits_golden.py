"""The so-vits-svc synthesizer against recorded results: inference, training, ONNX form, keys and small functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.golden_cases import Case, parametrize, training_file
from timbre.audio.loudness import match_loudness_envelope
from timbre.config.vits import VitsShape
from timbre.dsp.stretch import stretch
from timbre.dsp.volume import frame_volume
from timbre.models.vits.lf0 import coarse_f0, hz_to_lf0, normalise_lf0
from timbre.models.vits.onnx_form import OnnxForm
from timbre.models.vits.state import legacy_state, load_state
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.weight_norm import fold_weight_norm
from timbre.weights.restricted import read_checkpoint

RATE_HZ = 44_100

# The template of the 4.1 config for one model of 200 speakers; see state_dict_manifest_default_configs.json.
TEMPLATE = {
    "inter_channels": 192,
    "hidden_channels": 192,
    "filter_channels": 768,
    "n_heads": 2,
    "n_layers": 6,
    "kernel_size": 3,
    "p_dropout": 0.1,
    "resblock": "1",
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "upsample_rates": [8, 8, 2, 2, 2],
    "upsample_initial_channel": 512,
    "upsample_kernel_sizes": [16, 16, 4, 4, 4],
    "gin_channels": 768,
    "ssl_dim": 768,
    "n_speakers": 200,
}
TINY = {
    "upsample_initial_channel": 400,
    "filter_channels": 512,
    "use_depthwise_conv": True,
    "flow_share_parameter": True,
}
DATA = {"sampling_rate": 44_100, "hop_length": 512, "filter_length": 2048}


def load_model(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Synthesizer:
    model = Synthesizer(VitsShape.from_config(config)).eval()
    load_state(model, state)
    return model


def infer(model: Synthesizer, case: Case) -> tuple[Tensor, Tensor]:
    return model.infer(
        case.tensor("in.c"),
        case.tensor("in.f0"),
        case.tensor("in.uv"),
        case.tensor("in.g"),
        case.draws(),
        noise_scale=case.call["noise_scale"],
        predict_f0=case.call.get("predict_f0", False),
        volume=case.optional("in.vol"),
    )


@parametrize("synth_infer")
def test_inference(case: Case) -> None:
    model = load_model(case.config, case.state())
    audio, f0_hz = infer(model, case)
    case.judge({"audio": audio, "f0": f0_hz})

    fold_weight_norm(model)
    torch.testing.assert_close(infer(model, case), (audio, f0_hz), rtol=0, atol=0)


@parametrize("synth_train")
@torch.no_grad()
def test_training_forward(case: Case) -> None:
    output = load_model(case.config, case.state()).training_forward(
        case.tensor("in.c"),
        case.tensor("in.f0"),
        case.tensor("in.uv"),
        case.tensor("in.spec"),
        case.tensor("in.g"),
        case.tensor("in.lengths"),
        case.draws(),
        segment_frames=case.config["train"]["segment_size"] // case.config["data"]["hop_length"],
        volume=case.optional("in.vol"),
        lf0_factor=case.optional("draw.f0_norm_factor"),
        segment_fraction=case.optional("draw.segment_fraction"),
    )
    got = {"audio": output.audio, "ids_slice": output.segment_starts, "spec_mask": output.mask}
    got |= {name: getattr(output, name) for name in ("z", "z_p", "m_p", "logs_p", "m_q", "logs_q")}
    if output.melody is not None:
        got |= {"pred_lf0": output.melody.predicted_lf0, "norm_lf0": output.melody.normalised_lf0}
        got |= {"lf0": output.melody.lf0}
    case.judge(got)


@parametrize("onnx")
@torch.no_grad()
def test_onnx_form(case: Case) -> None:
    form = OnnxForm(load_model(case.config, case.state()), case.draws())
    inputs = [case.tensor(f"in.{name}") for name in ("c", "f0", "mel2ph", "uv", "noise", "sid")]
    case.judge({"audio": form(*inputs, case.optional("in.vol"))})


@parametrize("small")
def test_small_functions(case: Case) -> None:
    lf0 = hz_to_lf0(case.tensor("in.lf0_f0"))
    voiced, mask, factor = (case.tensor(key) for key in ("in.lf0_uv", "in.lf0_mask", "draw.f0_norm_factor"))
    got: dict[str, Any] = {
        "coarse": coarse_f0(case.tensor("in.f0_hz")),
        "lf0": lf0,
        "norm_lf0": normalise_lf0(lf0, voiced, mask),
        "norm_lf0_scaled": normalise_lf0(lf0, voiced, mask, factor),
    }
    for hop_samples in case.call["hops"]:
        got[f"volume.hop{hop_samples}"] = frame_volume(case.tensor("in.wav"), hop_samples)[0]
    for n_frames in case.call["expand_lengths"]:
        for mode in ("left", "nearest"):
            got[f"expand_{mode}.{n_frames}"] = stretch(case.tensor("in.units"), n_frames, mode)
    source, output = case.arrays["in.rms_src"], case.arrays["in.rms_dst"]
    got["change_rms"] = match_loudness_envelope(source, RATE_HZ, output, RATE_HZ, case.call["rms_rate"])
    case.judge(got)


@pytest.mark.parametrize(
    ("changes", "entry", "base"),
    [
        ({}, "G_4.1_vec768l12", None),
        ({"vol_embedding": True}, "G_4.1_vec768l12_vol_embedding_extra", "G_4.1_vec768l12"),
        ({"ssl_dim": 256, "gin_channels": 256}, "G_4.0_vec256l9_changed", "G_4.1_vec768l12"),
        (TINY, "G_tiny", None),
        ({"vocoder_name": "nsf-snake-hifigan"}, "G_snake_extra", "G_4.1_vec768l12"),
    ],
)
def test_keys_and_shapes(
    golden_manifest: dict[str, Any], changes: dict[str, Any], entry: str, base: str | None
) -> None:
    got = default_keys(changes)
    if base is None:
        assert list(got.items()) == list(golden_manifest[entry].items())  # in this order
    else:
        assert got == golden_manifest[base] | golden_manifest[entry]


def test_keys_and_shapes_of_transformer_flow(golden_manifest: dict[str, Any]) -> None:
    got = {key: shape for key, shape in default_keys({"use_transformer_flow": True}).items() if key.startswith("flow.")}
    assert list(got.items()) == list(golden_manifest["G_transformer_flow_keys_of_flow"].items())


def default_keys(changes: dict[str, Any]) -> dict[str, list[int]]:
    """Return the shape of each key of a template model, which takes no memory."""
    with torch.device("meta"):
        model = Synthesizer(VitsShape.from_config({"model": TEMPLATE | changes, "data": DATA, "spk": {"a": 0}}))
    return {key: list(value.shape) for key, value in legacy_state(model).items()}


def test_order_of_optimizer_state(golden_models: Path) -> None:
    file, config = training_checkpoint(golden_models)
    checkpoint, model = read_checkpoint(file).data, Synthesizer(VitsShape.from_config(config))
    assert list(legacy_state(model)) == list(checkpoint["model"])
    moments = checkpoint["optimizer"]["state"]
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    assert shapes == [tuple(moments[index]["exp_avg"].shape) for index in range(len(moments))]


@pytest.mark.parametrize("half", [False, True])
def test_release_files(golden_models: Path, half: bool) -> None:
    file, config = training_checkpoint(golden_models)
    whole = read_checkpoint(file).data["model"]
    released = file.parent / f"{file.stem}_release{'_half' if half else ''}{file.suffix}"
    got = legacy_state(load_model(config, read_checkpoint(released).data["model"]))
    for key, value in whole.items():
        if not key.startswith("enc_q."):
            assert torch.equal(got[key], value.half().float() if half else value), key


def training_checkpoint(golden_models: Path) -> tuple[Path, dict[str, Any]]:
    """Return a checkpoint with an optimizer state, which has released forms beside it, and its config."""
    folder = golden_models / "resume"
    return training_file(folder), json.loads((folder / "config.json").read_text(encoding="utf-8"))
