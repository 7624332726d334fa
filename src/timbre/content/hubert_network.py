"""The HuBERT network (W.-N. Hsu and others, 2021): convolutions over the wave, then transformer layers.

WavLM (S. Chen and others, 2022) is the same with a bias for distances in its attention, and DPHuBERT (Y. Peng and
others, 2023) one of the two with parts cut out, so that each layer has its own sizes.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.content.reduced_transformer import reduce_layers
from timbre.content.transformer import DistanceBias, DistanceSizes, EncoderLayer, FeedForward, SelfAttention
from timbre.nn.channels_last import ChannelsLastConv

ConvNorm = Literal["group", "layer"]

_BLOCK_FRAMES = 100  # measured: 2 s of the first layers, which stay in the processor's caches
_REDUCED_SHARE = 0.1


@dataclass(frozen=True)
class ConvSize:
    """One convolution over the wave."""

    channels: int
    kernel: int
    stride: int


@dataclass(frozen=True)
class LayerSizes:
    """The sizes of one transformer layer; a 0 is a part that the layer does not have."""

    heads: int
    inner_width: int
    kept_heads: tuple[int, ...] | None = None  # of those that the bias for distances has; None: all


@dataclass(frozen=True)
class HubertSizes:
    """The sizes of the network; `projected_width` is 0 where it has no final projection."""

    convs: tuple[ConvSize, ...]
    conv_norm: ConvNorm
    conv_bias: bool
    width: int
    head_width: int
    layers: tuple[LayerSizes, ...]
    position_kernel: int
    position_groups: int
    norm_first: bool
    projected_width: int = 0
    conv_scale: bool = False  # of each channel, where channels were cut out
    distances: DistanceSizes | None = None

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(conv.stride for conv in self.convs)

    @property
    def window_samples(self) -> int:
        """Samples that one frame hears; a shorter wave gives no frame."""
        span = 1
        for conv in reversed(self.convs):
            span = (span - 1) * conv.stride + conv.kernel
        return span


class ConvLayer(nn.Module):
    """Convolution without padding, layer norm if any, exact GELU."""

    def __init__(self, in_channels: int, size: ConvSize, *, bias: bool, norm: bool) -> None:
        super().__init__()
        self.conv = ChannelsLastConv(in_channels, size.channels, size.kernel, size.stride, bias=bias)
        self.norm = nn.LayerNorm(size.channels) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, C_in] -> [B, (N - kernel) // stride + 1, channels]."""
        x = self.conv(x)
        return functional.gelu(x if self.norm is None else self.norm(x.to(self.norm.weight)))


class GroupNormLayer(nn.Module):
    """Convolution of a wave without padding, each channel brought to mean 0 and variance 1, exact GELU.

    A channel's mean and variance over the whole wave follow from those of the samples under the kernel. So the norm
    is folded into the weights, and the wave can be convolved in blocks.
    """

    def __init__(self, size: ConvSize, *, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, size.channels, size.kernel, size.stride, bias=bias)  # the norm takes its bias away
        self.norm = nn.GroupNorm(size.channels, size.channels)

    def folded(self, wave: Tensor) -> Tensor:
        """Return the weights for the whole wave [B, N] and, as one row more, the biases: [B, kernel + 1, channels]."""
        # float64, which not every device has: the variances of channels differ by many powers of ten
        weight, gain, shift, heard = (
            part.to("cpu", torch.float64)
            for part in (self.conv.weight[:, 0], self.norm.weight, self.norm.bias, self._under_kernel(wave))
        )
        mean = heard.mean(dim=1, keepdim=True)
        heard = heard - mean
        covariance = heard.mT @ heard / heard.shape[1]
        variance = (weight @ covariance * weight).sum(dim=-1)
        weights = (weight * (gain / (variance + self.norm.eps).sqrt())[..., None]).mT
        return torch.cat((weights, shift - mean @ weights), dim=1).to(wave)

    def forward(self, wave: Tensor, folded: Tensor) -> Tensor:
        """A part of the wave [B, n] and what `folded` gave -> [B, (n - kernel) // stride + 1, channels]."""
        return functional.gelu(functional.pad(self._under_kernel(wave), (0, 1), value=1) @ folded)

    def _under_kernel(self, wave: Tensor) -> Tensor:
        return wave.unfold(-1, self.conv.kernel_size[0], self.conv.stride[0])


