"""Writing files and folders whole or not at all, and making room for them."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from timbre.errors import OutputError

MAX_FILE_NAME_BYTES = 255  # on all usual file systems
PART_SUFFIX = ".part"


def part_name(path: Path) -> Path:
    """Return a new name beside `path` for what becomes it when it is whole: hidden, and ending in `PART_SUFFIX`."""
    return path.with_name(f".{uuid.uuid4().hex}{PART_SUFFIX}")


@contextmanager
def new_file(path: Path, *, flushed: bool = False) -> Iterator[Path]:
    """Give a temporary file name, which takes the place of `path` when the block succeeds and vanishes when it fails.

    What is `flushed` is whole even when the power fails. The folder is made where it is missing. Raises OutputError
    where something cannot be written.
    """
    temporary = part_name(path)
    with made_folder(path.parent), explained_writing(path):
        try:
            yield temporary
            _share_as_usual(temporary)
            if flushed:
                flush(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which takes the place of `folder` when the block succeeds.

    When it fails, all is as it was before. Raises OutputError where something cannot be written.
    """
    place = folder.resolve()  # a link goes on pointing there
    with made_folder(place.parent), explained_writing(folder), temporary_folder(place.parent) as temporary:
        yield temporary
        for file in temporary.rglob("*"):
            _share_as_usual(file)
        put_in_place(temporary, place)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed programs had not finished writing, in `folder` and below; nobody may be writing there."""
    for path in sorted(folder.rglob(f".*{PART_SUFFIX}")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _share_as_usual(path: Path) -> None:
    """Let those read a new file who may read the folder: some libraries keep what they write to its owner."""
    if path.is_file() and os.name == "posix":
        readable_by = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
        path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IMODE(path.parent.stat().st_mode) & readable_by)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Give a new folder in `parent` that vanishes after the block."""
    folder = part_name(parent / "any")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(new: Path, target: Path) -> None:
    """Rename the finished file or folder `new` to `target` on the same disk; a folder there is deleted afterwards."""
    if not target.is_dir():
        os.replace(new, target)
        return
    old = part_name(target)
    os.replace(target, old)
    try:
        os.replace(new, target)
    except BaseException:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def flush(path: Path) -> None:
    """Wait until a file has reached the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def explained_writing(target: Path) -> Iterator[None]:
    """Turn what the system or a library says about a failed writing of `target` into an OutputError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # the last is how torch tells of a full disk
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "the disk may be full"
        raise OutputError(f"{target} cannot be written ({reason}); check the space on the disk") from error


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make `folder` where it is missing; when the block fails, remove again what was made and is empty.

    Raises OutputError where it cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    succeeded = False
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the folder {folder} cannot be made ({error.strerror}); choose another output"
            ) from error
        yield
        succeeded = True
    finally:
        for each in missing if not succeeded else []:
            with suppress(OSError):  # not made, or another program has put something there
                each.rmdir()


def check_place(folder: Path) -> None:
    """Raise OutputError where `folder` is not there and cannot be made, or may not be written to."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file; the results need a folder there: choose another output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} may not be written to by this user; choose another output")
