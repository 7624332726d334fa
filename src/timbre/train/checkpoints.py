"""Checkpoints of a run: networks, optimizers and history in one folder each, whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from timbre.errors import WeightsError
from timbre.files.writing import flush, new_folder

TENSORS_FILE, FACTS_FILE = "state.safetensors", "state.json"
_NAME = re.compile(r"step-(\d{8,})")


class Checkpoints:
    """The checkpoints in one folder, named by step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """Return the steps that there are checkpoints of, in order."""
        found = (_NAME.fullmatch(path.name) for path in self.folder.iterdir()) if self.folder.is_dir() else ()
        return sorted(int(match[1]) for match in found if match)

    def save(
        self,
        step: int,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        facts: Mapping[str, Any],
    ) -> None:
        """Write the checkpoint of a step; raises OutputError where it cannot be written."""
        tensors = {f"{name}.{key}": value for name, module in modules.items() for key, value in _state(module).items()}
        for name, optimizer in optimizers.items():
            tensors |= {f"{name}.{key}": value for key, value in _optimizer_state(optimizer).items()}
        with new_folder(self._place(step)) as temporary:
            save_file(
                {key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary / TENSORS_FILE
            )
            (temporary / FACTS_FILE).write_text(json.dumps({"step": step, **facts}, indent=1) + "\n", encoding="utf-8")
            for file in temporary.iterdir():
                flush(file)

    def load(self, step: int, modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]) -> dict[str, Any]:
        """Put the checkpoint of a step into networks and optimizers, and return its facts; raises WeightsError."""
        place = self._place(step)
        try:
            facts: dict[str, Any] = json.loads((place / FACTS_FILE).read_text(encoding="utf-8"))
            tensors = load_file(place / TENSORS_FILE)
            for name, module in modules.items():
                module.load_state_dict(_of(tensors, name))
            for name, optimizer in optimizers.items():
                _load_optimizer(optimizer, _of(tensors, name))
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise self.damaged(step, error) from error
        return facts

    def damaged(self, step: int, error: Exception) -> WeightsError:
        """Return how to tell that the checkpoint of a step cannot be used because of `error`."""
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return WeightsError(
            f"the checkpoint {self._place(step)} is damaged ({reason}); delete that folder, and the same command goes "
            "on from the one before it"
        )

    def tidy(self, keep_newest: int, keep_also: int | None) -> None:
        """Delete all but the newest checkpoints and that of step `keep_also`."""
        for step in self.steps()[:-keep_newest]:
            if step != keep_also:
                shutil.rmtree(self._place(step), ignore_errors=True)

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"


def _of(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights; what two names share is copied, since safetensors keeps nothing that shares memory."""
    state: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in module.state_dict().items():
        state[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    return state


def _optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return what an optimizer remembers of each parameter, by "NUMBER.NAME"."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{key}": torch.as_tensor(value) for number, own in state.items() for key, value in own.items()}


def _load_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
