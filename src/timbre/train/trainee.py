"""What the engine asks of a family of voices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from timbre.evaluate.waves import MonoWave
from timbre.train.listening import Judge, Probe, score_of
from timbre.voice.card import VoiceCard

TOTAL = "loss/g/total"
"""The scalar of a step that a user watches."""

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class ProbeResult:
    """What one listening gave."""

    score: float  # the number by which the best checkpoint is chosen; larger is better
    numbers: Mapping[str, float]
    sounds: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)  # name -> [N] at `sample_rate_hz`
    sample_rate_hz: int = 44_100
    sources: Mapping[str, MonoWave] = field(default_factory=dict)  # what the sounds were made of, by the same names
    pictures: Mapping[str, Tensor] = field(default_factory=dict)  # by their names for TensorBoard, [3, height, width]


def heard_result(
    judge: Judge, waves: Sequence[MonoWave], more: Mapping[str, float], score: float | None = None
) -> ProbeResult:
    """Return what a judge thinks of its probes as a voice has said them, at one rate, and `more` numbers.

    The score is that of `score_of` unless another is given.
    """
    numbers = {**judge.judge(waves), **more}
    pairs = list(zip(judge.probes, waves, strict=True))
    return ProbeResult(
        score=score_of(numbers) if score is None else score,
        numbers=numbers,
        sounds={probe.name: wave.samples for probe, wave in pairs},
        sample_rate_hz=waves[0].sample_rate_hz,
        sources={probe.name: probe.wave for probe, _ in pairs},
    )


class Trainee(Protocol):
    """Networks that learn, with all that a step needs.

    What is drawn for a step depends on the seed and the numbers of step and item only, so that a run that goes on after
    a checkpoint gives the numbers of one that was never interrupted.
    """

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """All weights that a checkpoint keeps, averaged ones too."""
        ...

    @property
    def optimizers(self) -> Mapping[str, Optimizer]:
        """What a checkpoint keeps besides."""
        ...

    @property
    def batch_size(self) -> int:
        """Items of a step, in each process."""
        ...

    @property
    def items_per_epoch(self) -> float:
        """Items that hold as much sound as the dataset."""
        ...

    def prepare(self, accelerator: Accelerator) -> None:
        """Put all that learns in the hands of accelerate: device, precision, processes."""
        ...

    def step(self, number: int) -> dict[str, Tensor]:
        """Take step `number` (from 0) and return its scalars by the names for TensorBoard, `TOTAL` among them."""
        ...

    def rehearse(self, batch_size: int) -> None:
        """Do the work of a step of so many items without learning anything from it."""
        ...

    def probe(self) -> ProbeResult:
        """Listen to the voice as it is now."""
        ...


class VoiceInTraining(Trainee, Protocol):
    """A trainee that becomes a voice."""

    @property
    def subject(self) -> str:
        """Whom it learns."""
        ...

    @property
    def train_s(self) -> float:
        """Seconds of sound that it learns from."""
        ...

    @property
    def enough_s(self) -> float:
        """Seconds of sound that it should learn from at least, to become good."""
        ...

    @property
    def number_type(self) -> torch.dtype:
        """What its networks compute in, known once it is prepared."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What its user should know before the first step."""
        ...

    @property
    def origins(self) -> Mapping[str, str]:
        """What it starts from, in words, with digests of the contents: a run cannot go on from anything else."""
        ...

    def listen_to(self, given: Sequence[Probe]) -> Judge | None:
        """Let probes judge it: those that are given, or else clips of its dataset; None where nothing can be heard."""
        ...

    def sample(self) -> MonoWave | None:
        """Return the first probe as the voice says it now; None where nothing can be heard."""
        ...

    def save_voice(self, folder: Path, extras: Mapping[str, bytes]) -> VoiceCard | None:
        """Write the voice as it is now to `folder`, in the place of an earlier one, with more files by name.

        What other programs take goes beside `folder`. None where it is a part of voices and was not made for one.
        """
        ...
