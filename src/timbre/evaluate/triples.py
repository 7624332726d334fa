"""Finds the recordings that belong together in a folder of conversions."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timbre.errors import SettingsError

CSV_NAME = "triples.csv"
_REQUIRED_COLUMNS = ("source", "converted", "like")
_OPTIONAL_COLUMNS = ("name", "group", "language", "transcript", "shift")
_LIKE_SEPARATOR = ";"
DEFAULT_GROUP = "all"


@dataclass(frozen=True)
class Triple:
    """One conversion on disk."""

    name: str
    group: str
    source: Path
    converted: Path
    like: tuple[Path, ...]
    language: str | None = None  # None leaves the choice to the caller
    transcript: str | None = None
    asked_shift_semitones: float | None = None


def find_triples(folder: Path) -> list[Triple]:
    """List the conversions in `folder`, sorted by name.

    Either `triples.csv` lists them: columns source, converted, like (several references separated by `;`), and if
    wished name, group, language, transcript, shift (semitones asked for); paths are relative to the folder and may not
    leave it. Or each sub-folder, at any depth, that holds `source.*`, `converted.*` and one or more `like*.*` is one
    conversion (with `transcript.txt` if wished); its group is the folder above it.

    Raises SettingsError when the folder holds no conversion or an incomplete one.
    """
    if not folder.is_dir():
        raise SettingsError(
            f"{folder} is not a folder; give a folder with {CSV_NAME} or with sub-folders of recordings"
        )
    table = folder / CSV_NAME
    triples = _from_csv(table) if table.is_file() else _from_folders(folder)
    if not triples:
        raise SettingsError(
            f"{folder} holds no conversion; it needs {CSV_NAME} or sub-folders with source.*, converted.* and like*.*"
        )
    return sorted(triples, key=lambda triple: (triple.group, triple.name))


@contextmanager
def utf8(path: Path) -> Iterator[None]:
    """Tell of a text file that is not UTF-8."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text; save it as UTF-8") from error


def _from_folders(root: Path) -> list[Triple]:
    found = {path.parent for pattern in ("source.*", "converted.*") for path in root.rglob(pattern) if path.is_file()}
    return [_from_folder(folder, root) for folder in found]


def _from_folder(folder: Path, root: Path) -> Triple:
    """Build one conversion from the files of its folder."""
    label = folder.relative_to(root).as_posix()
    transcript = folder / "transcript.txt"
    with utf8(transcript):
        words = transcript.read_text(encoding="utf-8").strip() if transcript.is_file() else None
    like = tuple(sorted(path for path in folder.glob("like*.*") if path.is_file()))
    if not like:
        raise SettingsError(f"the conversion {label!r} has no like*.* file; add a recording of the wanted voice")
    group = folder.parent.relative_to(root).as_posix() if folder != root else "."
    return Triple(
        name=label,
        group=DEFAULT_GROUP if group == "." else group,
        source=_only_file(folder, "source", label),
        converted=_only_file(folder, "converted", label),
        like=like,
        transcript=words,
    )


def _only_file(folder: Path, stem: str, label: str) -> Path:
    paths = [path for path in folder.glob(f"{stem}.*") if path.is_file()]
    if len(paths) != 1:
        raise SettingsError(f"the conversion {label!r} has {len(paths)} files {stem}.*; it needs exactly one")
    return paths[0]


def _from_csv(table: Path) -> list[Triple]:
    with utf8(table), table.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = reader.fieldnames or []
        missing = [name for name in _REQUIRED_COLUMNS if name not in columns]
        unknown = [name for name in columns if name not in _REQUIRED_COLUMNS + _OPTIONAL_COLUMNS]
        if missing or unknown:
            raise SettingsError(
                f"{table.name} has the columns {', '.join(columns) or 'none'}; it needs {', '.join(_REQUIRED_COLUMNS)} "
                f"and may have {', '.join(_OPTIONAL_COLUMNS)}"
            )
        return [_from_row(row, number, table) for number, row in enumerate(reader, start=1)]


def _from_row(row: Mapping[str, str | None], number: int, table: Path) -> Triple:
    """Build one conversion from a line of the table; `number` counts from 1 below the heading."""
    where = f"{table.name} row {number}"
    source, converted, like = ((row.get(name) or "").strip() for name in _REQUIRED_COLUMNS)
    references = [part.strip() for part in like.split(_LIKE_SEPARATOR) if part.strip()]
    if not source or not converted or not references:
        raise SettingsError(f"{where} leaves source, converted or like empty; fill in all three")
    shift = (row.get("shift") or "").strip()
    try:
        asked_shift = float(shift) if shift else None
        if asked_shift is not None and not math.isfinite(asked_shift):
            raise ValueError(shift)
    except ValueError as error:
        raise SettingsError(f"{where} has the shift {shift!r}; it must be a number of semitones") from error
    return Triple(
        name=row.get("name") or f"{number:04d} {converted}",
        group=row.get("group") or DEFAULT_GROUP,
        source=_inside(table.parent, source, where),
        converted=_inside(table.parent, converted, where),
        like=tuple(_inside(table.parent, reference, where) for reference in references),
        language=row.get("language") or None,
        transcript=row.get("transcript") or None,
        asked_shift_semitones=asked_shift,
    )


def _inside(folder: Path, relative: str, where: str) -> Path:
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise SettingsError(f"{where} names {relative!r}, which leaves the folder; keep all recordings inside it")
    return path
