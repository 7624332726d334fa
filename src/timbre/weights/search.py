"""Where weights files lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from timbre.config.places import user_folder

WEIGHTS_VARIABLE = "TIMBRE_WEIGHTS"


def weights_folders(given: Path | None = None) -> list[Path]:
    """Return the folders to search, first to last: `given`, those in $TIMBRE_WEIGHTS, the user's cache, ./pretrain.

    The last is where a so-vits-svc tree has them. The folders need not exist.
    """
    named = [Path(entry) for entry in os.environ.get(WEIGHTS_VARIABLE, "").split(os.pathsep) if entry]
    return [*([given] if given else []), *named, user_folder("cache", "weights"), Path("pretrain")]


def find_weights(names: Sequence[str], folders: Sequence[Path]) -> Path | None:
    """Return the first file or folder called like one of `names`, the best name first, or None.

    An earlier folder counts more than a better name.
    """
    candidates = (folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.exists()), None)
