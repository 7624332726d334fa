"""Where this user's files belong on each system."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal


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
