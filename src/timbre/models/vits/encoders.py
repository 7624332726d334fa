"""The two encoders of the synthesizer: what content and pitch lead to expect, and what a sound holds (spec 3, 5.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from timbre.config.vits import VitsShape
from timbre.models.vits.lf0 import N_STEPS
from timbre.nn.transformer import WindowedTransformer
from timbre.nn.wavenet import GatedConvStack

_WINDOW_FRAMES = 4
_POSTERIOR_LAYERS = 16


class Gaussian(NamedTuple):
    """A normal distribution of the latent of each frame."""

    mean: Tensor  # [B, I, T]
    log_std: Tensor  # [B, I, T]

    def sample(self, noise: Tensor, mask: Tensor) -> Tensor:
        """Return the latent [B, I, T] for standard normal `noise` [B, I, T], 0 where the mask [B, 1, T] is."""
        return (self.mean + noise * torch.exp(self.log_std)) * mask


class ContentEncoder(nn.Module):
    """Content and coarse pitch -> the distribution of the latent that the reversed flow begins with (`enc_p`)."""

    def __init__(self, shape: VitsShape) -> None:
        super().__init__()
        self.proj = nn.Conv1d(shape.hidden_channels, 2 * shape.inter_channels, 1)
        self.f0_emb = nn.Embedding(N_STEPS, shape.hidden_channels)
        self.enc_ = WindowedTransformer(
            shape.hidden_channels,
            shape.filter_channels,
            shape.n_heads,
            shape.n_layers,
            shape.kernel_size,
            window_frames=_WINDOW_FRAMES,
            dropout=shape.p_dropout,
        )

    def forward(self, x: Tensor, pitch_steps: Tensor, mask: Tensor) -> Gaussian:
        """Content [B, H, T], steps [B, T] of `coarse_f0` and mask [B, 1, T] -> distribution of [B, I, T]."""
        x = self.enc_(x + self.f0_emb(pitch_steps).transpose(1, 2), mask)
        return Gaussian(*(self.proj(x) * mask).chunk(2, dim=1))


class PosteriorEncoder(nn.Module):
    """Linear spectrum and speaker -> the distribution of the generator's latent (`enc_q`); used in training only."""

    def __init__(self, shape: VitsShape) -> None:
        super().__init__()
        self.pre = nn.Conv1d(shape.spec_channels, shape.hidden_channels, 1)
        self.enc = GatedConvStack(
            shape.hidden_channels, _POSTERIOR_LAYERS, shape.gin_channels, depthwise=shape.use_depthwise_conv
        )
        self.proj = nn.Conv1d(shape.hidden_channels, 2 * shape.inter_channels, 1)

    def forward(self, spec: Tensor, mask: Tensor, speaker: Tensor) -> Gaussian:
        """Spectrum [B, S, T], mask [B, 1, T] and speaker [B, G, 1 or T] -> distribution of [B, I, T]."""
        x = self.enc(self.pre(spec) * mask, mask, speaker)
        return Gaussian(*(self.proj(x) * mask).chunk(2, dim=1))
