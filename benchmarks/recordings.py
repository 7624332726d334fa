"""The recordings that benchmarks work on: the first of them, and copies to prepare."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from recipes.base.manifest import Row
from timbre.files.writing import new_folder


def first_rows(rows: Sequence[Row], seconds: float) -> list[Row]:
    """Return the first recordings, until they have so many seconds in all."""
    taken: list[Row] = []
    while len(taken) < len(rows) and sum(float(row["seconds"]) for row in taken) < seconds:
        taken.append(rows[len(taken)])
    return taken


def copy_once(paths: Sequence[Path], folder: Path) -> Path:
    """Copy recordings to a folder, unless that was done before, and return it."""
    if not folder.exists():
        with new_folder(folder) as temporary:
            for path in paths:
                shutil.copy(path, temporary)
    return folder
