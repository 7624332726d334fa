"""The content encoder WavLM: its bias for distances, the forms of its files, refusals."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.unit.test_content_hubert import (
    CHANNELS,
    HEADS,
    LAYERS,
    SETTINGS,
    WAVE,
    WIDTH,
    fairseq_state,
    hugging_face_name,
    save_fairseq,
)
from timbre.content import transformer
from timbre.content.encoders import load_encoder
from timbre.content.hubert import HubertEncoder
from timbre.content.hubert_network import HubertNetwork
from timbre.content.transformer import DistanceBias, DistanceSizes, SelfAttention
from timbre.content.wavlm import read_wavlm
from timbre.errors import WeightsError

N_BUCKETS, MAX_DISTANCE = 16, 40
CONFIG = SETTINGS | {"layer_norm_first": False, "max_distance": MAX_DISTANCE, "normalize": False}


def wavlm_state() -> dict[str, Tensor]:
    """Make random weights by the names of WavLM's own files."""
    generator = torch.Generator().manual_seed(2)
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.layers.0.self_attn.relative_attention_bias.weight": (N_BUCKETS, HEADS)
    }
    for n in range(LAYERS):
        shapes[f"encoder.layers.{n}.self_attn.grep_linear.weight"] = (8, WIDTH // HEADS)
        shapes[f"encoder.layers.{n}.self_attn.grep_linear.bias"] = (8,)
        shapes[f"encoder.layers.{n}.self_attn.grep_a"] = (1, HEADS, 1, 1)
    state = {key: value for key, value in fairseq_state(layer_mode=False).items() if "final_proj" not in key}
    return state | {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}


def save_wavlm(path: Path, state: dict[str, Tensor] | None = None, **settings: Any) -> Path:
    torch.save({"cfg": CONFIG | settings, "model": state or wavlm_state()}, path)
    return path


@pytest.fixture
def network(tmp_path: Path) -> HubertNetwork:
    return read_wavlm(save_wavlm(tmp_path / "network.pt"))[0]


def bucket(distance: int, n_buckets: int, max_distance: int) -> int:
    """Return the bucket of one distance in plain words of the specification."""
    half = n_buckets // 2
    exact, near = half // 2, abs(distance)
    if near >= exact:
        near = exact + int(math.log(near / exact) / math.log(max_distance / exact) * (half - exact))
    return min(near, half - 1) + (half if distance > 0 else 0)


@pytest.mark.parametrize(("n_buckets", "max_distance"), [(320, 800), (16, 40), (4, 2)])
def test_distances_share_buckets(n_buckets: int, max_distance: int) -> None:
    bias = DistanceBias(DistanceSizes(n_buckets, max_distance, 2)).requires_grad_(False)
    bias.buckets.weight[:] = torch.arange(n_buckets)[:, None] + torch.tensor([0.0, 0.5])
    n_frames = 1000
    distances = range(1 - n_frames, n_frames)
    expected = torch.tensor([bucket(distance, n_buckets, max_distance) for distance in distances])
    got = bias(n_frames)
    off = (got - torch.stack((expected, expected + 0.5))).abs()
    assert (off > 0).sum() <= 4  # a distance may lie on the border of two buckets, whose logarithm is rounded
    assert off.max() <= 1
    assert bias(1).tolist() == [[0.0], [0.5]]


@pytest.mark.parametrize(("n_buckets", "max_distance"), [(3, 800), (0, 800), (320, 80), (320, -1)])
def test_buckets_that_tell_nothing_are_refused(n_buckets: int, max_distance: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        DistanceSizes(n_buckets, max_distance, 2)


@pytest.mark.parametrize("block_scores", [1, 100, 2**20])
@pytest.mark.parametrize("n_frames", [1, 2, 37])
def test_attention_is_that_of_the_whole_matrix(
    monkeypatch: pytest.MonkeyPatch, block_scores: int, n_frames: int
) -> None:
    monkeypatch.setattr(transformer, "_BLOCK_SCORES", block_scores)
    torch.manual_seed(3)
    heads, head_width, width = 3, 4, 12
    attention = SelfAttention(width, heads, head_width, distance_heads=heads).requires_grad_(False)
    assert attention.gate is not None
    attention.gate.constant[:] = torch.randn(1, heads, 1, 1)
    x, by_distance = torch.randn(2, n_frames, width), torch.randn(heads, 2 * n_frames - 1)
    expected = torch.zeros(2, n_frames, width)
    for sound in range(2):
        for head in range(heads):
            part = slice(head * head_width, (head + 1) * head_width)
            query, key, value = (
                layer(x[sound])[:, part] for layer in (attention.query, attention.key, attention.value)
            )
            gates = attention.gate.linear(x[sound][:, part])
            outer, inner = gates[:, :4].sum(-1).sigmoid(), gates[:, 4:].sum(-1).sigmoid()
            factor = outer * (inner * attention.gate.constant[0, head, 0, 0] - 1) + 2
            apart = torch.arange(n_frames) - torch.arange(n_frames)[:, None]
            bias = factor[:, None] * by_distance[head][apart + n_frames - 1]
            expected[sound][:, part] = torch.softmax(query @ key.T / head_width**0.5 + bias, dim=-1) @ value
    torch.testing.assert_close(attention(x, by_distance), attention.output(expected))


def test_the_bias_of_all_frames_by_all_frames_is_never_stored() -> None:
    n_frames, heads = 3000, 2
    attention = SelfAttention(64, heads, 32, distance_heads=heads).eval().requires_grad_(False)
    by_distance = DistanceBias(DistanceSizes(320, 800, heads)).requires_grad_(False)(n_frames)
    frames = torch.zeros(1, n_frames, 64)
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        attention(frames, by_distance)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert 0 < largest < n_frames**2 * 4


def test_the_bias_of_the_first_layer_serves_all(network: HubertNetwork) -> None:
    before = network.features(WAVE[None])
    assert network.distance_bias is not None
    network.distance_bias.buckets.weight.zero_()
    without = [network.features(WAVE[None], layer) for layer in range(LAYERS + 1)]
    network.distance_bias.buckets.weight.fill_(3.0)  # the same for all distances is the same as none
    for layer, expected in enumerate(without):
        torch.testing.assert_close(network.features(WAVE[None], layer), expected)
    assert not torch.allclose(before, without[-1])


def wavlm_hugging_face_name(key: str) -> str:
    key = re.sub("relative_attention_bias", "rel_attn_embed", key)
    key = re.sub("grep_linear", "gru_rel_pos_linear", re.sub("grep_a$", "gru_rel_pos_const", key))
    return hugging_face_name(key, "wavlm.", "weight_g", "weight_v")


@pytest.mark.parametrize("normalises", [True, False])
def test_a_hugging_face_folder_gives_the_same(tmp_path: Path, network: HubertNetwork, normalises: bool) -> None:
    renamed = {wavlm_hugging_face_name(key): value for key, value in wavlm_state().items()}
    save_file(renamed, tmp_path / "model.safetensors")
    config = {"num_attention_heads": HEADS, "do_stable_layer_norm": False, "max_bucket_distance": MAX_DISTANCE}
    (tmp_path / "config.json").write_text(json.dumps(config))
    if normalises:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    got, normalises_too = read_wavlm(tmp_path)
    assert (got.sizes, normalises_too) == (network.sizes, normalises)
    assert torch.equal(got.features(WAVE[None]), network.features(WAVE[None]))


def test_half_weights_run_in_single(tmp_path: Path) -> None:
    halves = {key: value.half() for key, value in wavlm_state().items()}
    network, _ = read_wavlm(save_wavlm(tmp_path / "half.pt", halves))
    singles = {key: value.float() for key, value in halves.items()}
    expected, _ = read_wavlm(save_wavlm(tmp_path / "single.pt", singles))
    assert torch.equal(network.features(WAVE[None]), expected.features(WAVE[None]))


def test_the_wave_is_normalised_where_the_file_says_so(tmp_path: Path, network: HubertNetwork) -> None:
    _, plain = read_wavlm(save_wavlm(tmp_path / "plain.pt"))
    _, normalises = read_wavlm(save_wavlm(tmp_path / "norm.pt", normalize=True))
    assert (plain, normalises) == (False, True)
    encoder = HubertEncoder(network, normalise_wave=True)
    moved = WAVE * 0.25 + 0.5
    torch.testing.assert_close(encoder.encode(moved), encoder.encode(WAVE), atol=1e-3, rtol=0)
    expected = HubertEncoder(network).encode((WAVE - WAVE.mean()) / WAVE.std(correction=0))
    torch.testing.assert_close(encoder.encode(WAVE), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("n_samples", [0, 1, 399, 400, 719, 720, 3000])
@pytest.mark.parametrize("normalise_wave", [False, True])
def test_any_length_gives_a_frame(network: HubertNetwork, n_samples: int, normalise_wave: bool) -> None:
    features = HubertEncoder(network, normalise_wave=normalise_wave).encode(WAVE[:n_samples])
    assert features.shape == (max(1, (n_samples - 400) // 320 + 1), WIDTH)
    assert features.isfinite().all()


def test_each_wave_of_a_batch_is_on_its_own(network: HubertNetwork) -> None:
    waves = torch.stack((WAVE, WAVE.flip(0), WAVE.square()))
    for wave, features in zip(waves, network.features(waves), strict=True):
        torch.testing.assert_close(features, network.features(wave[None])[0])


@pytest.mark.parametrize(
    ("removed", "settings"),
    [
        ("encoder.layers.0.self_attn.relative_attention_bias.weight", {}),
        ("encoder.layers.1.self_attn.grep_a", {}),
        ("encoder.layers.1.fc2.bias", {}),
        ("", {"max_distance": "far"}),
        ("", {"max_distance": 2}),
        ("", {"conv_feature_layers": f"[({CHANNELS},10,5)]"}),
    ],
)
def test_an_incomplete_network_is_refused(tmp_path: Path, removed: str, settings: dict[str, Any]) -> None:
    state = {key: value for key, value in wavlm_state().items() if key != removed}
    with pytest.raises(WeightsError, match=r"'a\.pt' holds no complete WavLM network"):
        read_wavlm(save_wavlm(tmp_path / "a.pt", state, **settings))


def test_the_file_of_another_encoder_is_refused(tmp_path: Path) -> None:
    message = r"'a\.pt' is a content encoder of the HuBERT family; give the content encoder WavLM"
    with pytest.raises(WeightsError, match=message):
        read_wavlm(save_fairseq(tmp_path / "a.pt"))
    with pytest.raises(WeightsError, match=r"has 12 features for each frame, but wavlmbase\+ needs 768"):
        load_encoder("wavlmbase+", weights_file=save_wavlm(tmp_path / "a.pt"), search_folders=[], device="cpu")
