"""The content encoder of the fast family: what is said or sung, without who says it and at which pitch.

A stack of residual convolutions over log-mel frames (100 per second) with a small look-ahead, ending in a narrow,
normalised bottleneck. Trained by `recipes/base` to know phones and to be blind to formant and pitch changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.dsp.frontend import N_MELS, SpectralFrontend
from timbre.nn.conv import FrameConv
from timbre.nn.residual import BlockState, ResidualBlock, ResidualStack

LOG_MEL_MEAN = -9.0
LOG_MEL_SCALE = 4.0


@dataclass(frozen=True)
class ContentState:
    """What the encoder remembers between steps."""

    input: Tensor
    stack: tuple[BlockState, ...]


class FastContentEncoder(nn.Module):
    """Log-mel frames [B, T, 80] -> content [B, T, content_channels], 100 frames a second."""

    def __init__(
        self,
        width: int,
        inner_width: int,
        kernels: Sequence[int],
        dilations: Sequence[int],
        lookaheads: Sequence[int],
        content_channels: int,
    ) -> None:
        super().__init__()
        self.frontend = SpectralFrontend()
        self.input = FrameConv(N_MELS, width, 3, lookahead_frames=1)
        self.stack = ResidualStack(
            [
                ResidualBlock(width, inner_width, kernel, dilation=dilation, lookahead_frames=lookahead)
                for kernel, dilation, lookahead in zip(kernels, dilations, lookaheads, strict=True)
            ]
        )
        self.norm = nn.LayerNorm(width)
        self.bottleneck = nn.Linear(width, content_channels)

    @property
    def lookahead_frames(self) -> int:
        """Frames after t that content t depends on."""
        return self.input.lookahead_frames + self.stack.lookahead_frames

    def forward(self, log_mel: Tensor) -> Tensor:
        """[B, T, 80] -> [B, T, C]."""
        return self._narrow(self.stack(self.input(_scaled(log_mel))))

    def fresh_state(self, batch: int, like: Tensor) -> ContentState:
        """Return the state before the first frame."""
        return ContentState(self.input.fresh_state(batch, like), self.stack.fresh_state(batch, like))

    def step(self, log_mel: Tensor, state: ContentState, *, last: bool = False) -> tuple[Tensor, ContentState]:
        """[B, n, 80] -> ([B, m, C], next state); with `last` all waiting frames come out."""
        x, input_state = self.input.step(_scaled(log_mel), state.input)
        if last:
            x = torch.cat((x, self.input.flush(input_state)), dim=1)
        x, stack_state = self.stack.step(x, state.stack, last=last)
        return self._narrow(x), ContentState(input_state, stack_state)

    def _narrow(self, x: Tensor) -> Tensor:
        content: Tensor = self.bottleneck(self.norm(x).to(x.dtype))
        return functional.layer_norm(content.float(), content.shape[-1:])


def _scaled(log_mel: Tensor) -> Tensor:
    return (log_mel - LOG_MEL_MEAN) / LOG_MEL_SCALE
