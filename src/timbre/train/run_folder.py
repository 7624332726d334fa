"""The manifest of a run: what it was begun with, and whether a resume would go on with the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from timbre import __version__
from timbre.config.train import TrainSettings
from timbre.dataset.folder import Dataset
from timbre.dataset.places import MANIFEST_FILE, write_text
from timbre.errors import OutputError
from timbre.files.locking import is_held_elsewhere
from timbre.files.writing import check_place, remove_leftovers
from timbre.weights.digest import sha256_of

RUN_FILE, SCORES_FILE, CURVE_FILE, LOCK_FILE = "run.json", "scores.json", "scores.png", ".lock"
CHECKPOINTS_FOLDER, EVENTS_FOLDER, VOICE_FOLDER = "checkpoints", "events", "voice"
FORMAT = 1


def check(folder: Path, settings: TrainSettings) -> None:
    """Raise OutputError where no run can be in `folder`, or one with other settings is: before all that takes long."""
    check_place(folder)
    _is_begun(folder, {"settings": settings.lasting, "versions": _versions()})


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let no other training go on in the run `folder` while the block runs; raises OutputError where one does.

    What killed ones had not finished writing is removed.
    """
    with (folder / LOCK_FILE).open("ab") as file:
        if is_held_elsewhere(file):
            raise OutputError(f"another training goes on in {folder}; wait until it has ended or choose another folder")
        remove_leftovers(folder)
        yield


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
    `origins`, versions or that computed otherwise: going on would not give what an undisturbed run gives. `origins`
    are digests of what it starts from and listens to, `computing` names device and number type.
    """
    facts = {
        "settings": settings.lasting,
        "versions": _versions(),
        "origins": {"dataset": sha256_of(dataset.folder / MANIFEST_FILE), **origins},
        "computing": computing,
        "processes": n_processes,
    }
    if not _is_begun(folder, facts):
        record = {"format": FORMAT, **facts}
        write_text(folder / RUN_FILE, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _is_begun(folder: Path, facts: Mapping[str, Any]) -> bool:
    """Say whether there is a run with these facts; raises OutputError for one with others, and for other files."""
    file = folder / RUN_FILE
    if not file.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(f"{folder} holds other files and no {RUN_FILE}; choose another folder")
        return False
    difference = _difference(_read(file), facts)
    if difference is not None:
        raise OutputError(
            f"the run in {folder} was begun with {difference}, so that it cannot go on as it was; "
            "give the same again or choose another folder"
        )
    return True


def _read(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{file} cannot be read; choose another folder") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or not _is_whole(record):
        raise OutputError(f"{file} is not of format {FORMAT}; choose another folder")
    return record


def _is_whole(record: Mapping[str, Any]) -> bool:
    return all(isinstance(record.get(key), dict) for key in ("settings", "origins", "versions"))


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Say in words what was another thing before; None where all is the same."""
    for name, value in now["settings"].items():
        if name not in before["settings"] or before["settings"][name] != value:
            return f"{name} {before['settings'].get(name)!r} and not {value!r}"
    for name, version in now["versions"].items():
        if before["versions"].get(name) != version:
            return f"{name} {before['versions'].get(name)} and not {version}"
    for name, digest in now.get("origins", {}).items():
        if before["origins"].get(name) != digest:
            return f"another {name}"
    for name, unit in (("computing", ""), ("processes", " processes")):
        if name in now and before.get(name) != now[name]:
            return f"{before.get(name)}{unit} and not {now[name]}"
    return None


def _versions() -> dict[str, str]:
    return {"timbre": __version__, **{name: metadata.version(name) for name in ("torch", "accelerate", "numpy")}}
