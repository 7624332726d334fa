"""The mel spectrogram that NSF-HiFiGAN vocoders hear (models spec 10.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.config.vocoder import VocoderShape
from timbre.dsp.mel import mel_filter_bank
from timbre.dsp.spectrogram import log_mel
from timbre.dsp.stft import reflect_pad, stft_magnitude_blocks
from timbre.errors import SettingsError

_POWER_FLOOR = 1e-9


class VocoderMel(nn.Module):
    """Wave -> natural log of mel magnitudes, as if it were sung in another key or faster."""

    bank: Tensor

    def __init__(self, shape: VocoderShape) -> None:
        super().__init__()
        self._shape = shape
        bank = mel_filter_bank(shape.sample_rate_hz, shape.n_fft, shape.n_mels, shape.low_hz, shape.high_hz)
        self.register_buffer("bank", bank, persistent=False)

    def forward(self, wave: Tensor, key_shift_semitones: float = 0.0, speed: float = 1.0) -> Tensor:
        """Wave [B, L] at the vocoder's rate -> [B, n_mels, T].

        T is L // hop at speed 1, but at least 1. Raises SettingsError for a speed or key shift that leaves no frames.
        """
        factor = 2 ** (key_shift_semitones / 12)
        n_fft, window_samples = round(self._shape.n_fft * factor), round(self._shape.window_samples * factor)
        hop_samples = round(self._shape.hop_samples * speed)
        if not 1 <= hop_samples <= window_samples:
            raise SettingsError(
                f"a key shift of {key_shift_semitones:g} semitones at speed {speed:g} gives a window of "
                f"{window_samples} samples each {hop_samples}; use values nearer to 0 and 1"
            )
        blocks = stft_magnitude_blocks(
            _padded(wave, n_fft, window_samples, hop_samples), n_fft, hop_samples, window_samples
        )
        gain = self._shape.window_samples / window_samples
        return torch.cat([log_mel(gain * self._on_bank_bins(block), self.bank) for block in blocks], dim=-1)

    def _on_bank_bins(self, magnitude: Tensor) -> Tensor:
        """Floor the magnitudes [B, bins, T] and cut or fill them to the bins of the filter bank."""
        floored = (magnitude.square() + _POWER_FLOOR).sqrt()[:, : self.bank.shape[1]]
        return functional.pad(floored, (0, 0, 0, self.bank.shape[1] - floored.shape[1]))


def _padded(wave: Tensor, n_fft: int, window_samples: int, hop_samples: int) -> Tensor:
    """Mirror [B, L] at its ends; a wave too short for that gets silence, enough for one frame."""
    n_samples = wave.shape[-1]
    left = (window_samples - hop_samples) // 2
    right = max((window_samples - hop_samples + 1) // 2, n_fft - n_samples - left)
    return reflect_pad(wave, left, right) if right < n_samples else functional.pad(wave, (left, right))
