"""Magnitude spectra of overlapping frames, in blocks of frames so that long sounds need little memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from timbre.errors import AudioError

_BLOCK_FRAMES = 2048


def reflect_pad(wave: Tensor, left: int, right: int) -> Tensor:
    """Mirror [..., N] at its ends (the end sample itself is not repeated): [..., left + N + right].

    Raises AudioError when the wave is not longer than the padding.
    """
    n_samples = wave.shape[-1]
    if max(left, right) >= n_samples:
        raise AudioError(
            f"a sound of {n_samples} samples cannot be mirrored by {max(left, right)} samples; use a longer one"
        )
    head = wave[..., 1 : left + 1].flip(-1)
    tail = wave[..., n_samples - 1 - right : n_samples - 1].flip(-1)
    return torch.cat((head, wave, tail), dim=-1)


def stft_magnitude_blocks(
    padded: Tensor, n_fft: int, hop_samples: int, window_samples: int | None = None
) -> Iterator[Tensor]:
    """Yield blocks [B, n_fft // 2 + 1, frames] of the magnitude spectra of `padded` [B, N].

    Frame t covers the samples t * hop_samples ... + n_fft under a periodic Hann window, which may be shorter than
    they and then stands in their middle; there are (N - n_fft) // hop_samples + 1 frames in all and the caller pads.
    """
    window_samples = n_fft if window_samples is None else window_samples
    window = torch.hann_window(window_samples, dtype=padded.dtype, device=padded.device)
    before = (n_fft - window_samples) // 2
    window = functional.pad(window, (before, n_fft - window_samples - before))
    n_frames = max(0, (padded.shape[-1] - n_fft) // hop_samples + 1)
    for first in range(0, n_frames, _BLOCK_FRAMES):
        count = min(_BLOCK_FRAMES, n_frames - first)
        piece = padded[..., first * hop_samples : (first + count - 1) * hop_samples + n_fft]
        frames = piece.unfold(-1, n_fft, hop_samples) * window
        yield torch.fft.rfft(frames).abs().transpose(-1, -2)


def stft_magnitude(padded: Tensor, n_fft: int, hop_samples: int, window_samples: int | None = None) -> Tensor:
    """Return all magnitude spectra of `padded` [B, N] at once: [B, n_fft // 2 + 1, T]; the caller pads."""
    blocks = list(stft_magnitude_blocks(padded, n_fft, hop_samples, window_samples))
    if not blocks:
        return padded.new_zeros(padded.shape[0], n_fft // 2 + 1, 0)
    return torch.cat(blocks, dim=-1)
