"""Attention from each frame to a fixed bank of reference frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Bank:
    """Reference frames ready to be looked up; made once per voice."""

    keys: Tensor  # [B, heads, M, D] unit vectors
    values: Tensor  # [B, heads, M, D]


class BankAttention(nn.Module):
    """Cosine attention (Vaswani et al. 2017, with normalised queries and keys) over a bank of any size.

    Every frame is looked up on its own, so the layer needs no state to work in steps.
    """

    def __init__(self, query_channels: int, value_channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(query_channels, width)
        self.key = nn.Linear(query_channels, width)
        self.value = nn.Linear(value_channels, width)
        self.log_sharpness = nn.Parameter(torch.full((heads, 1, 1), 2.3))

    def bank(self, x: Tensor, values: Tensor) -> Bank:
        """[B, M, C_query] and [B, M, C_value] -> Bank."""
        return Bank(functional.normalize(self._split(self.key(x)), dim=-1), self._split(self.value(values)))

    def forward(self, x: Tensor, bank: Bank) -> Tensor:
        """[B, T, C_query] -> [B, T, width]."""
        query = functional.normalize(self._split(self.query(x)), dim=-1)
        weights = torch.softmax(query @ bank.keys.transpose(-1, -2) * self.log_sharpness.exp(), dim=-1)
        return (weights @ bank.values).transpose(1, 2).flatten(2)

    def _split(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)
