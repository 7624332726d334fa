"""Change the rate of a stretch of sound as a whole, on tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def stretch_time(x: Tensor, length: int) -> Tensor:
    """Resample [B, N] to [B, length] by cutting or extending its spectrum."""
    if x.shape[1] == length:
        return x
    spectrum = torch.fft.rfft(x)
    bins = length // 2 + 1
    spectrum = functional.pad(spectrum, (0, max(0, bins - spectrum.shape[1])))[:, :bins]
    stretched: Tensor = torch.fft.irfft(spectrum, n=length) * (length / x.shape[1])
    return stretched
