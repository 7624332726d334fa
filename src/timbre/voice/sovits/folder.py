"""A so-vits-svc voice as a folder of its own: safetensors and JSON, nothing that could run.

voice.json               the card
sovits.json              what is here: networks, hashes, release, origins
model.safetensors/.json  main model and its config; likewise diffusion and vocoder
retrieval.safetensors    cluster centres and feature indexes
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
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
from timbre.voice.sovits.parts import Network, Origin, SovitsParts
from timbre.weights.digest import sha256_of

MANIFEST_FILE = "sovits.json"
RETRIEVAL = "retrieval"
_CENTRES, _INDEX = "centres.", "index."  # beginnings of names in retrieval.safetensors


def save_sovits_voice(card: VoiceCard, parts: SovitsParts, folder: Path, *, force: bool = False) -> VoiceCard:
    """Write a voice folder, all or nothing; errors as in `timbre.voice.saving.new_voice`."""
    with new_voice(folder, force=force) as temporary:
        card.save(temporary)
        hashes = {}
        for role, network in parts.networks().items():
            hashes[role] = _save_tensors(network.tensors, temporary / f"{role}.safetensors")
            _write_json(temporary / f"{role}.json", network.config)
        retrieval = _retrieval_tensors(parts)
        if retrieval:
            hashes[RETRIEVAL] = _save_tensors(retrieval, temporary / f"{RETRIEVAL}.safetensors")
        origins = {role: asdict(origin) for role, origin in parts.origins.items()}
        _write_json(temporary / MANIFEST_FILE, {"release": parts.release, "sha256": hashes, "origins": origins})
    return replace(card, path=str(folder))


def read_parts(folder: Path) -> SovitsParts:
    """Read the parts of a voice folder; raises VoiceError where it is damaged or incomplete."""
    try:
        manifest = _read_json(folder / MANIFEST_FILE)
        networks = {role: _read_network(folder, role) for role in manifest["sha256"] if role != RETRIEVAL}
        retrieval = load_file(folder / f"{RETRIEVAL}.safetensors") if RETRIEVAL in manifest["sha256"] else {}
        if manifest["release"] not in RELEASES:
            raise ValueError(f"its release is {manifest['release']!r}")
        return SovitsParts(
            networks.pop("model", None),
            networks.pop("diffusion", None),
            networks.pop("vocoder", None),
            manifest["release"],
            centres=_named(retrieval, _CENTRES),
            indexes={int(name): bytes(value.numpy()) for name, value in _named(retrieval, _INDEX).items()},
            origins={role: Origin(**origin) for role, origin in manifest["origins"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise VoiceError(f"the voice in {folder} is damaged ({error}); import it again") from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what sovits.json says about a voice: release, sha256 of each part, origins."""
    try:
        return _read_json(folder / MANIFEST_FILE)
    except (OSError, ValueError) as error:
        raise VoiceError(f"the voice in {folder} is damaged ({error}); import it again") from error


def find_damage(folder: Path) -> list[str]:
    """Return the parts of a voice folder whose content is not what was written."""
    recorded: Mapping[str, str] = read_manifest(folder)["sha256"]
    return [role for role, expected in recorded.items() if sha256_of(folder / f"{role}.safetensors") != expected]


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


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Write tensors, each with storage of its own, and return the SHA-256 of the file."""
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)
    return sha256_of(path)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return value
