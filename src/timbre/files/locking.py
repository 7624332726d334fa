"""Locks on files, which the system gives back when a process ends, however it ends."""

from __future__ import annotations

import sys
from typing import IO


def is_held_elsewhere(file: IO[bytes]) -> bool:
    """Take the lock of a file, which its closing gives back, or say that another one holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:  # a disk without locks, as some in a network are: nothing can be waited for
        return False
    return False
