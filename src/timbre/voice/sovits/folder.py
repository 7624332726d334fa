"""A so-vits-svc voice as a folder of its own: safetensors and JSON, nothing that could run.

voice.json               the card
sovits.json              what is here: networks, hashes, release, origins
model.safetensors/.json  main model and its config; likewise diffusion and vocoder
retrieval.safetensors    cluster centres and feature indexes
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from timbre.config.sovits import RELEASES
from timbre.errors import VoiceError
from timbre.voice.card import VoiceCard
from timbre.voice.saving import new_voice
from timbre.voice.sovits.parts import DIFFUSION, MODEL, VOCODER, Network, Origin, SovitsParts
from timbre.weights.digest import sha256_of

MANIFEST_FILE = "sovits.json"
RETRIEVAL = "retrieval"
_PARTS = (MODEL, DIFFUSION, VOCODER, RETRIEVAL)
_CENTRES, _INDEX = "centres.", "index."  # beginnings of names in retrieval.safetensors
_DAMAGES = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)


@dataclass(frozen=True)
class Manifest:
    """What sovits.json tells about a voice."""

    release: str
    sha256: Mapping[str, str]  # of each file with weights or settings
    origins: Mapping[str, Origin]  # by role

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that the voice has."""
        return tuple(part for part in _PARTS if f"{part}.safetensors" in self.sha256)


def save_sovits_voice(
    card: VoiceCard,
    parts: SovitsParts,
    folder: Path,
    *,
    force: bool = False,
    extras: Mapping[str, bytes] | None = None,
) -> VoiceCard:
    """Write a voice folder, all or nothing; `extras` are more files for its users, by name.

    Errors as in `timbre.voice.saving.new_voice`.
    """
    with new_voice(folder, force=force) as temporary:
        card.save(temporary)
        for role, network in parts.networks().items():
            _save_tensors(network.tensors, temporary / f"{role}.safetensors")
            _write_json(temporary / f"{role}.json", network.config)
        retrieval = _retrieval_tensors(parts)
        if retrieval:
            _save_tensors(retrieval, temporary / f"{RETRIEVAL}.safetensors")
        written = sorted(path for path in temporary.iterdir() if path.stem in _PARTS)
        manifest = Manifest(parts.release, {path.name: sha256_of(path) for path in written}, parts.origins)
        _write_json(temporary / MANIFEST_FILE, asdict(manifest))
        for name, content in (extras or {}).items():
            (temporary / name).write_bytes(content)
    return replace(card, path=str(folder))


def read_parts(folder: Path) -> SovitsParts:
    """Read the parts of a voice folder; raises VoiceError where it is damaged or incomplete."""
    manifest = read_manifest(folder)
    try:
        networks = {part: _read_network(folder, part) for part in manifest.parts if part != RETRIEVAL}
        retrieval = load_file(folder / f"{RETRIEVAL}.safetensors") if RETRIEVAL in manifest.parts else {}
        return SovitsParts(
            networks.get(MODEL),
            networks.get(DIFFUSION),
            networks.get(VOCODER),
            manifest.release,
            centres=_named(retrieval, _CENTRES),
            indexes={int(name): bytes(value.numpy()) for name, value in _named(retrieval, _INDEX).items()},
            origins=manifest.origins,
        )
    except _DAMAGES as error:
        raise _damaged(folder, error) from error


def read_manifest(folder: Path) -> Manifest:
    """Read sovits.json of a voice folder; raises VoiceError where it is damaged."""
    try:
        values = _read_json(folder / MANIFEST_FILE)
        origins = {role: Origin(**origin) for role, origin in values["origins"].items()}
        manifest = Manifest(values["release"], dict(values["sha256"]), origins)
        texts = [*origins, *manifest.sha256, *manifest.sha256.values()]
        texts += [text for origin in origins.values() for text in (origin.file, origin.sha256)]
        if manifest.release not in RELEASES or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{MANIFEST_FILE} holds what was never written there")
        return manifest
    except _DAMAGES as error:
        raise _damaged(folder, error) from error


def find_damage(folder: Path) -> list[str]:
    """Return the files of a voice folder that are missing or whose content is not what was written."""
    recorded = read_manifest(folder).sha256
    known = [f"{part}.{suffix}" for part in _PARTS for suffix in ("safetensors", "json")]
    return [name for name in known if name in recorded and not _is_intact(folder / name, recorded[name])]


def _is_intact(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def _damaged(folder: Path, error: Exception) -> VoiceError:
    return VoiceError(f"the voice in {folder} is damaged ({error}); import it again")


def _read_network(folder: Path, role: str) -> Network:
    return Network(load_file(folder / f"{role}.safetensors"), _read_json(folder / f"{role}.json"))


def _retrieval_tensors(parts: SovitsParts) -> dict[str, Tensor]:
    centres = {_CENTRES + name: tensor for name, tensor in parts.centres.items()}
    indexes = {
        f"{_INDEX}{speaker_id}": torch.frombuffer(bytearray(content), dtype=torch.uint8)
        for speaker_id, content in parts.indexes.items()
    }
    return centres | indexes


def _named(tensors: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors, each with storage of its own."""
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="ascii")  # names of files may be no text


def _read_json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return value
