"""The manifest of a run: what it was begun with, and whether a resume would go on with the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from timbre import __version__
from timbre.config.train import TrainSettings
from timbre.dataset.folder import Dataset
from timbre.dataset.places import MANIFEST_FILE, write_text
from timbre.errors import OutputError
from timbre.weights.digest import sha256_of

RUN_FILE, SCORES_FILE, CURVE_FILE = "run.json", "scores.json", "scores.png"
CHECKPOINTS_FOLDER, EVENTS_FOLDER, VOICE_FOLDER = "checkpoints", "events", "voice"
FORMAT = 1


def begin(
    folder: Path,
    settings: TrainSettings,
    dataset: Dataset,
    origins: Mapping[str, str],
    computing: str,
    n_processes: int,
) -> None:
    """Write run.json, or check that the run in `folder` was begun with the same.

    Raises OutputError where `folder` holds something else, or a run with other settings, another dataset, other
    `origins` or that computed otherwise: going on would not give what an undisturbed run gives. `origins` are digests
    of what it starts from, `computing` names device and number type.
    """
    facts = {
        "settings": settings.lasting,
        "origins": {"dataset": sha256_of(dataset.folder / MANIFEST_FILE), **origins},
        "computing": computing,
        "processes": n_processes,
    }
    file = folder / RUN_FILE
    if file.is_file():
        difference = _difference(_read(file), facts)
        if difference is not None:
            raise OutputError(
                f"the run in {folder} was begun with {difference}, so that it cannot go on as it was; "
                "give the same again or choose another folder"
            )
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} holds other files and no {RUN_FILE}; choose another folder")
    record = {"format": FORMAT, **facts, "versions": _versions()}
    write_text(file, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _read(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{file} cannot be read; choose another folder") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or not _is_whole(record):
        raise OutputError(f"{file} is not of format {FORMAT}; choose another folder")
    return record


def _is_whole(record: Mapping[str, Any]) -> bool:
    return all(isinstance(record.get(key), dict) for key in ("settings", "origins"))


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Say in words what was another thing before; None where all is the same."""
    for name, value in now["settings"].items():
        if name not in before["settings"] or before["settings"][name] != value:
            return f"{name} {before['settings'].get(name)!r} and not {value!r}"
    for name, digest in now["origins"].items():
        if before["origins"].get(name) != digest:
            return f"another {name}"
    if before.get("computing") != now["computing"]:
        return f"{before.get('computing')} and not {now['computing']}"
    if before.get("processes") != now["processes"]:
        return f"{before.get('processes')} processes and not {now['processes']}"
    return None


def _versions() -> dict[str, str]:
    return {"timbre": __version__, **{name: metadata.version(name) for name in ("torch", "accelerate", "numpy")}}
