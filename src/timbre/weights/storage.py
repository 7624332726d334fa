"""Writing into the user's weights folder: room on the disk, and nothing in place that is not whole."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timbre.errors import OutputError

_SPARE_BYTES = 1 << 24  # left free for others


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise OutputError where the disk of `folder`, which exists, cannot take that much more."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + _SPARE_BYTES:
        raise OutputError(
            f"{needed_bytes / 1e6:.0f} MB are needed in {folder}, but its disk has {free / 1e6:.0f} MB left; make "
            "room, or name another cache folder by $XDG_CACHE_HOME"
        )


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Give a new folder in `parent` that vanishes after the block."""
    folder = parent / f".{uuid.uuid4().hex}.part"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(new: Path, target: Path) -> None:
    """Rename the finished file or folder `new` to `target` on the same disk, over what is there."""
    if not target.is_dir():
        os.replace(new, target)
        return
    with temporary_folder(target.parent) as aside:
        os.replace(target, aside / target.name)
        try:
            os.replace(new, target)
        except OSError:
            os.replace(aside / target.name, target)
            raise
