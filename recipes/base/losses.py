"""Spectrogram discriminators of the decoder."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.nn.conv import FrameConv
from timbre.train.spectral_loss import MAGNITUDE_FLOOR, band_mask, powers


class SpectrogramDiscriminator(nn.Module):
    """Judges log magnitudes; frequency bins are the channels of 1-D convolutions over time."""

    def __init__(self, n_fft: int, hop_samples: int) -> None:
        super().__init__()
        self.n_fft, self.hop_samples = n_fft, hop_samples
        bins = n_fft // 2 + 1
        self.layers = nn.ModuleList(
            [
                FrameConv(below, above, 5, lookahead_frames=2)
                for below, above in itertools.pairwise((bins, 256, 256, 256))
            ]
        )
        self.last = FrameConv(256, bins // 8, 3, lookahead_frames=1)

    def forward(self, wave: Tensor, bandwidth_hz: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, N] -> (scores [B, T, bins / 8], features)."""
        power = powers(wave, self.n_fft, self.hop_samples, self.n_fft // 2 + 1)
        x = (torch.log(power + MAGNITUDE_FLOOR**2) / 6 + 2) * band_mask(bandwidth_hz, self.n_fft)
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.last(x), features


class Discriminators(nn.Module):
    """Three of them, at three resolutions, one in turn per step."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            [SpectrogramDiscriminator(n, hop) for n, hop in ((2048, 512), (1024, 256), (512, 128))]
        )

    def judge(self, real: Tensor, made: Tensor, bandwidth_hz: Tensor, step: int) -> Tensor:
        """Hinge loss of the discriminator whose turn it is."""
        member = self.members[step % len(self.members)]
        real_loss = functional.relu(1 - member(real, bandwidth_hz)[0]).mean()
        return real_loss + functional.relu(1 + member(made, bandwidth_hz)[0]).mean()

    def convince(self, real: Tensor, made: Tensor, bandwidth_hz: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return (adversarial loss, feature matching loss) of the decoder.

        Only the first of `made` [B, N] are copies of `real` [at most B, N] and can match it.
        """
        member = self.members[step % len(self.members)]
        with torch.no_grad():
            _, wanted = member(real, bandwidth_hz[: len(real)])
        score, features = member(made, bandwidth_hz)
        matching = made.new_zeros(())
        for have, want in zip(features, wanted, strict=True):
            difference = functional.l1_loss(have[: len(real)], want)
            matching = matching + difference / want.abs().mean().clamp(min=1e-4)
        return -score.mean(), matching / len(features)
