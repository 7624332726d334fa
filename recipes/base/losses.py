"""What judges the decoder beside the losses of `timbre.train`: discriminators, the envelope in bands, the level."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.dsp.frontend import N_FFT, SAMPLE_RATE_HZ, SpectralFrontend
from timbre.nn.conv import FrameConv
from timbre.train.spectral_loss import BANDWIDTH_SHARE, MAGNITUDE_FLOOR, band_mask, powers

ENVELOPE_FLOOR = 1e-4  # of the mean power of a band over time; what is quieter counts less
LEVEL_FRAMES = 25  # over which a level is a mean: a quarter of a second
LEVEL_TOLERANCE = 0.23  # nats of power, 1 dB: another voice says the same with other levels
LEVEL_RANGE = 6.9  # nats of power, 30 dB below the loudest; quieter levels do not count


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


class EnvelopeLoss:
    """Mean difference of the log power in mel bands, in nats; half of the bands lie where the vowels' formants are."""

    def __init__(self, frontend: SpectralFrontend) -> None:
        self.frontend = frontend
        self.centre_hz = frontend.mel_basis.argmax(dim=0) * (SAMPLE_RATE_HZ / N_FFT)

    def __call__(self, made: Tensor, target: Tensor, bandwidth_hz: Tensor) -> Tensor:
        """16 kHz sounds [B, N] and what bandwidth [B] is known of them -> loss."""
        edge_hz = BANDWIDTH_SHARE * bandwidth_hz.clamp(max=SAMPLE_RATE_HZ / 2).view(-1, 1, 1)
        known = self.centre_hz < edge_hz
        have, want = (self.frontend.power(wave) @ self.frontend.mel_basis for wave in (made, target))
        floor = ENVELOPE_FLOOR * want.mean(dim=1, keepdim=True) + 1e-9
        difference = (torch.log(have + floor) - torch.log(want + floor)).abs() * known
        return difference.sum() / known.expand_as(difference).sum()


def level_loss(made: Tensor, target: Tensor) -> Tensor:
    """Return by how much levels differ beyond the tolerance, in nats of power, from loudness [B, T] every 10 ms."""
    have, want = (
        torch.log(functional.avg_pool1d(loudness.exp().unsqueeze(1), LEVEL_FRAMES, 5)) for loudness in (made, target)
    )
    counts = want > want.amax(dim=-1, keepdim=True) - LEVEL_RANGE
    beyond = functional.relu((have - want).abs() - LEVEL_TOLERANCE) * counts
    return beyond.sum() / counts.sum()
