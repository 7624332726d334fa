"""Weight norm under the names that checkpoints have, and its removal (models spec 2.1)."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize

_GAIN, _DIRECTION = ".parametrizations.weight.original0", ".parametrizations.weight.original1"
_LEGACY_GAIN, _LEGACY_DIRECTION = ".weight_g", ".weight_v"


def legacy_name(name: str) -> str:
    """Return the name that checkpoints have for a state-dict key of a network built here; others stay as they are."""
    return _replaced_end(name, {_GAIN: _LEGACY_GAIN, _DIRECTION: _LEGACY_DIRECTION})


def current_name(name: str) -> str:
    """Return the state-dict key of a network built here for the key of a checkpoint; others stay as they are."""
    return _replaced_end(name, {_LEGACY_GAIN: _GAIN, _LEGACY_DIRECTION: _DIRECTION})


def fold_weight_norm(module: nn.Module) -> None:
    """Replace each normed weight inside `module` by its plain value, for use without training.

    The output stays bit-equal on the CPU; keys of the state dict change to the plain `weight`.
    """
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)


def _replaced_end(name: str, replacements: dict[str, str]) -> str:
    for end, replacement in replacements.items():
        if name.endswith(end):
            return name.removesuffix(end) + replacement
    return name
