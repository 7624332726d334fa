"""A diffusion model as so-vits-svc keeps it: model_<step>.pt with config.yaml beside it (models spec 9.8)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from timbre.files.writing import new_folder
from timbre.models.diffusion.state import state_for_file
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.train.diffusion_setup import CONFIG_FILE


def save_diffusion_files(folder: Path, model: Unit2Mel, config: Mapping[str, Any], step: int) -> Path:
    """Write the files of a model into `folder`, in the place of what lies there, and return the one with the weights.

    Raises OutputError where they cannot be written.
    """
    name = f"model_{step}.pt"
    with new_folder(folder) as temporary:
        torch.save({"global_step": step, "model": state_for_file(model)}, temporary / name)
        (temporary / CONFIG_FILE).write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="ascii")
    return folder / name
