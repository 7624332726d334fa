"""The content encoder DPHuBERT (Y. Peng and others, 2023; pipeline spec 1.7): HuBERT or WavLM with parts cut out.

The original left its dropout on, so that its features were partly chance; here they are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from timbre.content.hubert import HubertEncoder, fitting_encoder
from timbre.content.hubert_files import HUGGING_FACE_RENAMES, filled, own_names
from timbre.content.hubert_network import ConvSize, HubertNetwork, HubertSizes, LayerSizes
from timbre.content.transformer import DistanceSizes
from timbre.weights.foreign import incomplete_refused
from timbre.weights.identify import FileKind, network_state, require_kind
from timbre.weights.restricted import read_checkpoint

if TYPE_CHECKING:
    from timbre.content.encoders import EncoderSpec

_RENAMES = {r"feature_extractor\.dummy_weight$": "front.scale", **HUGGING_FACE_RENAMES}
_NESTS = {"encoder.transformer.": "encoder.", "encoder.feature_projection.": "feature_projection."}


def load(spec: EncoderSpec, path: Path) -> HubertEncoder:
    """Make the encoder from DPHuBERT-sp0.75.pth; raises WeightsError for an unfitting network."""
    network, normalise_wave = read_dphubert(path)
    return fitting_encoder(network, spec, path, normalise_wave=normalise_wave)


def read_dphubert(path: Path) -> tuple[HubertNetwork, bool]:
    """Read a DPHuBERT file.

    Returns the network, ready for evaluation, and whether it was trained on waves of mean 0 and variance 1. Raises
    MissingWeightsError when there is no such file, WeightsError when it is damaged or holds something else.
    """
    checkpoint = read_checkpoint(path)
    require_kind(checkpoint, (FileKind.DPHUBERT,), path)
    with incomplete_refused(path.name, "DPHuBERT"):
        config = checkpoint.data["config"]
        state = {_unnested(key): value for key, value in network_state(checkpoint.data).items()}
        ours = own_names(state, _RENAMES)
        # As in the original, what training has left in the file may stay unread.
        return filled(_sizes_of(config, ours), ours, ignore_others=True), bool(config["normalize_waveform"])


def _unnested(key: str) -> str:
    """Return the name that Hugging Face has for it."""
    nest = next((nest for nest in _NESTS if key.startswith(nest)), "")
    return _NESTS.get(nest, "") + key.removeprefix(nest)


def _sizes_of(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> HubertSizes:
    width, distances = config["encoder_embed_dim"], None
    if "encoder_remaining_heads" in config:
        n_buckets, heads = state["distance_bias.buckets.weight"].shape
        distances = DistanceSizes(n_buckets, config["encoder_max_distance"], heads)
    return HubertSizes(
        convs=tuple(ConvSize(*size) for size in config["extractor_conv_layer_config"]),
        conv_norm="layer" if config["extractor_mode"] == "layer_norm" else "group",
        conv_bias=config["extractor_conv_bias"],
        width=width,
        head_width=width // distances.heads if distances else config["encoder_head_dim"],
        layers=tuple(_layer(config, distances, n) for n in range(config["encoder_num_layers"])),
        position_kernel=config["encoder_pos_conv_kernel"],
        position_groups=config["encoder_pos_conv_groups"],
        norm_first=config["encoder_layer_norm_first"],
        conv_scale=True,
        distances=distances,
    )


def _layer(config: Mapping[str, Any], distances: DistanceSizes | None, n: int) -> LayerSizes:
    """Return the sizes of layer n; raises ValueError where it has kept a head that there never was."""
    kept_heads = tuple(config["encoder_remaining_heads"][n]) if distances else None
    if kept_heads and distances and not set(kept_heads) <= set(range(distances.heads)):
        raise ValueError("a head that is kept does not exist")
    heads = config["encoder_num_heads"][n] if kept_heads is None else len(kept_heads)
    return LayerSizes(
        heads=heads if config["encoder_use_attention"][n] else 0,
        inner_width=config["encoder_ff_interm_features"][n] if config["encoder_use_feed_forward"][n] else 0,
        kept_heads=kept_heads,
    )
