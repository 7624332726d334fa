"""Reads label files: named stretches of one recording, as tables, Audacity label tracks or Praat TextGrids."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbre.audio.textgrid import is_textgrid, read_textgrid
from timbre.errors import DatasetError

MAX_BYTES = 64 << 20
ROUNDING_S = 0.001  # label files are often rounded to milliseconds: so far a label may pass the recording's end

_COLUMNS = {
    "start": ("start", "start_s", "begin", "from"),
    "end": ("end", "end_s", "stop", "to"),
    "name": ("name", "label", "text", "title"),
    "speaker": ("speaker", "singer", "voice"),
}
_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:[.,]\d*)?)")


@dataclass(frozen=True)
class Label:
    """A named stretch of a recording; an empty name has become its number, from 001."""

    start_s: float
    end_s: float
    name: str
    speaker: str | None
    line: int  # of the label file, from 1


def read_labels(path: Path, tier: str | None = None) -> list[Label]:
    """Read the labels of one recording in the file's order.

    The text is UTF-8, or UTF-16 with its mark, and one of: a Praat TextGrid in its long or short form (the interval
    tier named `tier`, else the first that holds text; intervals without text are no labels); a table of start, end,
    name and speaker split by tabs, semicolons or commas, in another order where a header says so; an Audacity label
    track. Times are seconds, mm:ss or hh:mm:ss with decimals. Raises DatasetError, with the line, for what is none of
    these, a time that is no number, a label that ends before it starts, an unknown `tier`, and a file without labels.
    """
    text = _text_of(path)
    if is_textgrid(text):
        found = [Label(at.start_s, at.end_s, at.text, None, at.line) for at in read_textgrid(text, path.name, tier)]
    elif tier is not None:
        raise DatasetError(f"{path.name} is no TextGrid, so it has no tier {tier!r}; leave the tier out")
    else:
        found = list(_table_labels(text, path.name))
    if not found:
        raise DatasetError(f"{path.name} holds no labels; each needs a start, an end and a name")
    for label in found:
        if not 0 <= label.start_s < label.end_s:
            raise DatasetError(
                f"{path.name} line {label.line}: the label {label.name!r} starts at {label.start_s:g} s and ends at "
                f"{label.end_s:g} s; it must start at 0 s or later and end after that"
            )
    return [
        label if label.name else Label(label.start_s, label.end_s, f"{number:03d}", label.speaker, label.line)
        for number, label in enumerate(found, start=1)
    ]


def check_labels(labels: Sequence[Label], path: Path, recording: str, seconds: float) -> None:
    """Raise DatasetError where a label of the file `path` ends a millisecond or more after its recording."""
    for label in labels:
        if label.end_s > seconds + ROUNDING_S:
            raise DatasetError(
                f"{path.name} line {label.line}: the label {label.name!r} ends at {label.end_s:g} s, but {recording} "
                f"is {seconds:.3f} s long; give the labels of this recording"
            )


def overlapping(labels: Sequence[Label]) -> list[tuple[Label, Label]]:
    """Return each label that starts before an earlier one has ended, after the one among those that ends last."""
    pairs = []
    last: Label | None = None
    for label in sorted(labels, key=lambda each: (each.start_s, each.end_s)):
        if last is not None and label.start_s < last.end_s:
            pairs.append((last, label))
        if last is None or label.end_s > last.end_s:
            last = label
    return pairs


def _text_of(path: Path) -> str:
    """Return the text of a label file, without its byte order mark."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DatasetError(f"{path.name} has more than {MAX_BYTES >> 20} MiB; give a label file")
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); give a label file") from error
    coding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(coding)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path.name} is no text in UTF-8 or UTF-16; save it as UTF-8") from error
    if "\0" in text:
        raise DatasetError(f"{path.name} is no text; give a label file")
    return text


def _table_labels(text: str, name: str) -> Iterator[Label]:
    """Yield the labels of a table; a first row that names a start column is its header."""
    order = {column: index for index, column in enumerate(_COLUMNS)}
    for number, (line, cells) in enumerate(_rows(text, name)):
        header = _header(cells) if number == 0 else {}
        if "start" in header:
            if "end" not in header:
                raise DatasetError(f"{name} line {line} names a column for the start but none for the end; add one")
            order = header
            continue
        start_s, end_s = (_seconds(_cell(cells, order, column), name, line, column) for column in ("start", "end"))
        yield Label(start_s, end_s, _cell(cells, order, "name"), _cell(cells, order, "speaker") or None, line)


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that hold something, each with the number of its last line."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if "\t" in first:  # Audacity quotes nothing, and continues a label of a frequency range in a line with a backslash
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith("\\"):
                yield number, [_unquoted(cell.strip()) for cell in line.split("\t")]
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",", strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DatasetError(f"{name} line {reader.line_num} is no row of a table ({error}); put it right") from error


def _unquoted(cell: str) -> str:
    """Remove the quotes that a spreadsheet puts around a cell."""
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if is_quoted else cell


def _header(cells: Sequence[str]) -> dict[str, int]:
    """Return the index of each column that a header names; the first of several that mean the same."""
    words = [cell.lower() for cell in cells]
    known = {column: [words.index(word) for word in names if word in words] for column, names in _COLUMNS.items()}
    return {column: min(found) for column, found in known.items() if found}


def _cell(cells: Sequence[str], order: dict[str, int], column: str) -> str:
    """Return the cell of a column, empty where the row or the table has none."""
    index = order.get(column, len(cells))
    return cells[index] if index < len(cells) else ""


def _seconds(cell: str, name: str, line: int, column: str) -> float:
    """Return the time of a cell such as 12.5, 1:02.5 or 1:02:03,5 in seconds."""
    match = _TIME.fullmatch(cell)
    if match is None:
        raise DatasetError(
            f"{name} line {line}: the {column} is {cell!r}; it must be a time in seconds, mm:ss or hh:mm:ss"
        )
    hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in match.groups())
    if (match[2] and seconds >= 60) or (match[1] and minutes >= 60):
        raise DatasetError(f"{name} line {line}: the {column} is {cell!r}; its minutes and seconds must be below 60")
    return 3600 * hours + 60 * minutes + seconds
