"""What the manifest says of the recordings."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

Row = Mapping[str, str]
"""One row of manifest.csv."""


def read_rows(data: Path) -> list[Row]:
    """Read the manifest of the recordings in the folder `data`."""
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
