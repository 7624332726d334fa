"""Convolution over frames with their channels together: the same as `nn.Conv1d`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from timbre.nn.channels_last import ChannelsLastConv, order_weights


@pytest.mark.parametrize("n_frames", [1, 7, 20])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "groups", "bias"),
    [(1, 1, 0, 1, True), (3, 2, 1, 1, False), (4, 1, 2, 2, True), (5, 1, 2, 4, True)],
)
def test_it_is_the_convolution(n_frames: int, kernel: int, stride: int, padding: int, groups: int, bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Conv1d(4, 8, kernel, stride, padding, groups=groups, bias=bias)
    conv = ChannelsLastConv(4, 8, kernel, stride, padding, groups=groups, bias=bias)
    conv.load_state_dict(plain.state_dict())
    x = torch.randn(2, n_frames, 4)
    expected = plain(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(conv(x), expected)
    order_weights(nn.Sequential(conv))
    torch.testing.assert_close(conv(x), expected)


def test_weights_are_laid_out_once() -> None:
    conv = ChannelsLastConv(4, 8, 3)
    before = conv.weight.detach().clone()
    order_weights(conv)
    assert torch.equal(conv.weight, before)
    assert conv.weight.unsqueeze(2).is_contiguous(memory_format=torch.channels_last)
    assert conv.to(torch.bfloat16).weight.unsqueeze(2).is_contiguous(memory_format=torch.channels_last)


def test_the_type_is_that_of_the_weights() -> None:
    conv = ChannelsLastConv(4, 8, 3, padding=1).to(torch.bfloat16)
    assert conv(torch.zeros(1, 5, 4)).dtype == torch.bfloat16
