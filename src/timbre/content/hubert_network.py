"""The HuBERT network (W.-N. Hsu and others, 2021): convolutions over the wave, then transformer layers.

Its pieces take their sizes as numbers, so that networks of the same family can be built from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

ConvNorm = Literal["group", "layer"]


@dataclass(frozen=True)
class ConvSize:
    """One convolution over the wave."""

    channels: int
    kernel: int
    stride: int


@dataclass(frozen=True)
class HubertSizes:
    """The sizes of the network; `projected_width` is 0 where it has no final projection."""

    convs: tuple[ConvSize, ...]
    conv_norm: ConvNorm
    conv_bias: bool
    width: int
    n_layers: int
    heads: int
    inner_width: int
    position_kernel: int
    position_groups: int
    norm_first: bool
    projected_width: int = 0

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

    def __init__(self, convs: tuple[ConvSize, ...], norm: ConvNorm, *, bias: bool) -> None:
        super().__init__()
        inputs = [1, *(conv.channels for conv in convs)]
        self.layers = nn.ModuleList(
            ConvLayer(inputs[i], conv, norm if i == 0 or norm == "layer" else None, bias=bias)
            for i, conv in enumerate(convs)
        )

    def forward(self, wave: Tensor) -> Tensor:
        """[B, N] -> [B, T, channels]."""
        x = wave.unsqueeze(1)
        for layer in self.layers:
            x = layer(x)
        return x.transpose(1, 2)


class PositionConv(nn.Module):
    """What a frame learns of its place from its neighbours: a wide grouped convolution and exact GELU."""

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        y = self.conv(x.transpose(1, 2))[..., : x.shape[1]]  # an even kernel gives one frame too many
        return functional.gelu(y).transpose(1, 2)


class SelfAttention(nn.Module):
    """Each frame looks at all frames; the matrix of T * T weights is never stored."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        # [B, T, heads * d] -> [B, heads, T, d]
        query, key, value = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.output(seen.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Two linear layers with exact GELU between them."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, inner_width)
        self.contract = nn.Linear(inner_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        out: Tensor = self.contract(functional.gelu(self.expand(x)))
        return out


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each added to its input, with the norms before them or after the sums."""

    def __init__(self, width: int, heads: int, inner_width: int, *, norm_first: bool) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = SelfAttention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, inner_width)
        self.feed_forward_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        if self.norm_first:
            x = x + self.attention(self.attention_norm(x))
            return torch.add(x, self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self.attention(x))
        out: Tensor = self.feed_forward_norm(x + self.feed_forward(x))
        return out


class HubertNetwork(nn.Module):
    """A wave at 16 kHz -> features of 20 ms frames (pipeline spec 1.1 to 1.3)."""

    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.front = ConvFront(sizes.convs, sizes.conv_norm, bias=sizes.conv_bias)
        self.projection_norm = nn.LayerNorm(sizes.convs[-1].channels)
        self.projection = nn.Linear(sizes.convs[-1].channels, sizes.width)
        self.position = PositionConv(sizes.width, sizes.position_kernel, sizes.position_groups)
        self.norm = nn.LayerNorm(sizes.width)
        self.layers = nn.ModuleList(
            EncoderLayer(sizes.width, sizes.heads, sizes.inner_width, norm_first=sizes.norm_first)
            for _ in range(sizes.n_layers)
        )
        self.final_projection = nn.Linear(sizes.width, sizes.projected_width) if sizes.projected_width else None

    def features(self, wave: Tensor, layer: int | None = None) -> Tensor:
        """Return what `layer` gives for `wave` [B, N]: [B, T, width] with T = (N - window) // hop + 1.

        Layers count from 1, 0 is the input of the first, and those after `layer` do not run. None is the last one
        and, in a network that norms first, the norm at the end, which no layer asked for by its number gets.
        """
        n_run = self.sizes.n_layers if layer is None else layer
        if not 0 <= n_run <= self.sizes.n_layers:
            raise ValueError(f"layer is {layer}; the network has {self.sizes.n_layers} layers")
        x: Tensor = self.projection(self.projection_norm(self.front(wave)))
        x = x + self.position(x)
        if not self.sizes.norm_first:
            x = self.norm(x)
        for encoder_layer in self.layers[:n_run]:
            x = encoder_layer(x)
        if self.sizes.norm_first and layer is None:
            x = self.norm(x)
        return x
