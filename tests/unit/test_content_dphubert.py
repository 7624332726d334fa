"""The content encoder DPHuBERT: what is cut out of HuBERT or WavLM, refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.test_content_hubert import (
    CHANNELS,
    HEADS,
    INNER,
    KERNELS,
    LAYERS,
    WAVE,
    WIDTH,
    fairseq_state,
    hugging_face_name,
    save_fairseq,
)
from tests.unit.test_content_wavlm import (
    MAX_DISTANCE,
    N_BUCKETS,
    save_wavlm,
    wavlm_hugging_face_name,
    wavlm_state,
)
from timbre.content.dphubert import read_dphubert
from timbre.content.encoders import load_encoder
from timbre.content.hubert_files import read_hubert
from timbre.content.wavlm import read_wavlm
from timbre.errors import WeightsError

HEAD_WIDTH = WIDTH // HEADS
CONFIG: dict[str, Any] = {
    "extractor_mode": "group_norm",
    "extractor_conv_layer_config": [(CHANNELS, kernel, 2 if i else 5) for i, kernel in enumerate(KERNELS)],
    "extractor_conv_bias": False,
    "encoder_embed_dim": WIDTH,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": LAYERS,
    "encoder_use_attention": [True] * LAYERS,
    "encoder_use_feed_forward": [True] * LAYERS,
    "encoder_num_heads": [HEADS] * LAYERS,
    "encoder_head_dim": HEAD_WIDTH,
    "encoder_ff_interm_features": [INNER] * LAYERS,
    "encoder_layer_norm_first": False,
    "encoder_dropout": 0.5,
    "encoder_layer_drop": 0.5,
    "normalize_waveform": False,
}
WAVLM_CONFIG = CONFIG | {
    "encoder_total_num_heads": [HEADS] * LAYERS,
    "encoder_remaining_heads": [list(range(HEADS))] * LAYERS,
    "encoder_num_buckets": N_BUCKETS,
    "encoder_max_distance": MAX_DISTANCE,
}


def nested(key: str) -> str:
    """Return the name in a DPHuBERT file for one of Hugging Face."""
    key = re.sub(r"^encoder\.", "encoder.transformer.", key.removeprefix("wavlm."))
    return re.sub(r"^feature_projection\.", "encoder.feature_projection.", key)


def dphubert_state(state: dict[str, Tensor], rename: Callable[[str], str]) -> dict[str, Tensor]:
    named = {nested(rename(key)): value for key, value in state.items() if "final_proj" not in key}
    return {"feature_extractor.dummy_weight": torch.ones(CHANNELS), **named}


def hubert_state(*, layer_mode: bool = False) -> dict[str, Tensor]:
    return dphubert_state(
        fairseq_state(layer_mode=layer_mode), lambda key: hugging_face_name(key, "", "weight_g", "weight_v")
    )


def features(tmp_path: Path, state: dict[str, Tensor], config: dict[str, Any]) -> Tensor:
    torch.save({"state_dict": state, "config": config}, tmp_path / "pruned.pth")
    return read_dphubert(tmp_path / "pruned.pth")[0].features(WAVE[None])


@pytest.mark.parametrize("layer_mode", [False, True])
def test_without_cuts_it_is_hubert(tmp_path: Path, layer_mode: bool) -> None:
    original = save_fairseq(tmp_path / "a.pt", fairseq_state(layer_mode=layer_mode), layer_norm_first=layer_mode)
    config = CONFIG | {"encoder_layer_norm_first": layer_mode, "extractor_conv_bias": layer_mode}
    config["extractor_mode"] = "layer_norm" if layer_mode else "group_norm"
    got = features(tmp_path, hubert_state(layer_mode=layer_mode), config)
    assert torch.equal(got, read_hubert(original).features(WAVE[None]))


def test_channels_of_the_front_are_scaled(tmp_path: Path) -> None:
    scales = torch.linspace(0.2, 2, CHANNELS)
    state = hubert_state() | {"feature_extractor.dummy_weight": scales}
    torch.save({"state_dict": state, "config": CONFIG}, tmp_path / "a.pth")
    front = read_dphubert(tmp_path / "a.pth")[0].front
    scaled = front(WAVE[None])
    front.scale = None
    torch.testing.assert_close(scaled, front(WAVE[None]) * scales)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("part", ["attention", "feed_forward"])
def test_a_part_that_is_cut_out_adds_nothing(tmp_path: Path, part: str, norm_first: bool) -> None:
    config = CONFIG | {"encoder_layer_norm_first": norm_first}
    last = "out_proj" if part == "attention" else "output_dense"
    silent, cut = hubert_state(), hubert_state()
    for key in [key for key in cut if key.startswith(f"encoder.transformer.layers.0.{part}.")]:
        if last in key:
            silent[key] = torch.zeros_like(silent[key])
        del cut[key]
    without = config | {f"encoder_use_{part}": [False, True]}
    got = features(tmp_path, cut, without)
    torch.testing.assert_close(got, features(tmp_path, silent, config))
    assert not torch.allclose(got, features(tmp_path, hubert_state(), config))


def wavlm_pruned_state() -> dict[str, Tensor]:
    return dphubert_state(wavlm_state(), wavlm_hugging_face_name)


def test_without_cuts_it_is_wavlm(tmp_path: Path) -> None:
    expected = read_wavlm(save_wavlm(tmp_path / "a.pt"))[0].features(WAVE[None])
    assert torch.equal(features(tmp_path, wavlm_pruned_state(), WAVLM_CONFIG), expected)


@pytest.mark.parametrize("kept", [[0], [2], [0, 2], [2, 1]])
def test_heads_that_are_kept_keep_their_bias_for_distances(tmp_path: Path, kept: list[int]) -> None:
    rows = torch.cat([torch.arange(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH) for head in kept])
    silent, cut = wavlm_pruned_state(), wavlm_pruned_state()
    stem = "encoder.transformer.layers.1.attention."
    for name in ("q_proj", "k_proj", "v_proj"):
        for kind in ("weight", "bias"):
            cut[f"{stem}{name}.{kind}"] = cut[f"{stem}{name}.{kind}"][rows]
    cut[f"{stem}out_proj.weight"] = cut[f"{stem}out_proj.weight"][:, rows]
    others = torch.ones(WIDTH, dtype=torch.bool)
    others[rows] = False
    silent[f"{stem}out_proj.weight"][:, others] = 0
    got = features(tmp_path, cut, WAVLM_CONFIG | {"encoder_remaining_heads": [[0, 1, 2], kept]})
    torch.testing.assert_close(got, features(tmp_path, silent, WAVLM_CONFIG))


def test_dropout_is_off(tmp_path: Path) -> None:
    torch.save({"state_dict": hubert_state(), "config": CONFIG}, tmp_path / "a.pth")
    network, normalise_wave = read_dphubert(tmp_path / "a.pth")
    assert torch.equal(network.features(WAVE[None]), network.features(WAVE[None]))
    assert (network.training, normalise_wave) == (False, False)


def test_what_training_left_in_the_file_is_ignored(tmp_path: Path) -> None:
    expected = features(tmp_path, hubert_state(), CONFIG)
    left = {"aux.weight": torch.zeros(3), "encoder.transformer.layers.0.attention.log_alpha": torch.zeros(3)}
    assert torch.equal(features(tmp_path, hubert_state() | left, CONFIG), expected)


def test_half_weights_run_in_single(tmp_path: Path) -> None:
    halves = {key: value.half() for key, value in hubert_state().items()}
    got = features(tmp_path, halves, CONFIG)
    assert got.dtype == torch.float32
    assert torch.equal(got, features(tmp_path, {key: value.float() for key, value in halves.items()}, CONFIG))


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder_use_attention": [True]},
        {"encoder_num_heads": [HEADS, 2]},
        {"encoder_num_heads": [HEADS]},
        {"encoder_ff_interm_features": [INNER, INNER + 1]},
        {"extractor_conv_layer_config": 3},
        {"extractor_conv_layer_config": []},
        {"extractor_mode": "layer_norm"},
        {"encoder_embed_dim": "wide"},
        {"encoder_remaining_heads": [[0, 1, 2]] * LAYERS},
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match=r"'pruned\.pth' holds no complete DPHuBERT network"):
        features(tmp_path, hubert_state(), CONFIG | settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder_remaining_heads": [[0, 1, 3], [0, 1, 2]]},
        {"encoder_remaining_heads": [[0, 1, -1], [0, 1, 2]]},
        {"encoder_remaining_heads": [[0, 1, 2]]},
        {"encoder_max_distance": 1},
    ],
)
def test_heads_that_never_were_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="holds no complete DPHuBERT network"):
        features(tmp_path, wavlm_pruned_state(), WAVLM_CONFIG | settings)


def test_missing_parts_are_refused(tmp_path: Path) -> None:
    for key in ("encoder.transformer.layers.1.final_layer_norm.bias", "encoder.feature_projection.projection.weight"):
        state = hubert_state()
        del state[key]
        with pytest.raises(WeightsError, match="holds no complete DPHuBERT network"):
            features(tmp_path, state, CONFIG)
    torch.save({"state_dict": hubert_state()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"'a\.pth' holds no complete DPHuBERT network"):
        read_dphubert(tmp_path / "a.pth")


def test_the_file_of_another_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"'a\.pt' is the content encoder WavLM; give the content encoder DPHuBERT"):
        read_dphubert(save_wavlm(tmp_path / "a.pt"))
    torch.save({"state_dict": hubert_state(), "config": CONFIG}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"has 12 features for each frame, but dphubert needs 768"):
        load_encoder("dphubert", weights_file=tmp_path / "a.pth", search_folders=[], device="cpu")
