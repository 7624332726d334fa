"""One of several processes of a training, without the others."""

from __future__ import annotations

import torch


class OneOf:
    """Stands for accelerate in one of several processes; gradients stay those of this process."""

    device = torch.device("cpu")

    def __init__(self, index: int = 0, n_processes: int = 1) -> None:
        self.process_index, self.num_processes = index, n_processes

    def reduce(self, tensor: torch.Tensor, reduction: str) -> torch.Tensor:
        assert reduction == "mean"
        return tensor / self.num_processes
