"""Folding batch norms into the convolutions before them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from timbre.nn.batch_norm import fold_batch_norms


def settled(network: nn.Module) -> nn.Module:
    """Give the batch norms statistics of a training, one gain of them negative."""
    generator = torch.Generator().manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_mean):
                assert tensor is not None
                tensor.data = torch.randn(tensor.shape, generator=generator)
            part.running_var = torch.rand(part.num_features, generator=generator) + 0.1
    return network.eval().requires_grad_(False)


def n_norms(network: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in network.modules())


@pytest.mark.parametrize("bias", [True, False])
def test_the_output_stays(bias: bool) -> None:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.ConvTranspose2d(6, 3, 3, stride=2, bias=bias), nn.BatchNorm2d(3))
    network = settled(nn.Sequential(nn.Conv2d(2, 6, 3, bias=bias), nn.BatchNorm2d(6), nn.ReLU(), inner))
    x = torch.randn(2, 2, 9, 8)
    expected = network(x)
    fold_batch_norms(network)
    assert n_norms(network) == 0
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)


def test_a_norm_that_follows_something_else_stays() -> None:
    torch.manual_seed(0)
    network = settled(nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)))
    x = torch.randn(1, 2, 4, 4)
    expected = network(x)
    fold_batch_norms(network)
    assert n_norms(network) == 2
    assert torch.equal(network(x), expected)


def test_a_norm_without_statistics_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match="without statistics"):
        fold_batch_norms(network)


def test_the_layout_of_a_kernel_stays() -> None:
    network = settled(nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6)).to(memory_format=torch.channels_last))
    fold_batch_norms(network)
    assert next(network.parameters()).is_contiguous(memory_format=torch.channels_last)
