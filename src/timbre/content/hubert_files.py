"""Reading the weights of the HuBERT family from the forms they are found in (pipeline spec 1.2 to 1.5).

Each form is a table from its names to ours and a few facts that tensor shapes do not show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from timbre.content.hubert_network import ConvSize, HubertNetwork, HubertSizes, LayerSizes
from timbre.content.transformer import DistanceSizes
from timbre.errors import WeightsError
from timbre.nn.channels_last import order_weights
from timbre.nn.weight_norm import legacy_name
from timbre.weights.foreign import incomplete_refused, translated
from timbre.weights.hugging_face import settings_beside, weights_file
from timbre.weights.identify import FileKind, network_state, require_kind
from timbre.weights.inert import InertStub
from timbre.weights.restricted import read_checkpoint

_STRIDES = (5, 2, 2, 2, 2, 2, 2)
_HEAD_WIDTH = 64
_MAX_DISTANCE_FRAMES = 800

_CONV_TERM = r"\[(?:\(\d{1,6},\d{1,6},\d{1,6}\),?)+\](?:\*\d{1,2})?"
_CONV_SUM = re.compile(rf"{_CONV_TERM}(?:\+{_CONV_TERM})*")


@dataclass(frozen=True)
class Traits:
    """What the shapes of tensors do not show; None is to be guessed from what they do show."""

    heads: int | None = None
    norm_first: bool | None = None
    strides: tuple[int, ...] = _STRIDES
    max_distance_frames: int = _MAX_DISTANCE_FRAMES  # WavLM only


def _layer_renames(attention: str, attention_norm: str, expand: str, contract: str, norm: str) -> dict[str, str]:
    names = {
        f"{attention}.q_proj": "attention.query",
        f"{attention}.k_proj": "attention.key",
        f"{attention}.v_proj": "attention.value",
        f"{attention}.out_proj": "attention.output",
        attention_norm: "attention_norm",
        expand: "feed_forward.expand",
        contract: "feed_forward.contract",
        norm: "feed_forward_norm",
    }
    return {rf"encoder\.layers\.(\d+)\.{re.escape(name)}\.": rf"layers.\1.{ours}." for name, ours in names.items()}


FAIRSEQ_RENAMES = {
    r"feature_extractor\.conv_layers\.(\d+)\.0\.": r"front.layers.\1.conv.",
    r"feature_extractor\.conv_layers\.(\d+)\.2\.(?:1\.)?": r"front.layers.\1.norm.",
    r"layer_norm\.": "projection_norm.",
    r"post_extract_proj\.": "projection.",
    r"encoder\.pos_conv\.0\.": "position.conv.",
    r"encoder\.layer_norm\.": "norm.",
    r"final_proj\.": "final_projection.",
    r"encoder\.layers\.(\d+)\.self_attn\.grep_linear\.": r"layers.\1.attention.gate.linear.",
    r"encoder\.layers\.(\d+)\.self_attn\.grep_a$": r"layers.\1.attention.gate.constant",
    r"encoder\.layers\.0\.self_attn\.relative_attention_bias\.": "distance_bias.buckets.",
    **_layer_renames("self_attn", "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm"),
}
HUGGING_FACE_RENAMES = {
    r"feature_extractor\.conv_layers\.(\d+)\.conv\.": r"front.layers.\1.conv.",
    r"feature_extractor\.conv_layers\.(\d+)\.layer_norm\.": r"front.layers.\1.norm.",
    r"feature_projection\.layer_norm\.": "projection_norm.",
    r"feature_projection\.projection\.": "projection.",
    r"encoder\.pos_conv_embed\.conv\.": "position.conv.",
    r"encoder\.layer_norm\.": "norm.",
    r"(?:final_)?proj\.": "final_projection.",
    r"encoder\.layers\.(\d+)\.attention\.gru_rel_pos_linear\.": r"layers.\1.attention.gate.linear.",
    r"encoder\.layers\.(\d+)\.attention\.gru_rel_pos_const$": r"layers.\1.attention.gate.constant",
    r"encoder\.layers\.0\.attention\.rel_attn_embed\.": "distance_bias.buckets.",
    **_layer_renames(
        "attention",
        "layer_norm",
        "feed_forward.intermediate_dense",
        "feed_forward.output_dense",
        "final_layer_norm",
    ),
}
_SOFT_RENAMES = {
    r"feature_extractor\.conv(\d+)\.": r"front.layers.\1.conv.",
    r"feature_extractor\.norm(\d+)\.": r"front.layers.\1.norm.",
    r"feature_projection\.norm\.": "projection_norm.",
    r"feature_projection\.projection\.": "projection.",
    r"positional_embedding\.conv\.": "position.conv.",
    r"norm\.": "norm.",
    r"proj\.": "final_projection.",
    **_layer_renames("self_attn", "norm1", "linear1", "linear2", "norm2"),
}
_NEEDED = ("encoder.", "feature_extractor.", "feature_projection.")  # all else without a new name is for training


def read_hubert(path: Path) -> HubertNetwork:
    """Read a fairseq file, or a Hugging Face folder or the weights in it; the network is ready for evaluation.

    Raises MissingWeightsError when there is no such file, WeightsError when it is damaged or holds something else.
    """
    file = weights_file(path)
    checkpoint = read_checkpoint(file)
    kind = require_kind(checkpoint, (FileKind.FAIRSEQ_HUBERT, FileKind.HUGGING_FACE_HUBERT), file)
    state = network_state(checkpoint.data)
    if kind is FileKind.FAIRSEQ_HUBERT:
        return build(state, FAIRSEQ_RENAMES, fairseq_traits(_fairseq_settings(checkpoint.data)), file.name)
    return build(state, HUGGING_FACE_RENAMES, hugging_face_traits(settings_beside(file)), file.name)


def read_hubert_soft(path: Path) -> HubertNetwork:
    """Read hubert-soft-0d54a1f4.pt; raises as `read_hubert` does."""
    checkpoint = read_checkpoint(path)
    require_kind(checkpoint, (FileKind.HUBERT_SOFT,), path)
    return build_hubert_soft(network_state(checkpoint.data), path.name)


def build_hubert_soft(state: Mapping[str, Tensor], name: str) -> HubertNetwork:
    """Build the network from the tensors of the file called `name`; raises WeightsError when they do not fit."""
    return build(state, _SOFT_RENAMES, Traits(norm_first=False), name)


def build(
    state: Mapping[str, Tensor], renames: Mapping[str, str], traits: Traits, name: str, network: str = "HuBERT"
) -> HubertNetwork:
    """Build the network, called `network`, whose sizes the tensors of the file called `name` show.

    `renames` are patterns of its names with ours. Raises WeightsError when the tensors do not fit.
    """
    with incomplete_refused(name, network):
        ours = own_names(state, renames)
        return filled(_sizes_of(ours, traits), ours)


def own_names(state: Mapping[str, Tensor], renames: Mapping[str, str]) -> dict[str, Tensor]:
    """Translate the names, fold the weight norm and leave out what only training needs; all as float32."""
    renamed: dict[str, Tensor] = {}
    for key, value in _unpacked(state).items():
        name = translated(legacy_name(key), renames)
        if name is not None:
            renamed[name] = value.float()
        elif key.startswith(_NEEDED):
            renamed[key] = value  # not understood: the caller refuses or ignores it
    return _folded(renamed)


def filled(sizes: HubertSizes, state: Mapping[str, Tensor], *, ignore_others: bool = False) -> HubertNetwork:
    """Make the network with these weights, ready for evaluation.

    Raises ValueError where weights are missing or, unless `ignore_others`, not understood, and whatever the sizes
    or shapes cause.
    """
    with torch.device("meta"):
        network = HubertNetwork(sizes)
    missing, others = network.load_state_dict(state, strict=False, assign=True)
    if missing or (others and not ignore_others):
        raise ValueError("the weights are not those of the network")
    order_weights(network)
    return network.eval().requires_grad_(False)


def conv_strides(text: str) -> tuple[int, ...]:
    """Return the strides in a text like "[(512,10,5)] + [(512,3,2)] * 4", which fairseq would evaluate.

    Each triple is (channels, kernel, stride). Raises WeightsError for any other text.
    """
    compact = re.sub(r"\s", "", text)
    strides: list[int] = []
    if _CONV_SUM.fullmatch(compact):
        for term in re.findall(_CONV_TERM, compact):
            inside, _, times = term.partition("]")
            found = [int(stride) for stride in re.findall(r"(\d+)\)", inside)]
            strides += found * int(times[1:] or 1)
    if not strides:
        raise WeightsError(
            f"the file describes its convolutions as {text[:80]!r}; only sums of lists of number triples are understood"
        )
    return tuple(strides)


def hugging_face_traits(config: Mapping[str, Any]) -> Traits:
    """Read config.json of a Hugging Face folder, which may lack any of the settings."""
    strides = config.get("conv_stride")
    return Traits(
        config.get("num_attention_heads"),
        config.get("do_stable_layer_norm"),
        tuple(strides) if isinstance(strides, list) else _STRIDES,
        config.get("max_bucket_distance", _MAX_DISTANCE_FRAMES),
    )


def fairseq_traits(settings: Mapping[str, Any]) -> Traits:
    """Read a model's settings by fairseq's names, which WavLM shares; any of them may be missing."""
    convs = _plain(settings.get("conv_feature_layers"))
    return Traits(
        _plain(settings.get("encoder_attention_heads")),
        _plain(settings.get("layer_norm_first")),
        conv_strides(convs) if isinstance(convs, str) else _STRIDES,
        settings.get("max_distance", _MAX_DISTANCE_FRAMES),
    )


def _fairseq_settings(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return _fields(_fields(data.get("cfg")).get("model")) or _fields(data.get("args"))


def _fields(value: Any) -> Mapping[str, Any]:
    """Return what a dictionary, a stub of a Namespace or one of an OmegaConf dictionary holds."""
    if isinstance(value, InertStub):
        value = value.state
        if isinstance(value, dict):
            value = value.get("_content", value)
    return value if isinstance(value, dict) else {}


def _plain(value: Any) -> Any:
    """Return the value inside the stub of an OmegaConf node."""
    return _fields(value).get("_val") if isinstance(value, InertStub) else value


def _unpacked(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Split what torch's own attention packs into one: query, key and value."""
    split: dict[str, Tensor] = {}
    for key, value in state.items():
        stem, packed, kind = key.partition("in_proj_")
        if packed:
            split |= {f"{stem}{part}_proj.{kind}": third for part, third in zip("qkv", value.chunk(3), strict=True)}
        else:
            split[key] = value
    return split


