"""What all training stages share: device, schedule, chance, averaged weights, resumable checkpoints."""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from timbre.config.fast import ContentShape
from timbre.content.fast import FastContentEncoder
from timbre.errors import DeviceError
from timbre.nn.device import check_device

DEVICES = ("auto", "cpu", "cuda")
LINE_EVERY_STEPS = 50


def choose_device(name: str) -> torch.device:
    """Return the device called auto, cpu or cuda; auto is cuda where there is one, else cpu.

    Raises ArgumentTypeError for another word or a device that this machine lacks.
    """
    if name not in DEVICES:
        raise argparse.ArgumentTypeError(f"the device is {name!r}; it must be auto, cpu or cuda")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return check_device(name)
    except DeviceError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_device(parser: argparse.ArgumentParser) -> None:
    """Let a stage be told its device."""
    parser.add_argument("--device", type=choose_device, default="auto", help="auto, cpu or cuda")


def add_steps(parser: argparse.ArgumentParser) -> None:
    """Let a stage be told how long it is."""

    def positive(text: str) -> int:
        if not text.isdecimal() or int(text) == 0:
            raise argparse.ArgumentTypeError(f"{text!r} is no number of steps; it must be 1 or more")
        return int(text)

    parser.add_argument(
        "--steps", type=positive, required=True, help="optimizer steps from the stage's first to its end"
    )


def stage_parser(about: str | None, rate: float, seed: int) -> argparse.ArgumentParser:
    """Return the parser of what all training stages are told; `rate` and `seed` are this stage's defaults."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--start", help="name of the run of this kind to start from")
    add_steps(parser)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--threads", type=int, default=1)
    add_device(parser)
    return parser


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups of parameters; a group with a "share" gets that share of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0)


def descend(losses: dict[str, Tensor], optimizer: torch.optim.Optimizer, clipped: nn.Module) -> None:
    """Take one step down the sum of `losses`; the gradient of `clipped` is at most 5 long."""
    optimizer.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()
    nn.utils.clip_grad_norm_(clipped.parameters(), 5.0)
    optimizer.step()


def prepare_device(device: torch.device, seed: int, threads: int) -> None:
    """Seed all devices, and allow matrix products of less than float32 precision (TF32) where they are a GPU's."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")


def cosine_rate(progress: float, step: int, warmup_steps: int = 200, floor: float = 0.02) -> float:
    """Factor of the learning rate: linear warm-up by steps, then cosine to `floor` over `progress` 0..1."""
    warm = min(1.0, (step + 1) / warmup_steps)
    return warm * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


Module = TypeVar("Module", bound=nn.Module)


class Averaged(Generic[Module]):
    """Exponential moving average of a module's weights (Polyak averaging), which is what ships."""

    def __init__(self, module: Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: Module, step: int) -> None:
        """Move towards `module`; faster in the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, value in zip(self.module.parameters(), module.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)


class Chance:
    """The random generators of a stage. A checkpoint holds their states, so a resumed stage draws what comes next."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator(device).manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both generators and of torch's own."""
        return {
            "device": self.device.type,
            "rng": json.dumps(self.rng.bit_generator.state),
            "generator": self.generator.get_state(),
            "default": torch.cuda.get_rng_state(self.device) if self._is_cuda else torch.get_rng_state(),
        }

    def knows(self, state: dict[str, Any] | None) -> bool:
        """Tell whether `state` can be gone on from: one kind of device knows nothing of the other's states."""
        return state is not None and state["device"] == self.device.type

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.generator.set_state(state["generator"])
        if self._is_cuda:
            torch.cuda.set_rng_state(state["default"], self.device)
        else:
            torch.set_rng_state(state["default"])

    @property
    def _is_cuda(self) -> bool:
        return self.device.type == "cuda"


@dataclass
class Clock:
    """How many of its steps a stage has taken; the processor time is told beside and decides nothing."""

    steps: int
    step: int = 0
    spent_s: float = 0.0
    _since: float = field(default_factory=time.process_time)

    @property
    def progress(self) -> float:
        """0 at the start, 1 when all steps are taken."""
        return self.step / self.steps

    def state(self) -> dict[str, float]:
        """Return what must be saved."""
        return {"spent_s": self.spent_s + time.process_time() - self._since, "step": self.step}


