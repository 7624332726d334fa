"""Cluster centres and content of speakers in a file of our own: safetensors, with a word on what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from timbre.config.indexing import KINDS
from timbre.errors import MissingWeightsError, WeightsError

FORMAT_NUMBER = 1
_HEADER = "timbre_index"
_KIND_NAMES = {"kmeans": "a file of cluster centres", "retrieval": "a feature index"}


@dataclass(frozen=True, eq=False)
class SpeakerRows:
    """What was gathered of the content of speakers: centres ("kmeans") or frames ("retrieval")."""

    kind: str
    encoder: str  # the content encoder
    rows: Mapping[str, Tensor]  # [N, D], float32, by speaker name


def save_speaker_rows(found: SpeakerRows, path: Path) -> None:
    """Write the file; equal content gives equal bytes. Raises OSError or SafetensorError where it cannot be written."""
    facts = {"format": FORMAT_NUMBER, "kind": found.kind, "encoder": found.encoder}
    tensors = {name: rows.float().contiguous().cpu() for name, rows in found.rows.items()}
    save_file(tensors, path, {_HEADER: json.dumps(facts, sort_keys=True)})


def is_speaker_rows(path: Path) -> bool:
    """Say whether `path` is such a file, whatever it is called."""
    try:
        return _HEADER in _header(path)
    except (OSError, SafetensorError):
        return False


def read_speaker_rows(path: Path, kind: str) -> SpeakerRows:
    """Read a file that `save_speaker_rows` wrote.

    Raises MissingWeightsError when there is none, WeightsError for one of another kind or format, or a damaged one.
    """
    if not path.exists():
        raise MissingWeightsError(f"there is no file {str(path)!r}; make it with: timbre index DATASET --kind {kind}")
    try:
        facts = json.loads(_header(path)[_HEADER])
        with safe_open(path, framework="pt") as file:
            rows = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise _damaged(path) from error
    found = _checked_facts(path, facts)
    if found["kind"] != kind:
        raise WeightsError(
            f"{path.name!r} is {_KIND_NAMES[found['kind']]}; give {_KIND_NAMES[kind]} "
            f"(see: timbre index DATASET --kind {kind})"
        )
    if not rows or any(not _are_rows(each) for each in rows.values()):
        raise _damaged(path)
    return SpeakerRows(kind, found["encoder"], rows)


def _header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def _checked_facts(path: Path, facts: Any) -> dict[str, Any]:
    if not isinstance(facts, dict):
        raise _damaged(path)
    if facts.get("format") != FORMAT_NUMBER:
        raise WeightsError(
            f"{path.name!r} is of format {facts.get('format')!r}, and this version reads format {FORMAT_NUMBER}; "
            "update timbre or make it again with timbre index"
        )
    if facts.get("kind") not in KINDS or not isinstance(facts.get("encoder"), str):
        raise _damaged(path)
    return facts


def _are_rows(rows: Tensor) -> bool:
    return rows.ndim == 2 and rows.numel() > 0 and rows.dtype == torch.float32 and bool(rows.isfinite().all())


def _damaged(path: Path) -> WeightsError:
    return WeightsError(f"{path.name!r} is damaged; copy it again or make it again with timbre index")
