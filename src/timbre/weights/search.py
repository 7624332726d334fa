"""Where weights files lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from timbre.config.places import user_folder
from timbre.errors import SettingsError

WEIGHTS_VARIABLE = "TIMBRE_WEIGHTS"


def own_weights_folder() -> Path:
    """Return the folder in the user's cache where this program keeps weights; it need not exist."""
    return user_folder("cache", "weights")


def weights_folders(given: str | Path | None = None) -> list[Path]:
    """Return the folders to search, first to last: `given`, those in $TIMBRE_WEIGHTS, the user's cache, ./pretrain.

    The last is where a so-vits-svc tree has them. All but `given` need not exist; raises SettingsError where that one
    does not.
    """
    first = [] if given is None else [Path(given)]
    if first and not first[0].is_dir():
        raise SettingsError(f"the folder of weights {given} is not there; give one that is, or leave it out")
    named = [Path(entry) for entry in os.environ.get(WEIGHTS_VARIABLE, "").split(os.pathsep) if entry]
    return [*first, *named, own_weights_folder(), Path("pretrain")]


def find_weights(names: Sequence[str], folders: Sequence[Path]) -> Path | None:
    """Return the first file or folder called like one of `names`, the best name first, or None.

    An earlier folder counts more than a better name.
    """
    candidates = (folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.exists()), None)


def weights_in_folder(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the weights file in the folder of one network: called like one of `names`, or the only .safetensors."""
    named = next((folder / name for name in names if (folder / name).is_file()), None)
    others = list(folder.glob("*.safetensors"))
    return others[0] if named is None and len(others) == 1 else named
