"""Parts of HiFi-GAN generators: weight-normed convolutions, activations and residual blocks (models spec 4.1, 4.3).

They work on rows: [B, C, 1, L] is a sound as an image of height one, whose memory may have the channels last. That is
the layout in which processors convolve quickest.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from timbre.nn.snake import FilteredSnake

LEAK = 0.1


class RowConv(nn.Conv1d):
    """A convolution with the parameters of a `Conv1d`; the layout of what it hears is that of what it makes."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, 1, L] -> [B, C_out, 1, L']."""
        weight, padding = self.weight.unsqueeze(2), (0, int(self.padding[0]))
        return functional.conv2d(x, weight, self.bias, (1, *self.stride), padding, (1, *self.dilation))


class RowConvTranspose(nn.ConvTranspose1d):
    """A transposed convolution with the parameters of a `ConvTranspose1d`."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """[B, C_in, 1, L] -> [B, C_out, 1, L']."""
        weight, padding = self.weight.unsqueeze(2), (0, int(self.padding[0]))
        return functional.conv_transpose2d(x, weight, self.bias, (1, *self.stride), padding)


class RowSnake(FilteredSnake):
    """A snake for [B, C, 1, L]."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, 1, L] -> [B, C, 1, L]."""
        return super().forward(x.squeeze(2)).unsqueeze(2)


def same_conv(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> RowConv:
    """Make a weight-normed convolution that keeps the length; the kernel must be odd."""
    padding = (kernel - 1) * dilation // 2
    conv: RowConv = weight_norm(RowConv(in_channels, out_channels, kernel, dilation=dilation, padding=padding))
    return conv


def activation(channels: int, *, snake: bool, leak: float = LEAK, inplace: bool = False) -> nn.Module:
    """Make a snake, or a leaky ReLU, which has no keys in a state dict and may overwrite what it is given."""
    return RowSnake(channels) if snake else nn.LeakyReLU(leak, inplace=inplace)


def add_part(total: Tensor, part: Tensor) -> Tensor:
    """Return the sum of both in the type of `total`; a `part` of that type is overwritten."""
    return part.to(total.dtype).add_(total)


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
        # Each second one hears a convolution that nobody else needs.
        self.activations = nn.ModuleList(
            activation(channels, snake=snake, inplace=number % 2 == 1) for number in range(2 * len(dilations))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, 1, L] -> [B, C, 1, L]."""
        first, second = self.activations[::2], self.activations[1::2]
        for before_dilated, dilated, before_plain, plain in zip(first, self.convs1, second, self.convs2, strict=True):
            x = add_part(x, plain(before_plain(dilated(before_dilated(x)))))
        return x


class SingleResidualBlock(nn.Module):
    """Block type 2: one dilated convolution after an activation for each dilation."""

    n_dilations = 2

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], *, snake: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(same_conv(channels, channels, kernel, dilation) for dilation in dilations)
        self.activations = nn.ModuleList(activation(channels, snake=snake) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, 1, L] -> [B, C, 1, L]."""
        for before, conv in zip(self.activations, self.convs, strict=True):
            x = add_part(x, conv(before(x)))
        return x
