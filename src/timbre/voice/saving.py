"""Writing voices, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timbre.errors import OutputError
from timbre.files.writing import new_folder
from timbre.voice.card import CARD_FILE


@contextmanager
def new_voice(folder: Path, *, force: bool) -> Iterator[Path]:
    """Give a temporary folder to fill, which becomes `folder` when the block succeeds and vanishes when it fails.

    Raises OutputError where `folder` exists without `force`, or is anything but a voice: only a voice is replaced; and
    where it cannot be written.
    """
    check_replaceable(folder, force=force)
    with new_folder(folder) as temporary:
        yield temporary


def check_replaceable(folder: Path, *, force: bool) -> None:
    """Raise OutputError where a voice may not be written to `folder`; see `new_voice`."""
    if folder.exists() and not force:
        raise OutputError(f"{folder} exists; choose another folder or use --force")
    if folder.exists() and not (folder / CARD_FILE).is_file():
        raise OutputError(f"{folder} is no voice and is not replaced by one; choose another folder")
