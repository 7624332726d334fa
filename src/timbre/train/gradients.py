"""Gradients of several processes, and the scale of losses in float16."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator


def average_gradients(parameters: Iterable[nn.Parameter], accelerator: Accelerator) -> None:
    """Replace each gradient by its mean over all processes, which must have the same ones."""
    if accelerator.num_processes == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    joined = accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
    for gradient, mean in zip(gradients, joined.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


class KeptScaler(nn.Module):
    """A `GradScaler` whose scale is kept with the weights; it acts in float16 only."""

    def __init__(self, device_type: str, *, enabled: bool) -> None:
        super().__init__()
        self.scaler = torch.amp.GradScaler(device_type, enabled=enabled)

    def get_extra_state(self) -> Tensor:
        """Return scale and steps since it changed, float64 [2], or nothing [0]."""
        state = self.scaler.state_dict()
        return torch.tensor([state["scale"], state["_growth_tracker"]] if state else [], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on as `get_extra_state` said."""
        if len(state):
            scale, tracker = state.tolist()
            self.scaler.load_state_dict({**self.scaler.state_dict(), "scale": scale, "_growth_tracker": int(tracker)})


class StepCount(nn.Module):
    """How many steps the weights beside it have taken, kept with them."""

    done: Tensor

    def __init__(self, done: int = 0) -> None:
        super().__init__()
        self.register_buffer("done", torch.tensor(done))