class ConvFront(nn.Module):
    """From the wave to frames; group norm is on the first layer only and hears the whole wave."""

    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        self._sizes = sizes
        self.layers = nn.ModuleList(self._layer(index) for index in range(len(sizes.convs)))
        self.scale = nn.Parameter(torch.ones(sizes.convs[-1].channels)) if sizes.conv_scale else None

    def _layer(self, index: int) -> nn.Module:
        sizes, size = self._sizes, self._sizes.convs[index]
        if index == 0 and sizes.conv_norm == "group":
            return GroupNormLayer(size, bias=sizes.conv_bias)
        in_channels = sizes.convs[index - 1].channels if index else 1
        return ConvLayer(in_channels, size, bias=sizes.conv_bias, norm=sizes.conv_norm == "layer")

    def forward(self, wave: Tensor) -> Tensor:
        """[B, N] -> [B, T, channels]; the memory for the layers in between does not grow with N."""
        hop, window = self._sizes.hop_samples, self._sizes.window_samples
        n_frames = (wave.shape[1] - window) // hop + 1
        first = self.layers[0]
        folded = first.folded(wave) if isinstance(first, GroupNormLayer) else None
        parts = []
        for start in range(0, n_frames, _BLOCK_FRAMES):
            stop = min(start + _BLOCK_FRAMES, n_frames)
            part = wave[:, start * hop : (stop - 1) * hop + window]
            x = first(part.unsqueeze(-1)) if folded is None else first(part, folded)
            for layer in self.layers[1:]:
                x = layer(x)
            parts.append(x.to(wave))
        x = torch.cat(parts, dim=1)
        return x if self.scale is None else x * self.scale

    def reduce(self, number_type: torch.dtype) -> None:
        """Compute in `number_type` where most of the work is.

        Each layer adds as much rounding as any other, so those with less than a tenth of all products stay exact.
        """
        convs = self._sizes.convs
        inputs = (1, *(conv.channels for conv in convs[:-1]))
        hops = accumulate((conv.stride for conv in convs), operator.mul)
        work = [n * conv.channels * conv.kernel / hop for n, conv, hop in zip(inputs, convs, hops, strict=True)]
        for layer, part in zip(self.layers, work, strict=True):
            if part >= _REDUCED_SHARE * sum(work) and isinstance(layer, ConvLayer):
                layer.conv.to(number_type)


class PositionConv(nn.Module):
    """What a frame learns of its place from its neighbours: a wide grouped convolution and exact GELU."""

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv = ChannelsLastConv(width, width, kernel, padding=kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        return functional.gelu(self.conv(x)[:, : x.shape[1]])  # an even kernel gives one frame too many


class HubertNetwork(nn.Module):
    """A wave at 16 kHz -> features of 20 ms frames (pipeline spec 1.1 to 1.4 and 1.7)."""

    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.front = ConvFront(sizes)
        self.projection_norm = nn.LayerNorm(sizes.convs[-1].channels)
        self.projection = nn.Linear(sizes.convs[-1].channels, sizes.width)
        self.position = PositionConv(sizes.width, sizes.position_kernel, sizes.position_groups)
        self.norm = nn.LayerNorm(sizes.width)
        self.distance_bias = None if sizes.distances is None else DistanceBias(sizes.distances)
        self.layers = nn.ModuleList(_layer(sizes, layer) for layer in sizes.layers)
        self.final_projection = nn.Linear(sizes.width, sizes.projected_width) if sizes.projected_width else None

    def features(self, wave: Tensor, layer: int | None = None) -> Tensor:
        """Return what `layer` gives for `wave` [B, N]: [B, T, width] with T = (N - window) // hop + 1.

        Layers count from 1, 0 is the input of the first, and those after `layer` do not run. None is the last one
        and, in a network that norms first, the norm at the end, which no layer asked for by its number gets.
        """
        n_layers = len(self.layers)
        n_run = n_layers if layer is None else layer
        if not 0 <= n_run <= n_layers:
            raise ValueError(f"layer is {layer}; the network has {n_layers} layers")
        x: Tensor = self.projection(self.projection_norm(self.front(wave)))
        x = x + self.position(x)
        if not self.sizes.norm_first:
            x = self.norm(x)
        by_distance = None if self.distance_bias is None else self.distance_bias(x.shape[1])
        for encoder_layer in self.layers[:n_run]:
            x = encoder_layer(x, by_distance)
        if self.sizes.norm_first and layer is None:
            x = self.norm(x)
        return x

    def reduce(self, number_type: torch.dtype) -> None:
        """Compute in `number_type` from now on where that costs little accuracy; for inference only."""
        self.front.reduce(number_type)
        self.position.to(number_type)
        reduce_layers(self.layers, number_type)


def _layer(sizes: HubertSizes, layer: LayerSizes) -> EncoderLayer:
    attention = feed_forward = None
    if layer.heads:
        attention = SelfAttention(
            sizes.width,
            layer.heads,
            sizes.head_width,
            distance_heads=None if sizes.distances is None else sizes.distances.heads,
            kept_heads=layer.kept_heads,
        )
    if layer.inner_width:
        feed_forward = FeedForward(sizes.width, layer.inner_width)
    return EncoderLayer(attention, feed_forward, sizes.width, norm_first=sizes.norm_first)
