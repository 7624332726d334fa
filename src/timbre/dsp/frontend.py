"""The spectral front end of our own networks: power spectra of 16 kHz sound every 10 ms, whole and in steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.dsp.mel import mel_filter_bank

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160
WINDOW_SAMPLES = 400
N_FFT = 512
N_MELS = 80
POWER_FLOOR = 1e-9


class SpectralFrontend(nn.Module):
    """16 kHz wave -> power spectrum -> scaled log-mel; frame t is centred on sample 160 t.

    The step rule is that of `timbre.nn.conv`: a fresh state holds the zeros that stand before the first sample.
    """

    mel_basis: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        basis = mel_filter_bank(SAMPLE_RATE_HZ, N_FFT, N_MELS, 0.0, SAMPLE_RATE_HZ / 2)
        self.register_buffer("mel_basis", basis.T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW_SAMPLES), persistent=False)

    def power(self, wave: Tensor) -> Tensor:
        """[B, N] -> power spectra [B, N // 160, 257]; silence is assumed on both sides."""
        n_frames = wave.shape[1] // HOP_SAMPLES
        half = WINDOW_SAMPLES // 2
        padded = functional.pad(wave, (half, half))
        return self._power_of(padded)[:, :n_frames]

    def fresh_state(self, batch: int, like: Tensor) -> Tensor:
        """Return the samples before the first [B, 200], all zero."""
        return like.new_zeros(batch, WINDOW_SAMPLES // 2)

    def step(self, wave: Tensor, state: Tensor, *, last: bool = False) -> tuple[Tensor, Tensor]:
        """[B, n samples] -> (power spectra [B, m, 257] of all frames whose window has arrived, next state)."""
        held = torch.cat((state, wave), dim=1)
        if last:
            n_frames = (held.shape[1] - WINDOW_SAMPLES // 2) // HOP_SAMPLES
            held = functional.pad(held, (0, WINDOW_SAMPLES // 2))
        else:
            n_frames = max(0, (held.shape[1] - WINDOW_SAMPLES) // HOP_SAMPLES + 1)
        if n_frames == 0:
            return wave.new_zeros(wave.shape[0], 0, N_FFT // 2 + 1), held
        return self._power_of(held)[:, :n_frames], held[:, n_frames * HOP_SAMPLES :]

    def log_mel(self, power: Tensor) -> Tensor:
        """Power spectra [B, T, 257] -> natural log of mel band powers [B, T, 80]."""
        log_mel: Tensor = torch.log(power @ self.mel_basis + POWER_FLOOR)
        return log_mel

    def loudness(self, power: Tensor) -> Tensor:
        """Power spectra [B, T, 257] -> natural log of the mean power of the windowed frame [B, T]."""
        # Parseval: the inner bins stand for two; a Hann window passes 3/8 of the power.
        total = 2 * power.sum(dim=-1) - power[..., 0] - power[..., -1]
        loudness: Tensor = torch.log(total / (N_FFT * WINDOW_SAMPLES * 0.375) + POWER_FLOOR)
        return loudness

    def _power_of(self, held: Tensor) -> Tensor:
        frames = held.unfold(1, WINDOW_SAMPLES, HOP_SAMPLES) * self.window
        spectrum = torch.fft.rfft(frames, n=N_FFT)
        power: Tensor = spectrum.real**2 + spectrum.imag**2
        return power
