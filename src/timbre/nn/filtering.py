"""Time-varying filtering in the short-time Fourier domain with overlap-add, whole and in steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class FrameFilter(nn.Module):
    """Cut a source into windowed spectra, and add filtered spectra up to a wave again.

    Frame t is centred on sample t * hop_samples. Window: periodic Hann on both sides; the sum of squared windows, which
    repeats with the hop, is divided out, so an unfiltered source comes back exactly (away from the very first frame).
    """

    squared_sum: Tensor
    window: Tensor

    def __init__(self, n_fft: int, hop_samples: int) -> None:
        super().__init__()
        self.n_fft, self.hop_samples = n_fft, hop_samples
        window = torch.hann_window(n_fft, dtype=torch.float64)
        reach = -(-n_fft // hop_samples)
        padded = functional.pad(window**2, (0, reach * hop_samples - n_fft)).reshape(reach, hop_samples).sum(dim=0)
        # Sample n of the stretch that begins half a window before a frame centre meets these windows.
        self.register_buffer("squared_sum", padded.float(), persistent=False)
        self.register_buffer("window", window.float(), persistent=False)

    @property
    def half_window(self) -> int:
        """Samples that a frame reaches to each side of its centre."""
        return self.n_fft // 2

    def spectra(self, source: Tensor) -> Tensor:
        """[B, (T - 1) * hop + n_fft], from half a window before the first centre on -> complex [B, T, bins]."""
        spectra: Tensor = torch.fft.rfft(source.unfold(1, self.n_fft, self.hop_samples) * self.window)
        return spectra

    def add(self, spectra: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Add T frames onto `tail` [B, n_fft - hop].

        Returns the finished samples [B, T * hop], of which the first lies half a window before the first centre, and
        the next tail. The tail before the first frame is zero.
        """
        frames = torch.fft.irfft(spectra, n=self.n_fft) * self.window  # [B, T, n_fft]
        n_frames = frames.shape[1]
        length = (n_frames - 1) * self.hop_samples + self.n_fft
        added = functional.fold(
            frames.transpose(1, 2), (1, length), (1, self.n_fft), stride=(1, self.hop_samples)
        ).reshape(frames.shape[0], length)
        added = torch.cat((added[:, : tail.shape[1]] + tail, added[:, tail.shape[1] :]), dim=1)
        done = n_frames * self.hop_samples
        finished = added[:, :done].unflatten(1, (n_frames, self.hop_samples)) / self.squared_sum
        return finished.flatten(1), added[:, done:]
