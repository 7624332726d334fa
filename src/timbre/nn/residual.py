"""Residual blocks over frames, whole and in steps."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.nn.conv import SHORT_FRAMES, FrameConv


@dataclass(frozen=True)
class BlockState:
    """What a residual block remembers between steps."""

    conv: Tensor  # [B, left, C] inputs the convolution still needs
    pending: Tensor  # [B, p, C] frames that wait for their look-ahead


@dataclass(frozen=True)
class Modulation:
    """What a condition vector does to the normalised input of one block (FiLM)."""

    scale: Tensor  # [B, 1, C]
    shift: Tensor  # [B, 1, C]


class ResidualBlock(nn.Module):
    """x + Linear(GELU(conv(norm(x)))); the normalised input may be scaled and shifted by a condition vector (FiLM).

    After ConvNeXt (Liu et al. 2022) with a dense convolution; FiLM after Perez et al. 2018. The last layer is small,
    so that a fresh stack is close to the identity. Where `number_type` is given, its two products are computed in that
    type; norms, modulation and the sum stay as they are.
    """

    number_type: torch.dtype | None = None

    def __init__(
        self,
        channels: int,
        inner_channels: int,
        kernel_frames: int,
        *,
        dilation: int = 1,
        lookahead_frames: int = 0,
        condition_channels: int = 0,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = FrameConv(
            channels, inner_channels, kernel_frames, dilation=dilation, lookahead_frames=lookahead_frames
        )
        self.project = nn.Linear(inner_channels, channels)
        nn.init.normal_(self.project.weight, std=0.01)
        nn.init.zeros_(self.project.bias)
        self.film = nn.Linear(condition_channels, 2 * channels) if condition_channels else None
        if self.film is not None:
            nn.init.zeros_(self.film.bias)

    def modulation(self, condition: Tensor) -> Modulation:
        """Turn a condition vector [B, D] into this block's modulation; it need be done once only."""
        if self.film is None:
            raise ValueError("this block takes no condition")
        scale, shift = self.film(condition).unsqueeze(1).chunk(2, dim=-1)
        return Modulation(1 + scale, shift)

    def forward(self, x: Tensor, modulation: Modulation | None = None) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        return x + self._after(self.conv(self._before(x, modulation)))

    def fresh_state(self, batch: int, like: Tensor) -> BlockState:
        """Return the state before the first frame."""
        conv = self.conv.fresh_state(batch, like[:0].to(self.number_type or like.dtype))
        return BlockState(conv, like.new_zeros(batch, 0, conv.shape[2]))

    def step(self, x: Tensor, state: BlockState, modulation: Modulation | None = None) -> tuple[Tensor, BlockState]:
        """[B, n, C] -> ([B, m, C], next state)."""
        y, conv = self.conv.step(self._before(x, modulation), state.conv)
        if self.conv.lookahead_frames == 0:
            return x + self._after(y), BlockState(conv, state.pending)
        waiting = torch.cat((state.pending, x), dim=1)
        return waiting[:, : y.shape[1]] + self._after(y), BlockState(conv, waiting[:, y.shape[1] :])

    def flush(self, state: BlockState) -> Tensor:
        """Return the frames that waited for their look-ahead [B, m, C]."""
        y = self.conv.flush(state.conv)
        return state.pending[:, : y.shape[1]] + self._after(y)

    def reduce(self, number_type: torch.dtype) -> None:
        """From now on compute the products in `number_type`."""
        self.number_type = number_type
        self.conv.to(number_type)
        self.project.to(number_type)

    def _before(self, x: Tensor, modulation: Modulation | None) -> Tensor:
        y: Tensor = self.norm(x)
        if self.film is None:
            return y.to(self.number_type or x.dtype)
        if modulation is None:
            raise ValueError("this block needs a modulation")
        modulated: Tensor = torch.addcmul(modulation.shift.to(y.dtype), y, modulation.scale.to(y.dtype))
        return modulated.to(self.number_type or x.dtype)

    def _after(self, y: Tensor) -> Tensor:
        out: Tensor = self.project(_gelu(y))
        return out


def _gelu(x: Tensor) -> Tensor:
    """GELU (Hendrycks and Gimpel 2016), for few frames without the fixed cost of the library kernel."""
    if x.shape[1] <= SHORT_FRAMES and not x.requires_grad:
        return 0.5 * x * (1 + torch.erf(x * 0.5**0.5))
    return functional.gelu(x)


class ResidualStack(nn.Module):
    """Residual blocks one after the other; its look-ahead is the sum of theirs."""

    def __init__(self, blocks: Sequence[ResidualBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    @property
    def lookahead_frames(self) -> int:
        """Frames after t that output t depends on."""
        return sum(block.conv.lookahead_frames for block in self._blocks())

    @property
    def context_frames(self) -> int:
        """Frames before t that output t depends on."""
        return sum(block.conv.span_frames - block.conv.lookahead_frames for block in self._blocks())

    def modulations(self, condition: Tensor) -> tuple[Modulation, ...]:
        """Turn a condition vector [B, D] into one modulation per block."""
        return tuple(block.modulation(condition) for block in self._blocks())

    def forward(self, x: Tensor, modulations: Sequence[Modulation] | None = None) -> Tensor:
        """[B, T, C] -> [B, T, C]; `modulations` where the blocks take a condition."""
        for number, block in enumerate(self._blocks()):
            x = block(x, modulations[number] if modulations else None)
        return x

    def fresh_state(self, batch: int, like: Tensor) -> tuple[BlockState, ...]:
        """Return the state before the first frame."""
        return tuple(block.fresh_state(batch, like) for block in self._blocks())

    def step(
        self,
        x: Tensor,
        state: tuple[BlockState, ...],
        modulations: Sequence[Modulation] | None = None,
        *,
        last: bool = False,
    ) -> tuple[Tensor, tuple[BlockState, ...]]:
        """[B, n, C] -> ([B, m, C], next state); with `last` nothing follows and all waiting frames come out."""
        following = []
        for number, (block, block_state) in enumerate(zip(self._blocks(), state, strict=True)):
            x, block_state = block.step(x, block_state, modulations[number] if modulations else None)
            if last:
                x = torch.cat((x, block.flush(block_state)), dim=1)
            following.append(block_state)
        return x, tuple(following)

    def reduced(self, number_type: torch.dtype) -> ResidualStack:
        """Return a copy whose blocks compute their products in `number_type`."""
        stack = copy.deepcopy(self)
        for block in stack._blocks():
            block.reduce(number_type)
        return stack

    def _blocks(self) -> list[ResidualBlock]:
        return list(self.blocks)  # type: ignore[arg-type]
