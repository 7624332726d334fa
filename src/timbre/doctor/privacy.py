"""Keeps the name of the user out of a report."""

from __future__ import annotations

from pathlib import Path


def shorten_home(text: str, home: str | None = None) -> str:
    """Replace the user's home folder by ~, so that the text names nobody."""
    folder = home if home is not None else str(Path.home())
    return text.replace(folder, "~") if len(folder) > 1 else text
