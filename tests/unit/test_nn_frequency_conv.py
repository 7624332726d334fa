"""Convolution by spectra: the same as by definition."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from timbre.nn.frequency_conv import FrequencyConv


@pytest.mark.parametrize(
    ("n_positions", "n_taps", "n_before"),
    [(128, 64, 31), (8, 64, 31), (9, 5, 0), (9, 5, 4), (7, 1, 0), (1, 3, 1), (1, 1, 0)],
)
@pytest.mark.parametrize("n_batch", [1, 3])
def test_it_is_the_convolution(n_positions: int, n_taps: int, n_before: int, n_batch: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, n_taps, generator=generator, dtype=torch.float64)
    x = torch.randn(n_positions, n_batch, 3, generator=generator, dtype=torch.float64)
    padded = functional.pad(x.permute(1, 2, 0), (n_before, n_taps - 1 - n_before))
    expected = functional.conv1d(padded, weight).permute(2, 0, 1)
    torch.testing.assert_close(FrequencyConv(weight, n_positions, n_before)(x), expected, rtol=0, atol=1e-11)


def test_single_precision_stays_single_and_accurate() -> None:
    generator = torch.Generator().manual_seed(1)
    weight, x = torch.randn(5, 16, 64, generator=generator), torch.randn(128, 2, 16, generator=generator)
    got, exact = FrequencyConv(weight, 128, 31)(x), FrequencyConv(weight.double(), 128, 31)(x.double())
    assert got.dtype == torch.float32
    assert (got - exact).abs().max() <= 2e-6 * exact.abs().max()
