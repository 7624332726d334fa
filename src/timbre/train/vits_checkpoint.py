"""Checkpoints of so-vits-svc training, in its own layout, so that either program starts from what the other made.

A checkpoint is a pair of files, G_<step>.pth of the synthesizer and D_<step>.pth of the discriminator, in the folder
of a run (models spec 7.3 to 7.6).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from timbre.errors import MissingWeightsError, WeightsError
from timbre.files.writing import new_file
from timbre.nn.weight_norm import legacy_name
from timbre.train.sovits_voice import fresh_note
from timbre.train.vits_step import VitsTraining
from timbre.weights.digest import sha256_of
from timbre.weights.restricted import read_checkpoint

_SYNTHESIZER_FILE = re.compile(r"G_(\d+)\.pth")
_KEPT_OF_OPTIMIZER = ("lr", "betas", "eps", "weight_decay")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of one checkpoint."""

    synthesizer: Path
    discriminator: Path | None  # None where it is not there

    @property
    def digest(self) -> str:
        """Hash of the contents."""
        files = [file for file in (self.synthesizer, self.discriminator) if file is not None]
        return "+".join(sha256_of(file) for file in files)


@dataclass(frozen=True, eq=False)
class VitsCheckpoint:
    """The content of one file."""

    name: str
    tensors: dict[str, Tensor]
    epoch: int  # in which it was written
    optimizer: Mapping[str, Any] | None  # None where it holds no state, as in released files


def find_checkpoint(place: Path) -> CheckpointFiles:
    """Return a file G_*.pth and its D_*.pth where that is there; of a folder, the only G_*.pth or the newest pair.

    Raises MissingWeightsError where there is none, and WeightsError where a folder has several and no pair; logs a
    warning where a later one than the newest pair has no D_*.pth.
    """
    if place.is_dir():
        files = sorted(place.glob("G_*.pth"))
        if not files:
            raise MissingWeightsError(f"{place} holds no G_*.pth; give a folder with G_0.pth and D_0.pth to start")
        place = files[0] if len(files) == 1 else _newest_with_partner(files)
    if not place.is_file():
        raise MissingWeightsError(f"{place} is not there; give a folder with G_0.pth and D_0.pth, or a file G_*.pth")
    return CheckpointFiles(place, _partner(place))


def read_vits_checkpoint(path: Path) -> VitsCheckpoint:
    """Read a file G_*.pth or D_*.pth, also a released one of half precision; the tensors are float32.

    Raises WeightsError when it is damaged or of another kind.
    """
    data = read_checkpoint(path).data
    tensors = data.get("model") if isinstance(data, dict) else None
    epoch = data.get("iteration") if isinstance(data, dict) else None
    if not isinstance(tensors, dict) or type(epoch) is not int:
        raise WeightsError(f"{path.name!r} is no checkpoint of so-vits-svc; a file G_*.pth or D_*.pth is needed")
    optimizer = data.get("optimizer")
    has_state = isinstance(optimizer, dict) and bool(optimizer.get("state"))
    floats = {key: value.float() for key, value in tensors.items() if isinstance(value, Tensor)}
    return VitsCheckpoint(path.name, floats, epoch, optimizer if has_state else None)


def fill(training: VitsTraining, files: CheckpointFiles) -> list[str]:
    """Fill the networks with the weights that fit, and their optimizers where all do; returns notes for the user.

    The optimizers stay fresh too where a file is not there or has no state of its own; learning rate and weight decay
    become those of the checkpoint. Raises WeightsError when a file is damaged or of another kind.
    """
    given = read_vits_checkpoint(files.synthesizer)
    fresh = take_fitting(training.synthesizer, given)
    if files.discriminator is None:
        return [*fresh_note(fresh), f"beside {given.name} there is no discriminator, which begins anew"]
    judging = read_vits_checkpoint(files.discriminator)
    fresh += take_fitting(training.discriminator, judging)
    if not fresh and given.optimizer is not None and judging.optimizer is not None:
        _restore_with_settings(training, training.synthesizer_optimizer, given)
        _restore_with_settings(training, training.discriminator_optimizer, judging)
    return fresh_note(fresh)


