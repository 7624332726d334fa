"""The spectrograms that so-vits-svc's networks are trained on (models spec 8.1 and 8.2)."""

from __future__ import annotations

from torch import Tensor

from timbre.dsp.stft import reflect_pad, stft_magnitude

_POWER_FLOOR = 1e-6
_MEL_FLOOR = 1e-5


def linear_spectrogram(wave: Tensor, n_fft: int, hop_samples: int, window_samples: int) -> Tensor:
    """Return the magnitudes of `wave` [B, N]: [B, n_fft // 2 + 1, N // hop_samples], in the type of the wave.

    The spectra are computed in float32 whatever that type. Raises AudioError when the wave is too short to be
    mirrored by (n_fft - hop_samples) / 2 samples.
    """
    margin = n_fft - hop_samples
    padded = reflect_pad(wave.float(), margin // 2, margin - margin // 2)
    magnitude = stft_magnitude(padded, n_fft, hop_samples, window_samples)
    return (magnitude.square() + _POWER_FLOOR).sqrt().to(wave.dtype)


def log_mel(magnitude: Tensor, bank: Tensor) -> Tensor:
    """Magnitudes [B, bins, T] and a filter bank [M, bins] -> natural log of the mel magnitudes [B, M, T]."""
    return (bank @ magnitude).clamp_min(_MEL_FLOOR).log()
