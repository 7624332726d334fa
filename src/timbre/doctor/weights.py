"""Which pretrained weights are on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timbre.weights.catalogue import CATALOGUE, WeightsEntry
from timbre.weights.state import state_of


@dataclass(frozen=True)
class WeightsState:
    """One weights file: what it is for, where it comes from, its size in bytes or None where it is absent."""

    purpose: str
    origin: str
    size_bytes: int | None


def find_weights() -> tuple[WeightsState, ...]:
    """Look for the base model, the voices, the weights of other packages, and what else of the catalogue is here."""
    foreign = (_foreign(entry) for entry in CATALOGUE.values() if entry.name != "base")
    return (_base_model(), *_voices(), *(state for state in foreign if state is not None))


def _foreign(entry: WeightsEntry) -> WeightsState | None:
    """Return the state of an entry; None for one that is neither here nor part of a package that is used."""
    found = state_of(entry)
    size_bytes = None if found.path is None else found.size_bytes
    if entry.packaged is not None and (found.packaged or found.path is None):
        return WeightsState(entry.purpose, f"{entry.packaged.package}/{entry.packaged.path}", size_bytes)
    return None if found.path is None else WeightsState(entry.purpose, found.path.name, size_bytes)


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
