"""Layer norm over the channels of [B, C, T] (models spec 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-5


class ChannelNorm(nn.Module):
    """Normalises the channels of each frame on their own, then scales and shifts them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        normed = functional.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, _EPS)
        return normed.transpose(1, 2)