def save_checkpoint(path: Path, parts: dict[str, Any], clock: Clock) -> None:
    """Write the states of `parts` (modules, optimizers) and the clock; renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    torch.save({"clock": clock.state()} | {name: part.state_dict() for name, part in parts.items()}, temporary)
    os.replace(temporary, path)


def resume(path: Path, parts: dict[str, Any], steps: int) -> Clock:
    """Load `parts` from the checkpoint at `path` where there is one, and return the clock.

    Where the checkpoint holds no generators, or those of another kind of device, chance begins at the seed again.
    """
    if not path.exists():
        return Clock(steps)
    saved = load_checkpoint(path)
    for name, part in parts.items():
        if isinstance(part, Chance) and not part.knows(saved.get(name)):
            print(
                f"{path} holds no generators of this kind of device: chance begins at the seed again", file=sys.stderr
            )
        else:
            part.load_state_dict(saved[name])
    return Clock(steps, saved["clock"]["step"], saved["clock"]["spent_s"])


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return what the checkpoint at `path` holds, in main memory, whichever device wrote it."""
    saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return saved


def load_encoder(cache: Path, name: str, device: torch.device) -> tuple[FastContentEncoder, dict[str, Any]]:
    """Return the averaged encoder of the content run `name`, for use, and all that its checkpoint holds."""
    saved = load_checkpoint(cache / "runs" / f"content_{name}.pt")
    encoder = FastContentEncoder(**vars(ContentShape())).eval().requires_grad_(False)
    encoder.load_state_dict(saved["averaged"])
    return encoder.to(device), saved


def load_voice_run(cache: Path, name: str, content: str) -> dict[str, Any]:
    """Return the checkpoint of the decoder run `name` with its "averaged_encoder".

    Where the encoder stood still, that is the one of the content run `content`.
    """
    saved = load_checkpoint(cache / "runs" / f"decoder_{name}.pt")
    if "averaged_encoder" not in saved:
        saved["averaged_encoder"] = load_checkpoint(cache / "runs" / f"content_{content}.pt")["averaged"]
    return saved


class Training(Protocol):
    """The live objects of a stage."""

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        ...

    def step(self, progress: float, step: int, meter: Meter) -> None:
        """Take one optimizer step."""
        ...


def run(training: Training, path: Path, steps: int, save_every_steps: int) -> None:
    """Train until `steps` are taken, from the checkpoint at `path` where there is one."""
    meter, clock = Meter(), resume(path, training.parts(), steps)
    while clock.step < clock.steps:
        training.step(clock.progress, clock.step, meter)
        clock.step += 1
        if clock.step % LINE_EVERY_STEPS == 0:
            print(meter.line(clock), flush=True)
        if clock.step % save_every_steps == 0:
            save_checkpoint(path, training.parts(), clock)
    save_checkpoint(path, training.parts(), clock)


class Meter:
    """Running means of losses, printed as one JSON line.

    New values wait on their device until a line is due: reading one holds a GPU up.
    """

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self._waiting: list[tuple[str, Tensor]] = []

    def add(self, **values: Tensor) -> None:
        """Take new values (scalars) to mix in, 1 part of 50 each."""
        self._waiting += [(name, value.detach().float()) for name, value in values.items()]

    def line(self, clock: Clock) -> str:
        """Return step, processor minutes and means."""
        self._mix()
        numbers = {name: round(value, 4) for name, value in self.values.items()}
        return json.dumps({"step": clock.step, "minutes": round(clock.state()["spent_s"] / 60, 2)} | numbers)

    def _mix(self) -> None:
        if not self._waiting:
            return
        read = torch.stack([value for _, value in self._waiting]).tolist()
        for (name, _), value in zip(self._waiting, read, strict=True):
            self.values[name] = self.values.get(name, value) * 0.98 + value * 0.02
        self._waiting = []
