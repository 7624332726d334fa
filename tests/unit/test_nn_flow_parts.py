"""Gated convolution stacks, couplings and weight norm."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from timbre.nn.coupling import Coupling, Flip
from timbre.nn.wavenet import GatedConvStack
from timbre.nn.weight_norm import current_name, fold_weight_norm, legacy_name

MASK = torch.tensor([[[1.0, 1, 1, 1, 1, 1, 1]], [[1.0, 1, 1, 1, 0, 0, 0]]])


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    torch.manual_seed(5)


def inputs(channels: int) -> tuple[Tensor, Tensor]:
    """Return x and a speaker, two sounds each."""
    return torch.randn(2, channels, 7), torch.randn(2, 3, 1)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("n_layers", [1, 3])
@torch.no_grad()
def test_gated_stack(n_layers: int, depthwise: bool) -> None:
    stack = GatedConvStack(4, n_layers, 3, depthwise=depthwise)
    x, speaker = inputs(4)
    y = stack(x, MASK, speaker)
    assert y.shape == x.shape
    assert not y[1, :, 4:].any()
    torch.testing.assert_close(stack(x, MASK, speaker.expand(-1, -1, 7)), y)
    assert not torch.allclose(stack(x, MASK, -speaker), y)


@torch.no_grad()
def test_gated_stack_by_definition() -> None:
    stack = GatedConvStack(4, 2, 3)
    x, speaker = inputs(4)
    conditions = stack.cond_layer(speaker)
    first = stack.in_layers[0](x) + conditions[:, :8]
    first = stack.res_skip_layers[0](torch.tanh(first[:, :4]) * torch.sigmoid(first[:, 4:]))
    second = stack.in_layers[1]((x + first[:, :4]) * MASK) + conditions[:, 8:]
    second = stack.res_skip_layers[1](torch.tanh(second[:, :4]) * torch.sigmoid(second[:, 4:]))
    torch.testing.assert_close(stack(x, MASK, speaker), (first[:, 4:] + second) * MASK)


@torch.no_grad()
def test_coupling_is_undone_by_its_reverse() -> None:
    layer = Coupling(6, 4, GatedConvStack(4, 2, 3))
    x, speaker = inputs(6)
    x = x * MASK
    torch.testing.assert_close(layer(x, MASK, speaker), x, rtol=0, atol=0)  # fresh
    nn.init.normal_(layer.post.weight)
    shifted = layer(x, MASK, speaker)
    torch.testing.assert_close(shifted[:, :3], x[:, :3], rtol=0, atol=0)
    assert not torch.allclose(shifted[:, 3:], x[:, 3:])
    torch.testing.assert_close(layer(shifted, MASK, speaker, reverse=True), x)


def test_flip_turns_all_channels_round() -> None:
    x, speaker = inputs(6)
    flip = Flip()
    assert torch.equal(flip(x, MASK, speaker), x[:, [5, 4, 3, 2, 1, 0]])
    assert torch.equal(flip(flip(x, MASK, speaker), MASK, speaker, reverse=True), x)


@pytest.mark.parametrize(
    ("current", "legacy"),
    [
        ("a.0.parametrizations.weight.original0", "a.0.weight_g"),
        ("a.0.parametrizations.weight.original1", "a.0.weight_v"),
        ("a.0.bias", "a.0.bias"),
        ("a.weight_gain", "a.weight_gain"),
    ],
)
def test_names_of_weight_norm(current: str, legacy: str) -> None:
    assert legacy_name(current) == legacy
    assert current_name(legacy) == current
    assert current_name(current) == current


@pytest.mark.parametrize("layer", [nn.Conv1d(3, 4, 5), nn.ConvTranspose1d(3, 4, 5)])
@torch.no_grad()
def test_fold_changes_nothing(layer: nn.Module) -> None:
    network = nn.Sequential(weight_norm(layer), nn.Conv1d(4, 2, 1))
    nn.init.normal_(network[0].parametrizations.weight.original0)
    gain, direction = network[0].parametrizations.weight.original0, network[0].parametrizations.weight.original1
    assert gain.shape == (len(direction), 1, 1)  # the norm is over all axes but the first, also where that is the input
    x = torch.randn(1, 3, 9)
    before = network(x)
    fold_weight_norm(network)
    assert torch.equal(network(x), before)
    assert set(network.state_dict()) == {"0.bias", "0.weight", "1.bias", "1.weight"}
    fold_weight_norm(network)  # a second time there is nothing to fold
