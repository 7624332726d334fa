"""Writing a voice back as the files that so-vits-svc reads (models spec 7.3, 9.8; pipeline spec 5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from timbre.errors import OutputError
from timbre.files.writing import new_file, new_folder
from timbre.retrieval.foreign_writing import INDEX_FILE, KMEANS_FILE, pickled_indexes, write_kmeans
from timbre.voice.card import safe_name
from timbre.voice.sovits.parts import DIFFUSION, MODEL, Network, Origin, SovitsParts

_BASE_RATE = 1e-4  # what a file without training state says


def export_sovits(parts: SovitsParts, folder: Path) -> list[Path]:
    """Write G_*.pth, config.json and what else a voice has into the new folder `folder`; returns the files.

    The numbers are those that were imported, under the original names. Raises OutputError where `folder` exists or
    cannot be written.
    """
    if folder.exists():
        raise OutputError(f"{folder} exists; choose a new folder")
    with new_folder(folder) as temporary:
        _write_all(parts, temporary)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def generator_content(tensors: Mapping[str, Tensor], like: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a G_*.pth without training state holds; counters are those of `like`, the content of another one."""
    counters: dict[str, int | float] = {"iteration": 0, "learning_rate": _BASE_RATE}
    for name in counters:
        number = (like or {}).get(name)
        if isinstance(number, (int, float)):
            counters[name] = number
    return {"model": dict(tensors), "optimizer": None, **counters}


def write_generator(content: dict[str, Any], path: Path) -> None:
    """Write `generator_content` as a file; raises OutputError where it cannot be written."""
    with new_file(path) as temporary:
        torch.save(content, temporary)


def _write_all(parts: SovitsParts, folder: Path) -> None:
    origins = parts.origins
    if parts.model is not None:
        name = _file_name(origins.get(MODEL), ".pth", "G_0.pth")
        torch.save(generator_content(parts.model.tensors), folder / name)
        (folder / "config.json").write_text(json.dumps(parts.model.config, indent=2) + "\n", encoding="ascii")
    if parts.diffusion is not None:
        _write_diffusion(parts.diffusion, folder / "diffusion", origins.get(DIFFUSION))
    if parts.vocoder is not None:
        place = folder / "nsf_hifigan"
        place.mkdir()
        torch.save({"generator": dict(parts.vocoder.tensors)}, place / "model")
        (place / "config.json").write_text(json.dumps(parts.vocoder.config, indent=2) + "\n", encoding="ascii")
    if parts.centres:
        write_kmeans(parts.centres, folder / KMEANS_FILE)
    if parts.indexes:
        (folder / INDEX_FILE).write_bytes(pickled_indexes(parts.indexes))


def _write_diffusion(network: Network, place: Path, origin: Origin | None) -> None:
    place.mkdir()
    name = _file_name(origin, ".pt", "model_0.pt")
    torch.save({"global_step": 0, "model": dict(network.tensors)}, place / name)
    (place / "config.yaml").write_text(yaml.safe_dump(_plain(network.config)), encoding="ascii")


def _file_name(origin: Origin | None, suffix: str, otherwise: str) -> str:
    """Return the name the file had, where it is one that so-vits-svc would find and that leads nowhere else."""
    name = "" if origin is None else origin.file
    return name if name.endswith(suffix) and name == safe_name(name) else otherwise


def _plain(value: Any) -> Any:
    """Return nested mappings and sequences as dictionaries and lists."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
