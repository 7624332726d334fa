"""Writing into the user's weights folder: room on the disk, one process at a time."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from timbre.errors import OutputError
from timbre.files.locking import is_held_elsewhere

_SPARE_BYTES = 1 << 24  # left free for others
_RETRY_S = 0.2


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise OutputError where the disk of `folder`, which exists, cannot take that much more."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + _SPARE_BYTES:
        raise OutputError(
            f"{needed_bytes / 1e6:.0f} MB are needed in {folder}, but its disk has {free / 1e6:.0f} MB left; make "
            "room, or name another cache folder by $XDG_CACHE_HOME"
        )


@contextmanager
def alone(lock_file: Path) -> Iterator[None]:
    """Keep all other processes that ask for `lock_file` waiting until the block ends, or this process does."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with lock_file.open("ab") as file:
            if not is_held_elsewhere(file) and _is_at(file, lock_file):
                try:
                    yield
                    return
                finally:
                    with suppress(OSError):  # some systems keep a file that another process waits for
                        lock_file.unlink()
        time.sleep(_RETRY_S)


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Say whether `path` still is the open `file`, and was not removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
