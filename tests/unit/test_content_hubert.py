"""Content encoders with a HuBERT network: the forms of their files, short waves, refusals."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.unit.test_import_light import heavy_modules_after
from timbre.content.encoders import ENCODERS, EncoderSpec, load_encoder
from timbre.content.hubert import HubertEncoder
from timbre.content.hubert_files import build_hubert_soft, conv_strides, read_hubert, read_hubert_soft
from timbre.content.hubert_network import HubertNetwork
from timbre.content.transformer import SelfAttention
from timbre.errors import DeviceError, MissingWeightsError, SettingsError, WeightsError
from timbre.weights.catalogue import CATALOGUE, WeightsEntry

WIDTH, CHANNELS, INNER, PROJECTED, HEADS, LAYERS = 12, 8, 20, 5, 3, 2
KERNELS = (10, 3, 3, 3, 3, 2, 2)
SETTINGS = {
    "encoder_attention_heads": HEADS,
    "layer_norm_first": True,
    "conv_feature_layers": "[(8,10,5)] + [(8,3,2)] * 4 + [(8,2,2)] * 2",
}
WAVE = torch.sin(torch.arange(3000) * 0.3) * torch.linspace(0, 1, 3000)


def fairseq_state(*, layer_mode: bool = True, width: int = WIDTH) -> dict[str, Tensor]:
    """Make random weights by fairseq's names, in its layer-norm or group-norm form."""
    shapes: dict[str, tuple[int, ...]] = {}

    def module(name: str, *shape: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = shape[:1]

    for i, kernel in enumerate(KERNELS):
        module(f"feature_extractor.conv_layers.{i}.0", CHANNELS, CHANNELS if i else 1, kernel, bias=layer_mode)
        if layer_mode or i == 0:
            module(f"feature_extractor.conv_layers.{i}.2{'.1' if layer_mode else ''}", CHANNELS)
    module("layer_norm", CHANNELS)
    module("post_extract_proj", width, CHANNELS)
    shapes |= {"encoder.pos_conv.0.weight_g": (1, 1, 8), "encoder.pos_conv.0.weight_v": (width, width // 2, 8)}
    shapes |= {"encoder.pos_conv.0.bias": (width,), "mask_emb": (width,), "label_embs_concat": (4, PROJECTED)}
    module("encoder.layer_norm", width)
    module("final_proj", PROJECTED, width)
    for n in range(LAYERS):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            module(f"encoder.layers.{n}.self_attn.{name}", width, width)
        module(f"encoder.layers.{n}.fc1", INNER, width)
        module(f"encoder.layers.{n}.fc2", width, INNER)
        module(f"encoder.layers.{n}.self_attn_layer_norm", width)
        module(f"encoder.layers.{n}.final_layer_norm", width)
    generator = torch.Generator().manual_seed(1)
    return {key: torch.randn(shape, generator=generator) * 0.4 for key, shape in shapes.items()}


def save_fairseq(path: Path, state: dict[str, Tensor] | None = None, **settings: Any) -> Path:
    content = {"args": None, "cfg": {"model": SETTINGS | settings}, "model": state or fairseq_state()}
    torch.save(content, path)
    return path


@pytest.fixture
def network(tmp_path: Path) -> HubertNetwork:
    return read_hubert(save_fairseq(tmp_path / "network.pt"))


def hugging_face_name(key: str, prefix: str, gain: str, direction: str) -> str:
    renames = {
        r"conv_layers\.(\d)\.0\.": r"conv_layers.\1.conv.",
        r"conv_layers\.(\d)\.2\.(1\.)?": r"conv_layers.\1.layer_norm.",
        r"^layer_norm\.": "feature_projection.layer_norm.",
        r"^post_extract_proj\.": "feature_projection.projection.",
        r"pos_conv\.0\.weight_g": f"pos_conv_embed.conv.{gain}",
        r"pos_conv\.0\.weight_v": f"pos_conv_embed.conv.{direction}",
        r"pos_conv\.0\.bias": "pos_conv_embed.conv.bias",
        r"self_attn\.": "attention.",
        r"self_attn_layer_norm": "layer_norm",
        r"fc1": "feed_forward.intermediate_dense",
        r"fc2": "feed_forward.output_dense",
        r"^mask_emb": "masked_spec_embed",
    }
    for pattern, theirs in renames.items():
        key = re.sub(pattern, theirs, key)
    return key if key.startswith("final_proj") else prefix + key


@pytest.mark.parametrize("layer_mode", [True, False])
@pytest.mark.parametrize(
    ("prefix", "gain", "direction", "form"),
    [
        ("", "weight_g", "weight_v", "pytorch_model.bin"),
        ("hubert.", "parametrizations.weight.original0", "parametrizations.weight.original1", "model.safetensors"),
    ],
)
def test_a_hugging_face_folder_gives_the_same(
    tmp_path: Path, layer_mode: bool, prefix: str, gain: str, direction: str, form: str
) -> None:
    state = fairseq_state(layer_mode=layer_mode)
    expected = read_hubert(save_fairseq(tmp_path / "fairseq.pt", state, layer_norm_first=layer_mode))
    renamed = {hugging_face_name(key, prefix, gain, direction): value for key, value in state.items()}
    save = save_file if form.endswith("safetensors") else torch.save
    save(renamed, tmp_path / form)
    config = {
        "num_attention_heads": HEADS,
        "do_stable_layer_norm": layer_mode,
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    for path in (tmp_path, tmp_path / form):
        network = read_hubert(path)
        assert network.sizes == expected.sizes
        assert torch.equal(network.features(WAVE[None]), expected.features(WAVE[None]))
        assert torch.equal(network.state_dict()["final_projection.weight"], state["final_proj.weight"])


@pytest.fixture
def omegaconf() -> Iterator[ModuleType]:
    """A stand-in for the package in which fairseq keeps its settings, to write such files."""
    module = ModuleType("omegaconf")
    for name in ("DictConfig", "AnyNode"):
        setattr(module, name, type(name, (), {"__module__": "omegaconf"}))
    sys.modules["omegaconf"] = module
    yield module
    del sys.modules["omegaconf"]


def test_settings_may_be_of_omegaconf_or_argparse(
    tmp_path: Path, omegaconf: ModuleType, network: HubertNetwork
) -> None:
    def node(value: Any) -> Any:
        made = omegaconf.DictConfig() if isinstance(value, dict) else omegaconf.AnyNode()
        content = {"_content": {k: node(v) for k, v in value.items()}} if isinstance(value, dict) else {"_val": value}
        made.__dict__.update(content, _parent=None)
        return made

    settings = SETTINGS | {"conv_feature_layers": "[(8,10,6)] + [(8,3,2)] * 6", "layer_norm_first": False}
    for cfg, args in ((node({"model": settings}), None), (None, argparse.Namespace(**settings))):
        torch.save({"cfg": cfg, "args": args, "model": fairseq_state()}, tmp_path / "a.pt")
        sizes = read_hubert(tmp_path / "a.pt").sizes
        assert (sizes.layers[0].heads, sizes.norm_first, sizes.hop_samples) == (HEADS, False, 6 * 2**6)
    assert (network.sizes.norm_first, network.sizes.hop_samples, network.sizes.window_samples) == (True, 320, 400)


def test_without_settings_the_shapes_tell(tmp_path: Path) -> None:
    torch.save({"model": fairseq_state(width=128)}, tmp_path / "a.pt")
    sizes = read_hubert(tmp_path / "a.pt").sizes
    assert (sizes.layers[0].heads, sizes.norm_first, sizes.position_groups, sizes.hop_samples) == (2, True, 2, 320)


def test_half_weights_run_in_single(tmp_path: Path) -> None:
    halves = {key: value.half() for key, value in fairseq_state().items()}
    features = read_hubert(save_fairseq(tmp_path / "half.pt", halves)).features(WAVE[None])
    singles = {key: value.float() for key, value in halves.items()}
    assert features.dtype == torch.float32
    assert torch.equal(features, read_hubert(save_fairseq(tmp_path / "single.pt", singles)).features(WAVE[None]))


def soft_name(key: str) -> str:
    renames = {
        r"conv_layers\.(\d)\.0\.": r"conv\1.",
        r"conv_layers\.(\d)\.2\.": r"norm\1.",
        r"^layer_norm": "feature_projection.norm",
        r"^post_extract_proj": "feature_projection.projection",
        r"^encoder\.pos_conv\.0": "positional_embedding.conv",
        r"^encoder\.layer_norm": "norm",
        r"final_proj": "proj",
        r"self_attn_layer_norm": "norm1",
        r"final_layer_norm": "norm2",
        r"fc(\d)": r"linear\1",
    }
    for pattern, theirs in renames.items():
        key = re.sub(pattern, theirs, key)
    return f"module.{key}"


def test_hubert_soft_is_the_same_network(tmp_path: Path) -> None:
    state = fairseq_state(layer_mode=False, width=128)
    soft = {soft_name(key): value for key, value in state.items()}
    for stem in (f"module.encoder.layers.{n}.self_attn." for n in range(LAYERS)):
        for kind in ("weight", "bias"):
            soft[f"{stem}in_proj_{kind}"] = torch.cat([soft.pop(f"{stem}{part}_proj.{kind}") for part in "qkv"])
    torch.save(soft, tmp_path / "soft.pt")
    network = read_hubert_soft(tmp_path / "soft.pt")
    settings = {"layer_norm_first": False, "encoder_attention_heads": 2}
    expected = read_hubert(save_fairseq(tmp_path / "fairseq.pt", state, **settings))
    assert network.sizes == expected.sizes
    assert torch.equal(network.features(WAVE[None]), expected.features(WAVE[None]))


@pytest.mark.parametrize(
    ("text", "strides"),
    [
        ("[(512, 10, 5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2", (5, 2, 2, 2, 2, 2, 2)),
        ("[(1,2,3),(4,5,6)]*2", (3, 6, 3, 6)),
        ("[(1,2,3),]", (3,)),
    ],
)
def test_strides_in_fairseq_text(text: str, strides: tuple[int, ...]) -> None:
    assert conv_strides(text) == strides


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "__import__('os').system('true')",
        "[(1,2,3)] * 999999",
        "[(1,2)]",
        "[(1,2,3)] - [(1,2,3)]",
        "[(1,2,3)] *",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(WeightsError, match="only sums of lists of number triples"):
        conv_strides(text)


@pytest.mark.parametrize("n_samples", [0, 1, 399, 400, 719, 720, 3000])
@pytest.mark.parametrize("padding_samples", [0, 40])
def test_any_length_gives_a_frame(network: HubertNetwork, n_samples: int, padding_samples: int) -> None:
    encoder = HubertEncoder(network, projected=True, padding_samples=padding_samples)
    features = encoder.encode(WAVE[:n_samples])
    assert features.shape == (max(1, (n_samples + 2 * padding_samples - 400) // 320 + 1), PROJECTED)
    assert features.isfinite().all()
    assert (encoder.dimensions, encoder.sample_rate_hz, encoder.hop_samples) == (PROJECTED, 16_000, 320)


def test_a_short_wave_is_followed_by_zeros(network: HubertNetwork) -> None:
    encoder = HubertEncoder(network)
    assert torch.equal(encoder.encode(WAVE[:100]), encoder.encode(torch.cat((WAVE[:100], torch.zeros(300)))))


def test_each_wave_of_a_batch_is_on_its_own(network: HubertNetwork) -> None:
    waves = torch.stack((WAVE, WAVE.flip(0), WAVE.square()))
    together = network.features(waves)
    for wave, features in zip(waves, together, strict=True):
        torch.testing.assert_close(features, network.features(wave[None])[0])


def test_layers_after_the_asked_do_not_run(network: HubertNetwork) -> None:
    last = network.layers[-1]
    assert isinstance(last, nn.Module)

    def forbid(*_: Any) -> None:
        raise AssertionError("the last layer ran")

    handle = last.register_forward_pre_hook(forbid)
    assert network.features(WAVE[None], LAYERS - 1).shape[-1] == WIDTH
    with pytest.raises(AssertionError, match="the last layer ran"):
        network.features(WAVE[None], LAYERS)
    handle.remove()
    with pytest.raises(ValueError, match="the network has 2 layers"):
        network.features(WAVE[None], LAYERS + 1)


def test_attention_stores_no_matrix_of_all_frames_by_all_frames() -> None:
    n_frames = 2000
    frames = torch.zeros(1, n_frames, 64)
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        SelfAttention(64, 1, 64).eval().requires_grad_(False)(frames)
    assert 0 < max(event.cpu_memory_usage for event in profile.events()) < n_frames**2 * 4


def without(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {key: value for key, value in state.items() if not key.startswith(prefix)}


@pytest.mark.parametrize(
    "change",
    [
        without("encoder.layers.1.fc2"),
        without("layer_norm."),
        without("encoder.pos_conv.0.weight_g"),
        lambda state: state | {"encoder.layers.0.self_attn.extra": torch.zeros(1)},
        lambda state: state | {"encoder.layers.999999999.fc1.bias": torch.zeros(INNER)},
        lambda state: state | {"encoder.layer_norm.weight": torch.zeros(WIDTH + 1)},
        lambda state: state | {"encoder.pos_conv.0.weight_g": torch.zeros(1, 1, 7)},
    ],
)
def test_unfitting_tensors_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    with pytest.raises(WeightsError, match=r"'a\.pt' holds no complete HuBERT network"):
        read_hubert(save_fairseq(tmp_path / "a.pt", change(fairseq_state())))


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    wavlm = fairseq_state() | {"encoder.layers.0.self_attn.grep_linear.weight": torch.zeros(8, 4)}
    with pytest.raises(
        WeightsError, match=r"'a\.pt' is the content encoder WavLM; give a content encoder of the HuBERT"
    ):
        read_hubert(save_fairseq(tmp_path / "a.pt", wavlm))
    with pytest.raises(WeightsError, match="give the content encoder HuBERT-Soft"):
        read_hubert_soft(save_fairseq(tmp_path / "a.pt"))


def test_an_unfinished_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"holds neither model\.safetensors nor pytorch_model\.bin"):
        read_hubert(tmp_path)
    names = {hugging_face_name(key, "", "weight_g", "weight_v"): value for key, value in fairseq_state().items()}
    save_file(names, tmp_path / "model.safetensors")
    for content, message in (("{", "is not valid JSON"), ("[]", "holds no settings")):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(WeightsError, match=message):
            read_hubert(tmp_path)


TOY = EncoderSpec("toy", "", WIDTH, "toy", "timbre.content.hubert:load", layer=1)
TOY_WEIGHTS = WeightsEntry("toy", "the toy", "https://example.org", None, None, file_names=("toy.pt",))


@pytest.fixture(autouse=True)
def toy_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(ENCODERS, "toy", TOY)
    monkeypatch.setitem(CATALOGUE, "toy", TOY_WEIGHTS)


def test_an_encoder_is_found_and_loaded(tmp_path: Path) -> None:
    save_fairseq(tmp_path / "toy.pt")
    expected = read_hubert(tmp_path / "toy.pt").features(WAVE[None], 1)[0]
    found = load_encoder("toy", weights_file=None, search_folders=[tmp_path / "none", tmp_path], device="cpu")
    assert found.dimensions == WIDTH
    assert torch.equal(found.encode(WAVE), expected)
    given = load_encoder("toy", weights_file=tmp_path / "toy.pt", search_folders=[], device="cpu")
    assert torch.equal(given.to("cpu").encode(WAVE.double()), expected)
    with pytest.raises(DeviceError):
        load_encoder("toy", weights_file=tmp_path / "toy.pt", search_folders=[], device="quantum")


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    message = (
        rf"content encoder vec768l12 needs checkpoint_best_legacy_500\.pt, which is not in {re.escape(str(tmp_path))}"
    )
    with pytest.raises(MissingWeightsError, match=message):
        load_encoder("vec768l12", weights_file=None, search_folders=[tmp_path], device="cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vec768l12", r"has 12 features for each frame, but vec768l12 needs 768; give checkpoint_best"),
        ("vec256l9", r"has 5 features for each frame, but vec256l9 needs 256"),
        ("hubertsoft", r"is a content encoder of the HuBERT family; give the content encoder HuBERT-Soft"),
    ],
)
def test_the_file_of_another_encoder_is_refused(tmp_path: Path, name: str, message: str) -> None:
    path = save_fairseq(tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=rf"'a\.pt' {message}"):
        load_encoder(name, weights_file=path, search_folders=[], device="cpu")


@pytest.mark.parametrize(
    ("changed", "settings", "message"),
    [
        ({"layer": 9}, {}, "has 2 layers, but toy needs 9"),
        ({"projected": True, "dimensions": 7}, {}, "has 5 features for each frame, but toy needs 7"),
        ({}, {"conv_feature_layers": "[(8,10,5)] * 7"}, "has 78125 samples per frame, but toy needs 320"),
    ],
)
def test_an_unfitting_network_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    settings: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setitem(ENCODERS, "toy", replace(TOY, **changed))
    path = save_fairseq(tmp_path / "a.pt", **settings)
    with pytest.raises(WeightsError, match=rf"'a\.pt' {message}; give toy\.pt"):
        load_encoder("toy", weights_file=path, search_folders=[], device="cpu")


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"is 'vec'; it must be one of: vec768l12, .*hubertsoft-onnx"):
        load_encoder("vec", weights_file=None, search_folders=[], device="cpu")


def test_the_table_is_readable_without_torch() -> None:
    code = "from timbre.content.encoders import ENCODERS; assert ENCODERS['vec768l12'].file_names"
    assert heavy_modules_after(code) == []


def test_soft_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(WeightsError, match="'soft' holds no complete HuBERT network"):
        build_hubert_soft({"encoder.layers.0.self_attn.in_proj_weight": torch.zeros(2, 1)}, "soft")
