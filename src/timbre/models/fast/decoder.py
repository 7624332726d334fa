"""The decoder of the fast family: content, pitch and loudness of the source with the timbre of a reference.

Per 10 ms frame a small causal network draws the spectral envelopes of a pulse train and of noise (source-filter model);
the pulses follow the asked pitch exactly, so the pitch has no trained range. Timbre enters twice: as one vector per
voice that modulates every block (FiLM), and by attention from each frame to frames of the reference with similar
content, whose spectra are the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timbre.dsp.frontend import N_MELS
from timbre.nn.attention import Bank, BankAttention
from timbre.nn.residual import BlockState, Modulation, ResidualBlock, ResidualStack

REFERENCE_F0_HZ = 200.0
# What the network is told of the pitch stays within what speech has taught it; the pulses follow any pitch.
LOWEST_OCTAVES, HIGHEST_OCTAVES = -1.6, 1.2
N_PITCH_FEATURES = 2
N_LOUDNESS_FEATURES = 1


@dataclass(frozen=True)
class FilterSpectra:
    """What the decoder draws for each frame."""

    log_harmonic: Tensor  # [B, T, bins] natural log of the magnitude of the harmonic filter
    phase: Tensor  # [B, T, bins] radians
    log_noise: Tensor  # [B, T, bins] natural log of the magnitude of the noise filter

    def frames(self, chosen: Tensor) -> FilterSpectra:
        """Return those of the frames `chosen` [n]."""
        return FilterSpectra(self.log_harmonic[:, chosen], self.phase[:, chosen], self.log_noise[:, chosen])

    def raised(self, correction: Tensor) -> FilterSpectra:
        """Return the spectra with both magnitudes raised by `correction` [B, T, bins], natural log."""
        return FilterSpectra(self.log_harmonic + correction, self.phase, self.log_noise + correction)


@dataclass(frozen=True)
class Timbre:
    """A voice as the decoder needs it; made once per voice by `FastDecoder.timbre`."""

    modulations: tuple[Modulation, ...]  # of the blocks, by the speaker vector
    bank: Bank  # reference frames to attend to


def pitch_features(f0_hz: Tensor) -> Tensor:
    """f0 [B, T] (0 where unvoiced) -> [B, T, 2]: octaves from 200 Hz (0 where unvoiced), voiced flag."""
    voiced = f0_hz > 0
    octaves = torch.log2(f0_hz.clamp(min=1.0) / REFERENCE_F0_HZ).clamp(LOWEST_OCTAVES, HIGHEST_OCTAVES)
    octaves = torch.where(voiced, octaves, 0.0)
    return torch.stack((octaves, voiced.to(f0_hz.dtype)), dim=-1)


class FastDecoder(nn.Module):
    """Content, pitch, loudness and timbre -> FilterSpectra, causal, frame by frame."""

    def __init__(
        self,
        content_channels: int,
        speaker_channels: int,
        width: int,
        inner_width: int,
        dilations: Sequence[int],
        bank_width: int,
        bank_heads: int,
        n_bins: int,
    ) -> None:
        super().__init__()
        self.n_bins = n_bins
        query_channels = content_channels + N_PITCH_FEATURES
        self.attention = BankAttention(query_channels, N_MELS, bank_width, bank_heads)
        self.input = nn.Linear(query_channels + N_LOUDNESS_FEATURES + bank_width, width)
        self.stack = ResidualStack(
            [
                ResidualBlock(width, inner_width, 3, dilation=dilation, condition_channels=speaker_channels)
                for dilation in dilations
            ]
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, 3 * n_bins)
        nn.init.normal_(self.output.weight, std=0.01)
        with torch.no_grad():
            self.output.bias.copy_(torch.cat((torch.zeros(2 * n_bins), torch.full((n_bins,), -2.0))))

    def timbre(self, speaker: Tensor, content: Tensor, f0_hz: Tensor, relative_mel: Tensor) -> Timbre:
        """Make a timbre of a speaker vector [B, D] and the reference's frames.

        Of these: content [B, M, C], f0 [B, M] (Hz, 0 unvoiced) and relative log-mel [B, M, 80].
        """
        bank = self.attention.bank(torch.cat((content, pitch_features(f0_hz)), dim=-1), relative_mel)
        return Timbre(self.stack.modulations(speaker), bank)

    def forward(self, content: Tensor, f0_hz: Tensor, loudness: Tensor, timbre: Timbre) -> FilterSpectra:
        """Content [B, T, C], f0 [B, T] (0 unvoiced), loudness [B, T] (log power) -> FilterSpectra."""
        x = self.stack(self._enter(content, f0_hz, loudness, timbre), timbre.modulations)
        return self._draw(x, loudness)

    def fresh_state(self, batch: int, like: Tensor) -> tuple[BlockState, ...]:
        """Return the state before the first frame; `like` gives type and device."""
        return self.stack.fresh_state(batch, like)

    def step(
        self, content: Tensor, f0_hz: Tensor, loudness: Tensor, timbre: Timbre, state: tuple[BlockState, ...]
    ) -> tuple[FilterSpectra, tuple[BlockState, ...]]:
        """The same for n frames after those already seen; causal, so n frames come out."""
        x, state = self.stack.step(self._enter(content, f0_hz, loudness, timbre), state, timbre.modulations)
        return self._draw(x, loudness), state

    def _enter(self, content: Tensor, f0_hz: Tensor, loudness: Tensor, timbre: Timbre) -> Tensor:
        query = torch.cat((content, pitch_features(f0_hz)), dim=-1)
        looked_up = self.attention(query, timbre.bank)
        level = (loudness.unsqueeze(-1) + 7.0) / 4.0
        entered: Tensor = self.input(torch.cat((query, level, looked_up.to(query.dtype)), dim=-1))
        return entered

    def _draw(self, x: Tensor, loudness: Tensor) -> FilterSpectra:
        drawn = self.output(self.norm(x).to(x.dtype)).float()
        log_harmonic, phase, log_noise = drawn.split(self.n_bins, dim=-1)
        level = 0.5 * loudness.float().unsqueeze(-1)
        return FilterSpectra(log_harmonic + level, phase, log_noise + level)
