"""Invertible layers of a normalising flow: shifts of one half by the other, and flips (models spec 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Coupling(nn.Module):
    """Shifts the second half of the channels by what a network makes of the first half; L. Dinh and others, 2014.

    `network` maps ([B, H, T], mask, speaker) to [B, H, T]; a fresh layer changes nothing.
    """

    def __init__(self, channels: int, hidden_channels: int, network: nn.Module) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels // 2, hidden_channels, 1)
        self.enc = network
        self.post = nn.Conv1d(hidden_channels, channels // 2, 1)
        for parameter in self.post.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor, *, reverse: bool = False) -> Tensor:
        """[B, C, T], mask [B, 1, T] and speaker [B, G, 1 or T] -> [B, C, T]."""
        kept, shifted = x.chunk(2, dim=1)
        shift = self.post(self.enc(self.pre(kept) * mask, mask, speaker)) * mask
        shifted = (shifted - shift) * mask if reverse else shift + shifted * mask
        return torch.cat((kept, shifted), dim=1)


class Flip(nn.Module):
    """Reverses the order of the channels, so that the next coupling shifts the other half."""

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor, *, reverse: bool = False) -> Tensor:
        """[B, C, T] -> [B, C, T]; its own inverse."""
        return x.flip(1)
