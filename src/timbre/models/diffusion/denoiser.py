"""The network that tells the noise in a mel spectrogram (models spec 9.4).

Non-causal gated convolutions after DiffWave (Z. Kong and others, ICLR 2021), without dilation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from timbre.nn.generator_blocks import RowConv

_LONGEST_PERIOD = 10_000.0


def step_embedding(step: Tensor, width: int) -> Tensor:
    """Steps [B], fractions allowed, -> sines and cosines [B, width], float32."""
    half = width // 2
    # Steps reach 1000, so that another rounding of the frequencies than the original's could be heard.
    frequency = torch.exp(torch.arange(half, device=step.device) * -(math.log(_LONGEST_PERIOD) / (half - 1)))
    phase = step.float()[:, None] * frequency
    return torch.cat((phase.sin(), phase.cos()), dim=1)


class ResidualLayer(nn.Module):
    """A gated convolution that hears the step and the condition."""

    def __init__(self, channels: int, condition_channels: int) -> None:
        super().__init__()
        self.dilated_conv = RowConv(channels, 2 * channels, 3, padding=1)
        self.diffusion_projection = nn.Linear(channels, channels)
        self.conditioner_projection = RowConv(condition_channels, 2 * channels, 1)
        self.output_projection = RowConv(channels, 2 * channels, 1)

    def forward(self, x: Tensor, embedding: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, C, 1, T], embedding [B or 1, C], condition [B, Hh, 1, T] -> next x and skip, [B, C, 1, T] each."""
        y = self.dilated_conv(x + self.diffusion_projection(embedding)[..., None, None])
        y = y + self.conditioner_projection(condition)
        gate, content = y.chunk(2, dim=1)
        residual, skip = self.output_projection(torch.sigmoid(gate) * torch.tanh(content)).chunk(2, dim=1)
        return (x + residual) / math.sqrt(2), skip


class Denoiser(nn.Module):
    """Noisy mel, step and condition -> the noise; names of the parts are those of the checkpoints.

    It is for training; sampling uses its weights through `FrameDenoiser`.
    """

    def __init__(self, n_mels: int, n_layers: int, channels: int, condition_channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.input_projection = RowConv(n_mels, channels, 1)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.Mish(), nn.Linear(4 * channels, channels))
        self.residual_layers = nn.ModuleList(ResidualLayer(channels, condition_channels) for _ in range(n_layers))
        self.skip_projection = RowConv(channels, channels, 1)
        self.output_projection = RowConv(channels, n_mels, 1)
        nn.init.zeros_(self.output_projection.weight)

    def forward(self, x: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        """x [B, M, T], step [B or 1], condition [B, Hh, T] -> noise [B, M, T]."""
        # Channels last in memory is where processors convolve quickest; all that follows takes over this layout.
        x, condition = (each.unsqueeze(2).contiguous(memory_format=torch.channels_last) for each in (x, condition))
        x = torch.relu(self.input_projection(x))
        embedding = self.mlp(step_embedding(step, self.channels).to(x.dtype))
        skips = torch.zeros_like(x)
        for layer in self.residual_layers:
            x, skip = layer(x, embedding, condition)
            skips = skips + skip
        y = torch.relu(self.skip_projection(skips / math.sqrt(len(self.residual_layers))))
        noise: Tensor = self.output_projection(y).squeeze(2)
        return noise
