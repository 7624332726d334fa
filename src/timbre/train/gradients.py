"""Losses and gradients: of several processes, in reduced types, through a network that does not learn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from timbre.errors import SettingsError

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


def gradient_norm(network: nn.Module) -> Tensor:
    """Return the 2-norm of all gradients of a network together, 0-dimensional."""
    return get_total_norm([weight.grad for weight in network.parameters() if weight.grad is not None])


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let a network pass gradients through without getting its own."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def autocast(device: torch.device, number_type: torch.dtype) -> torch.autocast:
    """Let networks compute in a number type while weights stay in float32; float32 changes nothing."""
    return torch.autocast(device.type, number_type, enabled=number_type != torch.float32)


def require_number(loss: Tensor, step: int) -> None:
    """Raise SettingsError where the loss of a step is infinite or no number."""
    if not bool(loss.isfinite()):
        raise SettingsError(
            f"a loss or gradient of step {step} is no number; train in another folder with a smaller --learning-rate "
            "or with --precision exact"
        )


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
