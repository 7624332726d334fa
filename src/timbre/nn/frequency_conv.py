"""Convolution with a long kernel as a product of spectra."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class FrequencyConv(nn.Module):
    """Convolution over a fixed number of positions, zeros around them, in the frequency domain.

    The same up to rounding as `torch.nn.functional.conv1d`, with a tenth of its products for 64 taps and 128 positions.
    Spectra are made by matrices, which for so few positions are as quick as an FFT and need no complex numbers.
    """

    forward_cosine_sine: Tensor
    inverse_cosine_sine: Tensor
    weight_real: Tensor
    weight_imaginary: Tensor

    def __init__(self, weight: Tensor, n_positions: int, n_before: int) -> None:
        """Weight [C_out, C_in, taps]; the first position hears `n_before` zeros first."""
        super().__init__()
        n_taps = weight.shape[-1]
        period = n_positions + max(n_before, n_taps - 1 - n_before)  # shorter, and positions would hear each other
        period += period % 2
        frequencies = torch.arange(period // 2 + 1)
        twice = 1 + (frequencies % (period // 2) != 0).to(weight)  # all but two stand for their negatives as well
        cosine, sine = _waves(frequencies, torch.arange(n_positions), period, weight)
        self.register_buffer("forward_cosine_sine", torch.cat((cosine, -sine)))
        self.register_buffer("inverse_cosine_sine", torch.cat((cosine.T * twice, -sine.T * twice), dim=1) / period)
        cosine, sine = _waves(frequencies, torch.arange(n_taps) - n_before, period, weight)
        taps = weight.permute(2, 1, 0).flatten(1)
        self.register_buffer("weight_real", (cosine @ taps).unflatten(1, (weight.shape[1], -1)))
        self.register_buffer("weight_imaginary", (sine @ taps).unflatten(1, (weight.shape[1], -1)))

    def forward(self, x: Tensor) -> Tensor:
        """[positions, B, C_in] -> [positions, B, C_out]."""
        n_batch = x.shape[1]
        spectrum = (self.forward_cosine_sine @ x.flatten(1)).unflatten(1, (n_batch, -1))  # [2 F, B, C_in]
        real, imaginary = spectrum.chunk(2)
        product = torch.cat(
            (
                torch.baddbmm(imaginary @ self.weight_imaginary, real, self.weight_real, beta=-1),
                torch.baddbmm(imaginary @ self.weight_real, real, self.weight_imaginary),
            )
        )
        out: Tensor = (self.inverse_cosine_sine @ product.flatten(1)).unflatten(1, (n_batch, -1))
        return out


def _waves(frequencies: Tensor, places: Tensor, period: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of each frequency, in waves per period, at each place: both [F, places]."""
    angles = torch.outer(frequencies, places).remainder(period).double() * (2 * math.pi / period)
    return angles.cos().to(like), angles.sin().to(like)
