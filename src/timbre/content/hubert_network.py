"""The HuBERT network (W.-N. Hsu and others, 2021): convolutions over the wave, then transformer layers.

WavLM (S. Chen and others, 2022) is the same with a bias for distances in its attention, and DPHuBERT (Y. Peng and
others, 2023) one of the two with parts cut out, so that each layer has its own sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.content.transformer import DistanceBias, DistanceSizes, EncoderLayer, FeedForward, SelfAttention

ConvNorm = Literal["group", "layer"]


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
    """Convolution without padding, norm if any, exact GELU."""

    def __init__(self, in_channels: int, size: ConvSize, norm: ConvNorm | None, *, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, size.channels, size.kernel, size.stride, bias=bias)
        self.norm: nn.Module | None = None
        if norm is not None:
            self.norm = nn.GroupNorm(size.channels, size.channels) if norm == "group" else nn.LayerNorm(size.channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, N] -> [B, channels, (N - kernel) // stride + 1]."""
        x = self.conv(x)
        if isinstance(self.norm, nn.LayerNorm):
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        elif self.norm is not None:
            x = self.norm(x)
        return functional.gelu(x)


class ConvFront(nn.Module):
    """From the wave to frames; group norm is on the first layer only and hears the whole wave."""

    def __init__(self, convs: tuple[ConvSize, ...], norm: ConvNorm, *, bias: bool, scale: bool = False) -> None:
        super().__init__()
        inputs = [1, *(conv.channels for conv in convs)]
        self.layers = nn.ModuleList(
            ConvLayer(inputs[i], conv, norm if i == 0 or norm == "layer" else None, bias=bias)
            for i, conv in enumerate(convs)
        )
        self.scale = nn.Parameter(torch.ones(convs[-1].channels)) if scale else None

    def forward(self, wave: Tensor) -> Tensor:
        """[B, N] -> [B, T, channels]."""
        x = wave.unsqueeze(1)
        for layer in self.layers:
            x = layer(x)
        x = x.transpose(1, 2)
        return x if self.scale is None else x * self.scale


class PositionConv(nn.Module):
    """What a frame learns of its place from its neighbours: a wide grouped convolution and exact GELU."""

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        y = self.conv(x.transpose(1, 2))[..., : x.shape[1]]  # an even kernel gives one frame too many
        return functional.gelu(y).transpose(1, 2)


class HubertNetwork(nn.Module):
    """A wave at 16 kHz -> features of 20 ms frames (pipeline spec 1.1 to 1.4 and 1.7)."""

    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.front = ConvFront(sizes.convs, sizes.conv_norm, bias=sizes.conv_bias, scale=sizes.conv_scale)
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
