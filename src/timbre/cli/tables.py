"""Results on stdout: aligned columns for people, one JSON object per line for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def format_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as left-aligned columns under their headings, without trailing spaces."""
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def json_line(record: Any) -> str:
    """Return a dataclass or mapping as JSON on one line of plain ASCII; paths become text."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        record = dataclasses.asdict(record)
    return json.dumps(record, default=_plain)


def _plain(value: object) -> Any:
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
