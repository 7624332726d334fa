"""Where this user's files belong on each system, and making room for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from timbre.errors import OutputError

MAX_FILE_NAME_BYTES = 255  # on all usual file systems


def user_folder(kind: Literal["cache", "data"], name: str) -> Path:
    """Return the user's own folder `name` of timbre for data that must last or a cache; it need not exist.

    $XDG_DATA_HOME and $XDG_CACHE_HOME are respected on every system.
    """
    variable = f"XDG_{kind.upper()}_HOME"
    if os.environ.get(variable):
        return Path(os.environ[variable]) / "timbre" / name
    home = Path.home()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
        return root / "timbre" / kind / name
    if sys.platform == "darwin":
        return home / "Library" / {"cache": "Caches", "data": "Application Support"}[kind] / "timbre" / name
    return home / {"cache": ".cache", "data": ".local/share"}[kind] / "timbre" / name


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