def take_fitting(network: nn.Module, checkpoint: VitsCheckpoint) -> list[str]:
    """Fill what has the same shape in the checkpoint; returns file and legacy name of the rest (models spec 7.4)."""
    fresh = []
    for key, own in network.state_dict().items():
        given = checkpoint.tensors.get(legacy_name(key), checkpoint.tensors.get(key))
        if given is not None and given.shape == own.shape:
            own.copy_(given)
        else:
            fresh.append(f"{checkpoint.name}: {legacy_name(key)}")
    return fresh


def restore_optimizer(optimizer: AdamW, checkpoint: VitsCheckpoint) -> None:
    """Take over the state of an optimizer, with its learning rate and constants; tensors are matched by their order.

    The checkpoint must have one. Raises WeightsError when it is damaged or of another network.
    """
    assert checkpoint.optimizer is not None
    own = optimizer.param_groups[0]["params"]
    try:
        (group,) = checkpoint.optimizer["param_groups"]
        state = checkpoint.optimizer["state"]
        fits = len(group["params"]) == len(own) and all(
            value.shape == own[index].shape for index, entry in state.items() for value in _averages(entry)
        )
        kept = {key: group[key] for key in _KEPT_OF_OPTIMIZER}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"the optimizer state in {checkpoint.name!r} is damaged; use another checkpoint") from error
    if not fits:
        raise WeightsError(
            f"the optimizer state in {checkpoint.name!r} is of another network ({len(group['params'])} weights, here "
            f"{len(own)}); use the config.json it was trained with"
        )
    (own_group,) = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": [{**own_group, **kept}]})


def save_pair(training: VitsTraining, folder: Path, *, epoch: int, step: int) -> CheckpointFiles:
    """Write both files of a checkpoint, each under its name only when it is whole.

    Raises OutputError when they cannot be written.
    """
    synthesizer, discriminator = folder / f"G_{step}.pth", folder / f"D_{step}.pth"
    learning_rate = training.settings.learning_rate
    for path, network, optimizer in (
        (synthesizer, training.synthesizer, training.synthesizer_optimizer),
        (discriminator, training.discriminator, training.discriminator_optimizer),
    ):
        content = {
            "model": {legacy_name(key): value.cpu() for key, value in network.state_dict().items()},
            "iteration": epoch,
            "optimizer": _legacy_optimizer(optimizer, learning_rate),
            "learning_rate": learning_rate,
        }
        with new_file(path) as temporary:
            torch.save(content, temporary)
    return CheckpointFiles(synthesizer, discriminator)


def _partner(synthesizer: Path) -> Path | None:
    """Return the file of the discriminator beside that of the synthesizer; None where it is not there."""
    match = _SYNTHESIZER_FILE.fullmatch(synthesizer.name)
    partner = synthesizer.with_name(f"D_{match[1]}.pth") if match else None
    return partner if partner is not None and partner.is_file() else None


def _newest_with_partner(files: Sequence[Path]) -> Path:
    """Return the one of the highest step that has a partner."""
    steps = {int(match[1]): file for file in files if (match := _SYNTHESIZER_FILE.fullmatch(file.name))}
    step = max((step for step, file in steps.items() if _partner(file) is not None), default=None)
    if step is None:
        raise WeightsError(
            f"{files[0].parent} holds {len(files)} files G_*.pth and no D_*.pth for them; name the file to start from"
        )
    if step < max(steps):
        _log.warning("%s has no partner; training starts from %s", steps[max(steps)], steps[step].name)
    return steps[step]


def _restore_with_settings(training: VitsTraining, optimizer: AdamW, checkpoint: VitsCheckpoint) -> None:
    """Restore an optimizer; its constants that a config.json has are those of this training."""
    restore_optimizer(optimizer, checkpoint)
    optimizer.param_groups[0].update(betas=training.settings.betas, eps=training.settings.eps)


def _averages(entry: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    return entry["exp_avg"], entry["exp_avg_sq"]


def _legacy_optimizer(optimizer: AdamW, learning_rate: float) -> dict[str, Any]:
    """Return the state on the CPU; the original goes on only where `initial_lr` is there, and knows no `fused`."""
    content = optimizer.state_dict()
    state = {index: {name: value.cpu() for name, value in entry.items()} for index, entry in content["state"].items()}
    (group,) = content["param_groups"]
    return {"state": state, "param_groups": [{**group, "fused": None, "initial_lr": learning_rate}]}
