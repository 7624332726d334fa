"""Folders as Hugging Face stores networks: weights beside settings in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from timbre.errors import MissingWeightsError, WeightsError

SETTINGS_FILE = "config.json"
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")


def weights_file(path: Path) -> Path:
    """Return the weights in the folder `path`, or `path` itself where it is no folder.

    Raises MissingWeightsError where the folder holds none.
    """
    if not path.is_dir():
        return path
    for name in WEIGHTS_FILES:
        if (path / name).is_file():
            return path / name
    raise MissingWeightsError(
        f"the folder {str(path)!r} holds neither {' nor '.join(WEIGHTS_FILES)}; download one of them into it"
    )


def settings_beside(file: Path, name: str = SETTINGS_FILE) -> dict[str, Any]:
    """Return the settings called `name` in the folder of a weights file, empty where there are none.

    Raises WeightsError where they are damaged.
    """
    path = file.with_name(name)
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{str(path)!r} is not valid JSON ({error}); download it again") from error
    if not isinstance(settings, dict):
        raise WeightsError(f"{str(path)!r} holds no settings by name; download it again")
    return settings
