"""Weights of so-vits-svc checkpoints in and out of the synthesizer (models spec 2.1, 3, 7.3 and 7.4)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from timbre.config.vits import PLAIN_VOCODER, SNAKE_VOCODER, VitsShape
from timbre.errors import WeightsError
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.weight_norm import current_name, legacy_name

TRAINING_ONLY = "enc_q."
"""How the names of the posterior encoder begin, which released files leave out."""

_FLOW_COPY = re.compile(r"flow\.(?:wn|flows\.\d+\.enc)\.(.+)")
_RELATIVE_KEYS = "enc_p.enc_.attn_layers.0.emb_rel_k"
_PREDICTION = "use_automatic_f0_prediction"
_ENCODERS_OF_WIDTH = {
    256: "vec256l9 or hubertsoft",
    768: "vec768l12, dphubert or wavlmbase+",
    1024: "whisper-ppg or cnhubertlarge",
    1280: "whisper-ppg-large",
}


def load_state(model: Synthesizer, tensors: Mapping[str, Tensor]) -> None:
    """Fill a synthesizer, whose weight norm is not folded, with the `model` entry of a checkpoint.

    Takes weight norm under the names of old and new PyTorch, any floating point type, keys with `module.` before
    them, files released without the posterior encoder, whose values then stay, and shared flows stored in one place
    or in many; keys that the model has no place for are ignored. Raises WeightsError, and changes nothing, when
    anything else is missing or of another shape, or weights the model needs to know of are there.
    """
    given = {current_name(key.removeprefix("module.")): value for key, value in tensors.items()}
    _check_kind(given)
    _check_shape(model.shape, given)
    wanted = model.state_dict()
    if model.shape.flow_share_parameter:
        given |= _shared_flow(given, wanted)
    if not any(key.startswith(TRAINING_ONLY) for key in given):
        wanted = {key: value for key, value in wanted.items() if not key.startswith(TRAINING_ONLY)}
    for key, value in wanted.items():
        if key not in given:
            raise WeightsError(
                f"the weights lack {legacy_name(key)!r}, which config.json asks for; use the file that belongs to it"
            )
        if given[key].shape != value.shape:
            raise WeightsError(
                f"the weights {legacy_name(key)!r} have the shape {tuple(given[key].shape)} but config.json asks for "
                f"{tuple(value.shape)}; use the file that belongs to it"
            )
    with torch.no_grad():
        for key, value in wanted.items():
            value.copy_(given[key])


def complete_config(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Mapping[str, Any]:
    """Return a config.json that also says what it leaves to the weights: whether they can predict the pitch.

    Its key is from 4.1; where it is absent the weights of 4.0 can (models spec 1.3), unless a program left them out.
    """
    model = config.get("model")
    if not isinstance(model, Mapping) or _PREDICTION in model or any("f0_decoder." in key for key in tensors):
        return config
    return {**config, "model": {**model, _PREDICTION: False}}


def legacy_state(model: Synthesizer) -> dict[str, Tensor]:
    """Return the weights by the names of checkpoints, in their order; the weight norm must not be folded.

    They share memory with the model. A shared flow is there as often as in checkpoints.
    """
    return {legacy_name(key): value for key, value in model.state_dict().items()}


def _shared_flow(given: Mapping[str, Tensor], wanted_keys: Iterable[str]) -> dict[str, Tensor]:
    """Return every copy of the shared flow network; all that are given must agree."""
    found: dict[str, Tensor] = {}
    for key, value in given.items():
        match = _FLOW_COPY.fullmatch(key)
        if match and not torch.equal(found.setdefault(match[1], value), value):
            raise WeightsError(
                "config.json says flow_share_parameter true but the flows of the weights differ; "
                "use the config.json that belongs to them"
            )
    matches = {key: match for key in wanted_keys if (match := _FLOW_COPY.fullmatch(key))}
    return {key: found[match[1]] for key, match in matches.items() if match[1] in found}


def _check_kind(given: Mapping[str, Tensor]) -> None:
    """Raise WeightsError for the weights of other networks."""
    if any(key.startswith("discriminators.") for key in given):
        raise WeightsError("the weights are those of a discriminator (D_*.pth); use the file G_*.pth beside it")
    if "unit_embed.weight" in given:
        raise WeightsError("the weights are those of a diffusion model; the main model is a file G_*.pth")
    if not any(key.startswith("enc_p.enc_.") for key in given):
        raise WeightsError("the weights are not those of so-vits-svc 4.0 or 4.1; 4.0-v2 and other programs do not fit")


def _check_shape(shape: VitsShape, given: Mapping[str, Tensor]) -> None:
    """Raise WeightsError at the first setting that the weights contradict."""
    for name, found in _settings_of(given).items():
        said = getattr(shape, name)
        if found is None or said == found:
            continue
        advice = "use the config.json that belongs to them"
        if name == "ssl_dim" and found in _ENCODERS_OF_WIDTH:
            advice += f", made for the content encoder {_ENCODERS_OF_WIDTH[found]}"
        raise WeightsError(
            f"config.json says {name} {json.dumps(said)} but the weights were made with {json.dumps(found)}; " + advice
        )


def _settings_of(given: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the settings that weights betray, by the names of `VitsShape`; None where they do not."""
    parts = {part for key in given for part in key.split(".")}
    transformer_flow = any(key.startswith("flow.") and "self_attn_layers" in key for key in given)
    hidden_channels, head_channels = _size(given, "pre.weight", 0), _size(given, _RELATIVE_KEYS, 2)
    return {
        "ssl_dim": _size(given, "pre.weight", 1),
        "gin_channels": _size(given, "emb_g.weight", 1),
        "n_speakers": _size(given, "emb_g.weight", 0),
        "vol_embedding": "emb_vol" in parts,
        "vocoder_name": SNAKE_VOCODER if "snakes" in parts else PLAIN_VOCODER,
        "use_transformer_flow": transformer_flow,
        "use_depthwise_conv": "depth_conv" in parts if "in_layers" in parts else None,
        _PREDICTION: None if "f0_decoder" in parts else False,  # too much is no harm
        "hidden_channels": hidden_channels,
        "n_heads": hidden_channels // head_channels if hidden_channels and head_channels else None,
        "n_layers": _count(given, r"enc_p\.enc_\.attn_layers\.(\d+)\."),
        "n_flow_layer": _count(given, r"flow\.flows\.(\d+)\." if transformer_flow else r"flow\..*\.in_layers\.(\d+)\."),
    }


def _size(given: Mapping[str, Tensor], key: str, axis: int) -> int | None:
    return given[key].shape[axis] if key in given and given[key].dim() > axis else None


def _count(given: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many different numbers the group of `pattern` has at the beginnings of keys."""
    return len({match[1] for key in given if (match := re.match(pattern, key))})
