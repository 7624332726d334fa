"""Weights of diffusion checkpoints in and out of the model (models spec 9.2, 9.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from timbre.errors import WeightsError
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.weights.identify import FileKind, identify, network_state, wrong_kind
from timbre.weights.restricted import Checkpoint

_COARSE_TYPES = (torch.float16, torch.bfloat16)
_OWN_YAML = "use the yaml that was saved with them"
_OWN_VOCODER = "use the vocoder they were trained for"
_OWN_FILE = "use a model_*.pt of so-vits-svc"


def load_state(model: Unit2Mel, tensors: Mapping[str, Any]) -> None:
    """Fill the model with a whole checkpoint or with its `model` entry.

    The schedule's buffers are taken as they are stored, but not from half precision, which is too coarse for them.
    Any floating point type and keys with `module.` before them will do; otherwise keys and shapes must be exactly
    those of the model. Raises WeightsError, and changes nothing, when they are not, saying which setting does not fit.
    """
    if identify(dict(tensors)) is not FileKind.DIFFUSION:
        raise wrong_kind(Checkpoint(dict(tensors), ()), FileKind.DIFFUSION)
    given, wanted = network_state(dict(tensors)), model.state_dict()
    _check_sizes(_sizes_of(given), _sizes_of(wanted))
    for key in sorted(given.keys() ^ wanted.keys()):
        state = "lack" if key in wanted else "have an unknown"
        raise WeightsError(f"the diffusion weights {state} {key!r}; they are damaged or another network's, {_OWN_FILE}")
    for key, value in wanted.items():
        if given[key].shape != value.shape:
            raise WeightsError(
                f"the diffusion weights {key!r} have the shape {tuple(given[key].shape)} instead of "
                f"{tuple(value.shape)}; they are damaged or another network's, {_OWN_FILE}"
            )
    exact = {key: value for key, value in model.named_buffers() if given[key].dtype in _COARSE_TYPES}
    model.load_state_dict({**given, **exact})


def count_mel_bands(tensors: Mapping[str, Any]) -> int:
    """Return how many mel bands the weights make; raises WeightsError where they do not show it."""
    n_mels = _sizes_of(network_state(dict(tensors)))["mel bands"]
    if n_mels is None:
        raise WeightsError(f"the diffusion weights are damaged or another network's; {_OWN_FILE}")
    return n_mels


def state_for_file(model: Unit2Mel) -> dict[str, Tensor]:
    """Return weights and buffers on the CPU by the names of checkpoints, in their order."""
    return {key: value.detach().cpu() for key, value in model.state_dict().items()}


def _check_sizes(found: Mapping[str, int | None], wanted: Mapping[str, int | None]) -> None:
    """Raise WeightsError at the first size that is another."""
    for name, size in wanted.items():
        if found[name] not in (size, None):
            what, advice = ("vocoder", _OWN_VOCODER) if name == "mel bands" else ("yaml", _OWN_YAML)
            raise WeightsError(f"the diffusion weights have {name} {found[name]} but the {what} says {size}; {advice}")


def _sizes_of(tensors: Mapping[str, Tensor]) -> dict[str, int | None]:
    """Return the settings that the weights show, None for those whose weights are missing or damaged."""

    def size(key: str, axis: int = 0) -> int | None:
        return tensors[key].shape[axis] if key in tensors and tensors[key].ndim > axis else None

    layers = {key.split(".")[3] for key in tensors if key.startswith("decoder.denoise_fn.residual_layers.")}
    return {
        "data.encoder_out_channels": size("unit_embed.weight", 1),
        "model.n_hidden": size("unit_embed.weight"),
        "model.n_chans": size("decoder.denoise_fn.input_projection.weight"),
        "model.n_layers": len(layers),
        "model.timesteps": size("decoder.betas"),
        "model.n_spk": size("spk_embed.weight") if "spk_embed.weight" in tensors else 1,
        "model.use_pitch_aug": "aug_shift_embed.weight" in tensors,
        "mel bands": size("decoder.denoise_fn.input_projection.weight", 1),
    }
