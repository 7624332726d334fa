"""Losses of the decoder: masked multi-resolution spectra, and spectrogram discriminators."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.nn.conv import FrameConv

SAMPLE_RATE_HZ = 44_100
RESOLUTIONS = (4096, 2048, 1024, 512)
HOP_RATIO = 0.29
MAGNITUDE_FLOOR = 2e-4
BANDWIDTH_SHARE = 0.90


def powers(wave: Tensor, n_fft: int, hop_samples: int, n_bins: int) -> Tensor:
    """[B, N] -> power in the lowest `n_bins` bins [B, T, n_bins], scaled so that a full-scale sine is about 1/4."""
    frames = wave.unfold(1, n_fft, hop_samples) * (torch.hann_window(n_fft) / (n_fft / 4))
    spectrum = torch.view_as_real(torch.fft.rfft(frames)[..., :n_bins])
    return spectrum.square().sum(dim=-1)


def band_mask(bandwidth_hz: Tensor, n_fft: int) -> Tensor:
    """Which bins to judge [B, 1, bins]: those under 0.90 of each recording's bandwidth [B]."""
    frequency = torch.arange(n_fft // 2 + 1) * (SAMPLE_RATE_HZ / n_fft)
    return (frequency < BANDWIDTH_SHARE * bandwidth_hz.unsqueeze(1)).float().unsqueeze(1)


def spectral_loss(output: Tensor, target: Tensor, bandwidth_hz: Tensor, step: int) -> Tensor:
    """Log-magnitude L1 plus half the spectral convergence [B, N], at one of four resolutions in turn."""
    n_fft = RESOLUTIONS[step % len(RESOLUTIONS)]
    hop = int(n_fft * HOP_RATIO)
    mask = band_mask(bandwidth_hz, n_fft)
    widest = int(mask.amax(dim=0).sum())  # no bins above the widest bandwidth of the batch
    frequency = torch.arange(widest) * (SAMPLE_RATE_HZ / n_fft)
    weight = mask[..., :widest] / (1 + frequency / 5000)
    made = torch.log(powers(output, n_fft, hop, widest) + MAGNITUDE_FLOOR**2)  # twice the log magnitude
    with torch.no_grad():
        true = torch.log(powers(target, n_fft, hop, widest) + MAGNITUDE_FLOOR**2)
        true_magnitude = torch.exp(0.5 * true) * weight
        scale = true_magnitude.square().sum(dim=(1, 2)).add(1e-3).sqrt()
    difference = 0.5 * ((made - true).abs() * weight).sum() / (weight.sum() * made.shape[1])
    distance = (torch.exp(0.5 * made) * weight - true_magnitude).square().sum(dim=(1, 2)).add(1e-9).sqrt()
    return difference + 0.5 * (distance / scale).mean()


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
        """Return (adversarial loss, feature matching loss) of the decoder."""
        member = self.members[step % len(self.members)]
        with torch.no_grad():
            _, wanted = member(real, bandwidth_hz)
        score, features = member(made, bandwidth_hz)
        matching = made.new_zeros(())
        for have, want in zip(features, wanted, strict=True):
            matching = matching + functional.l1_loss(have, want) / want.abs().mean().clamp(min=1e-4)
        return -score.mean(), matching / len(features)