def _folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace the weight norm of the position convolution, taken over all axes but the taps, by the plain weight."""
    folded = dict(state)
    direction, gain = (folded.pop(f"position.conv.{name}", None) for name in ("weight_v", "weight_g"))
    if direction is not None and gain is not None:
        norm = torch.linalg.vector_norm(direction, dim=(0, 1), keepdim=True)
        folded["position.conv.weight"] = gain * direction / norm
    return folded


def _sizes_of(state: Mapping[str, Tensor], traits: Traits) -> HubertSizes:
    n_convs, n_layers = _count(state, "front.layers"), _count(state, "layers")
    kernels = [state[f"front.layers.{i}.conv.weight"].shape for i in range(n_convs)]
    layer_mode = "front.layers.1.norm.weight" in state
    width, group_width, position_kernel = state["position.conv.weight"].shape
    projection = state.get("final_projection.weight")
    buckets = state.get("distance_bias.buckets.weight")
    distances = None if buckets is None else DistanceSizes(len(buckets), traits.max_distance_frames, buckets.shape[1])
    heads = distances.heads if distances else traits.heads or width // _HEAD_WIDTH
    if heads < 1 or width % heads:
        raise ValueError("the width is no multiple of the heads")
    inner_width = state["layers.0.feed_forward.expand.weight"].shape[0]
    return HubertSizes(
        convs=tuple(
            ConvSize(shape[0], shape[2], stride) for shape, stride in zip(kernels, traits.strides, strict=True)
        ),
        conv_norm="layer" if layer_mode else "group",
        conv_bias="front.layers.0.conv.bias" in state,
        width=width,
        head_width=width // heads,
        layers=(LayerSizes(heads, inner_width),) * n_layers,
        position_kernel=position_kernel,
        position_groups=width // group_width,
        norm_first=layer_mode if traits.norm_first is None else traits.norm_first,
        projected_width=0 if projection is None else projection.shape[0],
        distances=distances,
    )


def _count(state: Mapping[str, Tensor], stem: str) -> int:
    found = (re.match(rf"{re.escape(stem)}\.(\d+)\.", key) for key in state)
    return len({match.group(1) for match in found if match})
