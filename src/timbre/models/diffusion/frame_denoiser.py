"""The denoiser in use: without gradients, on blocks of frames whose channels lie together in memory.

In the type of its weights it computes what `Denoiser` computes. In a reduced type, convolutions and products run in
that type, while the embedding of the step and the sums from layer to layer stay in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.models.diffusion.denoiser import Denoiser, ResidualLayer, step_embedding
from timbre.models.diffusion.step_samplers import Predict
from timbre.nn.channels_last import ChannelsLastConv

_BLOCK_FRAMES = 1024  # measured: fewer repeat too much context, more leave the caches
_KEPT_FRAMES = 4096  # of projected conditions; each takes 80 KiB in the usual size


class FrameDenoiser(nn.Module):
    """Tells the noise that `denoiser` tells, computed in `number_type`."""

    def __init__(self, denoiser: Denoiser, number_type: torch.dtype) -> None:
        super().__init__()
        self._channels, self._number_type = denoiser.channels, number_type
        self._sum_type = torch.promote_types(number_type, torch.float32)
        self.mlp = denoiser.mlp
        self.input_projection = _linear(denoiser.input_projection, number_type)
        self.layers = nn.ModuleList(
            _FrameLayer(cast(ResidualLayer, layer), number_type) for layer in denoiser.residual_layers
        )
        self.skip_projection = _linear(denoiser.skip_projection, number_type)
        self.output_projection = _linear(denoiser.output_projection, number_type)

    @property
    def reach_frames(self) -> int:
        """How many frames to each side the noise of a frame depends on."""
        return len(self.layers)

    def predictor(self, condition: Tensor) -> Predict:
        """Condition [B, Hh, T] -> a function of x [B, M, T] and a step that tells the noise in x, [B, M, T]."""
        heard = _Heard(condition.transpose(1, 2).to(self._number_type), self._frame_layers)
        return partial(self._predict, heard)

    @property
    def _frame_layers(self) -> list[_FrameLayer]:
        return [cast(_FrameLayer, layer) for layer in self.layers]

    @torch.no_grad()
    def _predict(self, heard: _Heard, x: Tensor, step: float) -> Tensor:
        embedding = self.mlp(step_embedding(torch.full((1,), step, device=x.device), self._channels).to(x))
        offsets = [layer.diffusion_projection(embedding) for layer in self._frame_layers]
        n_frames, reach = x.shape[-1], self.reach_frames
        size = math.ceil(n_frames / math.ceil(n_frames / _BLOCK_FRAMES))
        parts = []
        for start in range(0, n_frames, size):
            frames = slice(max(0, start - reach), min(start + size + reach, n_frames))
            noise = self._predict_block(heard, frames, x[..., frames].transpose(1, 2), offsets)
            parts.append(noise[:, start - frames.start :][:, :size])
        return torch.cat(parts, dim=1).transpose(1, 2).to(x)

    def _predict_block(self, heard: _Heard, frames: slice, mel: Tensor, offsets: list[Tensor]) -> Tensor:
        """Noisy mel [B, T, M] at the given frames -> its noise [B, T, M] in the number type."""
        x = functional.relu_(self.input_projection(mel.to(self._number_type))).to(self._sum_type)
        skips = torch.zeros_like(x)
        padded = functional.pad(torch.zeros_like(x, dtype=self._number_type), (0, 0, 1, 1))
        for index, (layer, offset) in enumerate(zip(self._frame_layers, offsets, strict=True)):
            torch.add(x, offset, out=padded[:, 1:-1])
            residual, skip = layer(padded, heard.by(index, frames)).chunk(2, dim=2)
            x.add_(residual).mul_(math.sqrt(0.5))
            skips.add_(skip)
        y = self.skip_projection(skips.div_(math.sqrt(len(self.layers))).to(self._number_type))
        noise: Tensor = self.output_projection(functional.relu_(y))
        return noise


class _Heard:
    """A condition [B, T, Hh] as each layer hears it: in float32 projected once, if that takes not too much memory.

    In a reduced type it is quick to project it each time.
    """

    def __init__(self, condition: Tensor, layers: Sequence[_FrameLayer]) -> None:
        self._condition, self._layers = condition, layers
        keeps = condition.dtype.itemsize >= 4 and condition.shape[1] <= _KEPT_FRAMES
        self._kept = [layer.project(condition) for layer in layers] if keeps else None

    def by(self, index: int, frames: slice) -> Tensor:
        """Return what the layer of that index adds at the given frames, [B, T, 2C]."""
        if self._kept is not None:
            return self._kept[index][:, frames]
        return self._layers[index].project(self._condition[:, frames])


class _FrameLayer(nn.Module):
    """A `ResidualLayer` for frames, without its sums."""

    def __init__(self, layer: ResidualLayer, number_type: torch.dtype) -> None:
        super().__init__()
        self.diffusion_projection = layer.diffusion_projection
        self.conditioner_projection = _linear(layer.conditioner_projection, number_type)
        self.output_projection = _linear(layer.output_projection, number_type)
        conv = layer.dilated_conv
        self.conv = ChannelsLastConv(conv.in_channels, conv.out_channels, conv.kernel_size[0], device="meta")
        weight = conv.weight.detach().to(number_type).transpose(1, 2).contiguous().transpose(1, 2)
        _set_parameters(self.conv, weight, conv.bias)

    def project(self, condition: Tensor) -> Tensor:
        """[B, T, Hh] -> [B, T, 2C]."""
        y: Tensor = self.conditioner_projection(condition)
        return y

    def forward(self, padded: Tensor, condition: Tensor) -> Tensor:
        """x and step [B, T + 2, C], projected condition [B, T, 2C] -> residual and skip [B, T, 2C]."""
        gate, content = self.conv(padded).add_(condition).chunk(2, dim=2)
        # In bfloat16 the hyperbolic tangent would take longer than both conversions and itself in float32.
        content = torch.tanh_(content.to(torch.promote_types(content.dtype, torch.float32))).to(gate)
        out: Tensor = self.output_projection(content.mul_(torch.sigmoid_(gate)))
        return out


def _linear(conv: nn.Conv1d, number_type: torch.dtype) -> nn.Linear:
    """Return what a convolution of kernel 1 does, for frames [B, T, C]."""
    linear = nn.Linear(conv.in_channels, conv.out_channels, device="meta")
    _set_parameters(linear, conv.weight.detach()[..., 0].to(number_type), conv.bias)
    return linear


def _set_parameters(module: nn.Linear | nn.Conv1d, weight: Tensor, bias: Tensor | None) -> None:
    assert bias is not None
    module.weight = nn.Parameter(weight, requires_grad=False)
    module.bias = nn.Parameter(bias.detach().to(weight), requires_grad=False)
