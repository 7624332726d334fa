"""The recordings that benchmarks work on: the first of them, and copies to prepare."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from recipes.base.manifest import Row
from recipes.base.recordings import data_folder
from timbre.files.writing import new_folder


def add_data(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark take the folder of recordings."""
    usual = str(data_folder())  # text, so that it is checked like what is given
    parser.add_argument("--data", type=_checked, default=usual, help="folder with manifest.csv; else $TIMBRE_DATA")


def _checked(text: str) -> Path:
    if not (Path(text) / "manifest.csv").is_file():
        raise argparse.ArgumentTypeError(
            f"the folder {text} holds no manifest.csv; give the recordings (recipes/base/README.md) by --data or in "
            "$TIMBRE_DATA"
        )
    return Path(text)


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
