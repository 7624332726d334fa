"""A stack of gated convolutions that hears a speaker (models spec 2.3 and 2.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

_KERNEL_FRAMES = 5


class DepthwiseSeparableConv(nn.Module):
    """A convolution of each channel on its own, then one of each frame on its own; both weight-normed."""

    def __init__(self, in_channels: int, out_channels: int, kernel_frames: int) -> None:
        super().__init__()
        padding = kernel_frames // 2
        self.depth_conv = weight_norm(
            nn.Conv1d(in_channels, in_channels, kernel_frames, padding=padding, groups=in_channels)
        )
        self.point_conv = weight_norm(nn.Conv1d(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, T] -> [B, C_out, T]."""
        y: Tensor = self.point_conv(self.depth_conv(x))
        return y


class GatedConvStack(nn.Module):
    """Gated convolutions (A. van den Oord and others, WaveNet, 2016) with residual and skip connections.

    Modules are defined in the order of existing optimizer states.
    """

    def __init__(self, channels: int, n_layers: int, speaker_channels: int, *, depthwise: bool = False) -> None:
        super().__init__()
        self.in_layers = nn.ModuleList(_input_conv(channels, depthwise=depthwise) for _ in range(n_layers))
        widths = [2 * channels] * (n_layers - 1) + [channels]  # the last layer has no residual half
        self.res_skip_layers = nn.ModuleList(weight_norm(nn.Conv1d(channels, width, 1)) for width in widths)
        self.cond_layer = weight_norm(nn.Conv1d(speaker_channels, 2 * channels * n_layers, 1))

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """[B, C, T], mask [B, 1, T] and speaker [B, G, 1 or T] -> [B, C, T]; `x` is not masked at entry."""
        conditions = self.cond_layer(speaker).chunk(len(self.in_layers), dim=1)
        skipped = torch.zeros_like(x)
        for in_layer, res_skip_layer, condition in zip(
            self.in_layers[:-1], self.res_skip_layers[:-1], conditions[:-1], strict=True
        ):
            residual, skip = res_skip_layer(gated(in_layer(x) + condition)).chunk(2, dim=1)
            x = (x + residual) * mask
            skipped = skipped + skip
        last: Tensor = self.res_skip_layers[-1](gated(self.in_layers[-1](x) + conditions[-1]))
        return (skipped + last) * mask


def gated(x: Tensor) -> Tensor:
    """[B, 2 C, T] -> [B, C, T]: tanh of the first half times sigmoid of the second."""
    value, gate = x.chunk(2, dim=1)
    return torch.tanh(value) * torch.sigmoid(gate)


def _input_conv(channels: int, *, depthwise: bool) -> nn.Module:
    if depthwise:
        return DepthwiseSeparableConv(channels, 2 * channels, _KERNEL_FRAMES)
    conv: nn.Module = weight_norm(nn.Conv1d(channels, 2 * channels, _KERNEL_FRAMES, padding=_KERNEL_FRAMES // 2))
    return conv
