"""The speaker encoder of the fast family: a reference recording becomes one unit vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.dsp.frontend import N_MELS
from timbre.nn.conv import FrameConv
from timbre.nn.residual import ResidualBlock, ResidualStack


def relative_log_mel(log_mel: Tensor) -> Tensor:
    """Remove the level of a recording: log-mel [B, T, 80] minus its mean over the louder half of the frames.

    The result does not depend on the gain of the recording; it is scaled to about unit range.
    """
    level = log_mel.mean(dim=-1, keepdim=True)  # [B, T, 1]
    loud = level >= level.median(dim=1, keepdim=True).values
    mean = (level * loud).sum(dim=1, keepdim=True) / loud.sum(dim=1, keepdim=True)
    return (log_mel - mean) / 4.0


class FastSpeakerEncoder(nn.Module):
    """Relative log-mel frames [B, T, 80] -> unit vector [B, speaker_channels].

    Residual convolutions, then attentive mean and deviation (Okabe et al. 2018).
    """

    def __init__(self, width: int, inner_width: int, n_blocks: int, speaker_channels: int) -> None:
        super().__init__()
        self.input = FrameConv(N_MELS, width, 5, lookahead_frames=2)
        self.stack = ResidualStack([ResidualBlock(width, inner_width, 5, lookahead_frames=2) for _ in range(n_blocks)])
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 4)
        self.project = nn.Linear(8 * width, speaker_channels)

    def forward(self, mel: Tensor) -> Tensor:
        """[B, T, 80] -> [B, D]."""
        x = self.norm(self.stack(self.input(mel))).float()
        weights = torch.softmax(self.score(x).float(), dim=1)  # [B, T, heads]
        mean = torch.einsum("bth,btc->bhc", weights, x)
        power = torch.einsum("bth,btc->bhc", weights, x**2)
        deviation = (power - mean**2).clamp(min=1e-6).sqrt()
        vector = self.project(torch.cat((mean, deviation), dim=-1).flatten(1))
        return functional.normalize(vector.float(), dim=-1)
