"""Checkpoints of so-vits-svc training, in its own layout, so that either program goes on where the other stopped.

A checkpoint is a pair of files, G_<step>.pth of the synthesizer and D_<step>.pth of the discriminator, in the folder
of a run (models spec 7.3 to 7.6).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from timbre.errors import WeightsError
from timbre.files.writing import new_file
from timbre.models.vits.discriminator import MultiPeriodDiscriminator
from timbre.models.vits.state import TRAINING_ONLY, load_state
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.weight_norm import legacy_name
from timbre.train.vits_step import VitsTraining
from timbre.weights.restricted import read_checkpoint

_LETTERS = ("G", "D")  # of files of the synthesizer and of the discriminator
_KEPT_OF_OPTIMIZER = ("lr", "betas", "eps", "weight_decay")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointPair:
    """The files of one checkpoint."""

    step: int
    synthesizer: Path
    discriminator: Path


@dataclass(frozen=True, eq=False)
class VitsCheckpoint:
    """The content of one file."""

    name: str
    tensors: dict[str, Tensor]
    epoch: int  # in which it was written
    optimizer: Mapping[str, Any] | None  # None where it holds no state, as in released files


@dataclass(frozen=True)
class Resumed:
    """Where training goes on."""

    epoch: int  # from 1
    step: int
    fresh: tuple[str, ...]  # legacy names of weights that are still as they were initialised


def newest_pair(folder: Path) -> CheckpointPair | None:
    """Find the checkpoint of the highest step in a folder; None where there is none.

    Logs a warning for a later file without its partner, and raises WeightsError when no file has one.
    """
    synthesizers, discriminators = (_files(folder, letter) for letter in _LETTERS)
    alone = synthesizers.keys() ^ discriminators.keys()
    step = max(synthesizers.keys() & discriminators.keys(), default=-1)
    if max(alone, default=-1) > step:
        path = (synthesizers | discriminators)[max(alone)]
        if step < 0:
            raise WeightsError(
                f"{path.name!r} has no partner; training needs a G_ and a D_ file of one step: add it or remove it"
            )
        _log.warning("%s has no partner; training goes on from step %d", path, step)
    return None if step < 0 else CheckpointPair(step, synthesizers[step], discriminators[step])


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


def resume(training: VitsTraining, pair: CheckpointPair) -> Resumed:
    """Fill networks and optimizers from a checkpoint; the epoch in which it was written is repeated.

    A pair of step 0 may be a base model: weights that do not fit it (other speakers, say) keep their initial values,
    and then, or when it has no optimizer states, the optimizers stay fresh and epochs count from 1. Raises
    WeightsError when a file is damaged, or is of a later step and does not fit.
    """
    synthesizer, discriminator = (read_vits_checkpoint(path) for path in (pair.synthesizer, pair.discriminator))
    if pair.step == 0:
        fresh = take_fitting(training.synthesizer, synthesizer) + take_fitting(training.discriminator, discriminator)
        if fresh or synthesizer.optimizer is None or discriminator.optimizer is None:
            return Resumed(1, 1, fresh)
    else:
        _fill_synthesizer(training.synthesizer, synthesizer)
        _fill_discriminator(training.discriminator, discriminator)
    restore_optimizer(training.synthesizer_optimizer, synthesizer)
    restore_optimizer(training.discriminator_optimizer, discriminator)
    return Resumed(max(discriminator.epoch, 1), pair.step + 1, ())


def take_fitting(network: nn.Module, checkpoint: VitsCheckpoint) -> tuple[str, ...]:
    """Fill what has the same shape in the checkpoint; returns the legacy names of the rest (models spec 7.4)."""
    fresh = []
    for key, own in network.state_dict().items():
        given = checkpoint.tensors.get(legacy_name(key), checkpoint.tensors.get(key))
        if given is not None and given.shape == own.shape:
            own.copy_(given)
        else:
            fresh.append(legacy_name(key))
    return tuple(fresh)


def restore_optimizer(optimizer: AdamW, checkpoint: VitsCheckpoint) -> None:
    """Take over the state of an optimizer, with its learning rate and constants; tensors are matched by their order.

    Raises WeightsError when the checkpoint has none, or it is of another network.
    """
    if checkpoint.optimizer is None:
        raise WeightsError(
            f"{checkpoint.name!r} has no optimizer state, which going on needs; "
            "to start anew from it as a base model, name the pair G_0.pth and D_0.pth"
        )
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


def save_pair(training: VitsTraining, folder: Path, *, epoch: int, step: int) -> CheckpointPair:
    """Write both files of a checkpoint, each under its name only when it is whole.

    Raises OutputError when they cannot be written.
    """
    pair = CheckpointPair(step, *(folder / f"{letter}_{step}.pth" for letter in _LETTERS))
    learning_rate = training.settings.learning_rate
    for path, network, optimizer in (
        (pair.synthesizer, training.synthesizer, training.synthesizer_optimizer),
        (pair.discriminator, training.discriminator, training.discriminator_optimizer),
    ):
        content = {
            "model": {legacy_name(key): value.cpu() for key, value in network.state_dict().items()},
            "iteration": epoch,
            "optimizer": _legacy_optimizer(optimizer, learning_rate),
            "learning_rate": learning_rate,
        }
        with new_file(path) as temporary:
            torch.save(content, temporary)
    return pair


def remove_old(folder: Path, n_kept: int) -> None:
    """Delete all but the `n_kept` files of each network that were written last; 0 keeps all. Step 0 always stays."""
    for letter in _LETTERS:
        files = [path for step, path in sorted(_files(folder, letter).items()) if step != 0]
        files.sort(key=lambda path: path.stat().st_mtime_ns)
        for path in files[:-n_kept] if n_kept else []:
            path.unlink()


def _files(folder: Path, letter: str) -> dict[int, Path]:
    """Return the checkpoints of one network by step."""
    matches = {path: re.fullmatch(rf"{letter}_(\d+)\.pth", path.name) for path in folder.glob(f"{letter}_*.pth")}
    return {int(match[1]): path for path, match in matches.items() if match}


def _fill_synthesizer(synthesizer: Synthesizer, checkpoint: VitsCheckpoint) -> None:
    if not any(key.startswith(TRAINING_ONLY) for key in checkpoint.tensors):
        raise WeightsError(
            f"{checkpoint.name!r} is a released file without the posterior encoder, which going on needs; "
            "use the file that training wrote"
        )
    try:
        load_state(synthesizer, checkpoint.tensors)
    except WeightsError as error:
        raise WeightsError(f"training cannot go on from {checkpoint.name!r}: {error}") from error


def _fill_discriminator(discriminator: MultiPeriodDiscriminator, checkpoint: VitsCheckpoint) -> None:
    fresh = take_fitting(discriminator, checkpoint)
    if fresh:
        raise WeightsError(
            f"{checkpoint.name!r} has no {fresh[0]!r} that fits the discriminator of config.json; "
            "use the D_*.pth and the config.json that belong together"
        )


def _averages(entry: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    return entry["exp_avg"], entry["exp_avg_sq"]


def _legacy_optimizer(optimizer: AdamW, learning_rate: float) -> dict[str, Any]:
    """Return the state on the CPU; the original goes on only where `initial_lr` is there, and knows no `fused`."""
    content = optimizer.state_dict()
    state = {index: {name: value.cpu() for name, value in entry.items()} for index, entry in content["state"].items()}
    (group,) = content["param_groups"]
    return {"state": state, "param_groups": [{**group, "fused": None, "initial_lr": learning_rate}]}
