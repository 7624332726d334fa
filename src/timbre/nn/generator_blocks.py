"""Parts of HiFi-GAN generators: weight-normed convolutions, activations and residual blocks (models spec 4.1, 4.3)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from timbre.nn.snake import FilteredSnake

LEAK = 0.1


def same_conv(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> nn.Conv1d:
    """Make a weight-normed convolution that keeps the length; the kernel must be odd."""
    padding = (kernel - 1) * dilation // 2
    conv: nn.Conv1d = weight_norm(nn.Conv1d(in_channels, out_channels, kernel, dilation=dilation, padding=padding))
    return conv


def activation(channels: int, *, snake: bool, leak: float = LEAK) -> nn.Module:
    """Make a snake, or a leaky ReLU, which has no keys in a state dict."""
    return FilteredSnake(channels) if snake else nn.LeakyReLU(leak)


def reach_samples(module: nn.Module) -> int:
    """Return how many samples a chain of length-keeping convolutions and activations sees to each side."""
    parts = list(module.modules())
    convolutions = sum(int(part.padding[0]) for part in parts if isinstance(part, nn.Conv1d))
    return convolutions + sum(part.reach_samples for part in parts if isinstance(part, FilteredSnake))


class PairedResidualBlock(nn.Module):
    """Block type 1: for each dilation a dilated and a plain convolution, each after an activation."""

    n_dilations = 3

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], *, snake: bool) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(same_conv(channels, channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(same_conv(channels, channels, kernel) for _ in dilations)
        self.activations = nn.ModuleList(activation(channels, snake=snake) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, L] -> [B, C, L]."""
        first, second = self.activations[::2], self.activations[1::2]
        for before_dilated, dilated, before_plain, plain in zip(first, self.convs1, second, self.convs2, strict=True):
            x = x + plain(before_plain(dilated(before_dilated(x))))
        return x


class SingleResidualBlock(nn.Module):
    """Block type 2: one dilated convolution after an activation for each dilation."""

    n_dilations = 2

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], *, snake: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(same_conv(channels, channels, kernel, dilation) for dilation in dilations)
        self.activations = nn.ModuleList(activation(channels, snake=snake) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, L] -> [B, C, L]."""
        for before, conv in zip(self.activations, self.convs, strict=True):
            x = x + conv(before(x))
        return x
