"""Writing voices and their files, whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from timbre.config.places import made_folder
from timbre.errors import OutputError
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


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which takes the place of `folder` when the block succeeds.

    When it fails, all is as it was before. Raises OutputError where something cannot be written.
    """
    place = folder.resolve()  # a link goes on pointing there
    with made_folder(place.parent), explained_writing(folder):
        temporary = _beside(place)
        temporary.mkdir()
        try:
            yield temporary
            _put(temporary, place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary file name, which takes the place of `path` when the block succeeds and vanishes when it fails.

    Raises OutputError where it cannot be written.
    """
    temporary = _beside(path)
    with made_folder(path.parent), explained_writing(path):
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def explained_writing(target: Path) -> Iterator[None]:
    """Turn what the system or a library says about a failed writing of `target` into an OutputError."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # the last is how torch tells of a full disk
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "the disk may be full"
        raise OutputError(f"{target} cannot be written ({reason}); check the space on the disk") from error


def _beside(path: Path) -> Path:
    return path.with_name(f".{uuid.uuid4().hex}.part")


def _put(new: Path, place: Path) -> None:
    """Rename `new` to `place`; what lay there is deleted only when that has worked."""
    old = _beside(place)
    try:
        if place.exists():
            os.replace(place, old)
        os.replace(new, place)
    except BaseException:
        if old.exists() and not place.exists():
            os.replace(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)
