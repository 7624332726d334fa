"""What all training stages share: schedule, averaged weights, resumable checkpoints."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from timbre.config.fast import ContentShape
from timbre.content.fast import FastContentEncoder


def cosine_rate(progress: float, step: int, warmup_steps: int = 200, floor: float = 0.02) -> float:
    """Factor of the learning rate: linear warm-up by steps, then cosine to `floor` over `progress` 0..1."""
    warm = min(1.0, (step + 1) / warmup_steps)
    return warm * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


class Averaged:
    """Exponential moving average of a module's weights (Polyak averaging), which is what ships."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards `module`; faster in the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, value in zip(self.module.parameters(), module.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)


@dataclass
class Clock:
    """Training progress by minutes of processor time, so that a stage can be cut off and resumed."""

    minutes: float
    spent_s: float = 0.0
    step: int = 0
    _since: float = field(default_factory=time.process_time)

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the minutes are used up."""
        return (self.spent_s + time.process_time() - self._since) / (60 * self.minutes)

    def state(self) -> dict[str, float]:
        """Return what must be saved."""
        return {"spent_s": self.spent_s + time.process_time() - self._since, "step": self.step}


def save_checkpoint(path: Path, parts: dict[str, Any], clock: Clock) -> None:
    """Write the states of `parts` (modules, optimizers) and the clock; renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    torch.save({"clock": clock.state()} | {name: part.state_dict() for name, part in parts.items()}, temporary)
    os.replace(temporary, path)


def resume(path: Path, parts: dict[str, Any], minutes: float) -> Clock:
    """Load `parts` from the checkpoint at `path` where there is one, and return the clock."""
    if not path.exists():
        return Clock(minutes)
    saved = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    return Clock(minutes, saved["clock"]["spent_s"], saved["clock"]["step"])


def load_encoder(cache: Path, name: str) -> tuple[FastContentEncoder, dict[str, Any]]:
    """Return the averaged encoder of the content run `name`, for use, and all that its checkpoint holds."""
    saved: dict[str, Any] = torch.load(cache / "runs" / f"content_{name}.pt", weights_only=True)
    encoder = FastContentEncoder(**vars(ContentShape())).eval().requires_grad_(False)
    encoder.load_state_dict(saved["averaged"])
    return encoder, saved


class Training(Protocol):
    """The live objects of a stage."""

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        ...

    def step(self, progress: float, step: int, meter: Meter) -> None:
        """Take one optimizer step."""
        ...


def run(training: Training, path: Path, minutes: float, save_every_steps: int) -> None:
    """Train until `minutes` of processor time are used up, from the checkpoint at `path` where there is one."""
    meter, clock = Meter(), resume(path, training.parts(), minutes)
    while clock.progress < 1:
        training.step(clock.progress, clock.step, meter)
        clock.step += 1
        if clock.step % 50 == 0:
            print(meter.line(clock), flush=True)
        if clock.step % save_every_steps == 0:
            save_checkpoint(path, training.parts(), clock)
    save_checkpoint(path, training.parts(), clock)


class Meter:
    """Running means of losses, printed as one JSON line."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add(self, **values: float) -> None:
        """Mix new values in (1 part of 50)."""
        for name, value in values.items():
            self.values[name] = self.values.get(name, value) * 0.98 + value * 0.02

    def line(self, clock: Clock) -> str:
        """Return step, minutes and means."""
        numbers = {name: round(value, 4) for name, value in self.values.items()}
        return json.dumps({"step": clock.step, "minutes": round(clock.state()["spent_s"] / 60, 2)} | numbers)
