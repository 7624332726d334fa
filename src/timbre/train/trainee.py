"""What the engine asks of a family of voices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class ProbeResult:
    """What one listening gave."""

    score: float  # the number by which the best checkpoint is chosen; larger is better
    numbers: Mapping[str, float]
    sounds: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)  # name -> [N] at `sample_rate_hz`
    sample_rate_hz: int = 44_100


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
    def items_per_epoch(self) -> float:
        """Items that hold as much sound as the dataset."""
        ...

    def prepare(self, accelerator: Accelerator) -> None:
        """Put all that learns in the hands of accelerate: device, precision, processes."""
        ...

    def step(self, number: int) -> dict[str, Tensor]:
        """Take step `number` (from 0) and return its losses by name, with "total" among them."""
        ...

    def rehearse(self, batch_size: int) -> None:
        """Do the work of a step of so many items without learning anything from it."""
        ...

    def probe(self) -> ProbeResult:
        """Listen to the voice as it is now."""
        ...
