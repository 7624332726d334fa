"""Content encoders in a reduced type: how far their features are from the exact ones."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.content import hubert_network
from timbre.content.contract import ContentEncoder
from timbre.content.hubert import HubertEncoder
from timbre.content.hubert_network import (
    ConvFront,
    ConvLayer,
    ConvNorm,
    ConvSize,
    GroupNormLayer,
    HubertNetwork,
    HubertSizes,
    LayerSizes,
)
from timbre.content.reduced_transformer import ReducedFeedForward, ReducedSelfAttention, reduce_layers
from timbre.content.transformer import DistanceSizes, FeedForward, SelfAttention
from timbre.content.whisper import WhisperEncoder
from timbre.content.whisper_network import WhisperNetwork, WhisperSizes

LEAST_SNR_DB = 35.0
WIDTH, LAYERS = 48, 3
STRIDES, KERNELS = (5, 2, 2, 2, 2, 2, 2), (10, 3, 3, 3, 3, 2, 2)
CONVS = tuple(ConvSize(32, kernel, stride) for kernel, stride in zip(KERNELS, STRIDES, strict=True))
DISTANCES = DistanceSizes(16, 40, 3)
NUMBER_TYPES = pytest.mark.parametrize("number_type", [torch.bfloat16, torch.float16])


def snr_db(got: Tensor, exact: Tensor) -> float:
    """Compare features [.., T, C], the mean of each channel over time taken off."""
    error = (got - exact) - (got - exact).mean(dim=-2, keepdim=True)
    signal = exact - exact.mean(dim=-2, keepdim=True)
    return float(10 * torch.log10(signal.square().sum() / error.square().sum()))


def sound(n_samples: int = 16_000) -> Tensor:
    """Make a rising tone with harmonics, and some noise."""
    time = torch.arange(n_samples) / 16_000
    phase = 2 * torch.pi * (120 * time + 60 * time**2)
    tones = sum((torch.sin(k * phase) / k for k in range(1, 20)), torch.zeros(n_samples))
    return 0.1 * tones + 0.01 * torch.randn(n_samples, generator=torch.Generator().manual_seed(0))


def spread(network: nn.Module) -> nn.Module:
    """Give a new network weights with which sound is heard in all of its layers, and norms that are not plain."""
    generator = torch.Generator().manual_seed(1)
    for part in network.modules():
        if isinstance(part, (nn.Linear, nn.Conv1d)):
            part.weight.data = torch.randn(part.weight.shape, generator=generator) * part.weight[0].numel() ** -0.5
        elif isinstance(part, (nn.LayerNorm, nn.GroupNorm)):
            part.weight.data = 1 + 0.2 * torch.randn(part.weight.shape, generator=generator)
            part.bias.data = 0.2 * torch.randn(part.bias.shape, generator=generator)
    return network.eval().requires_grad_(False)


def hubert(
    norm: ConvNorm = "group", distances: DistanceSizes | None = None, layers: tuple[LayerSizes, ...] | None = None
) -> HubertNetwork:
    sizes = HubertSizes(
        convs=CONVS,
        conv_norm=norm,
        conv_bias=norm == "layer",
        width=WIDTH,
        head_width=16,
        layers=layers or (LayerSizes(3, 96),) * LAYERS,
        position_kernel=8,
        position_groups=2,
        norm_first=norm == "layer",
        distances=distances,
    )
    network = spread(HubertNetwork(sizes))
    assert isinstance(network, HubertNetwork)
    return network


def pruned() -> HubertNetwork:
    return hubert(distances=DISTANCES, layers=(LayerSizes(2, 96, (0, 2)), LayerSizes(0, 40), LayerSizes(3, 0)))


def whisper() -> WhisperEncoder:
    network = spread(WhisperNetwork(WhisperSizes(80, 100, WIDTH, LAYERS, 3, 96)))
    assert isinstance(network, WhisperNetwork)
    network.positions.data = torch.randn(100, WIDTH, generator=torch.Generator().manual_seed(2))
    return WhisperEncoder(network)


ENCODERS: dict[str, Callable[[], ContentEncoder]] = {
    "hubert": lambda: HubertEncoder(hubert()),
    "hubert large": lambda: HubertEncoder(hubert("layer")),
    "one layer": lambda: HubertEncoder(hubert(), 1),
    "wavlm": lambda: HubertEncoder(hubert(distances=DISTANCES)),
    "dphubert": lambda: HubertEncoder(pruned()),
    "whisper": whisper,
}


@NUMBER_TYPES
@pytest.mark.parametrize("name", ENCODERS)
def test_features_stay_near_the_exact_ones(name: str, number_type: torch.dtype) -> None:
    encoder, wave = ENCODERS[name](), sound()
    exact = encoder.encode(wave)
    encoder.reduce(number_type)
    reduced = encoder.encode(wave)
    assert reduced.dtype == torch.float32 and reduced.shape == exact.shape
    assert LEAST_SNR_DB <= snr_db(reduced, exact) < 80  # which exact arithmetic would exceed
    assert snr_db(reduced - reduced.mean(), exact - exact.mean()) >= LEAST_SNR_DB


@pytest.mark.parametrize("name", ["hubert", "wavlm", "whisper"])
@pytest.mark.parametrize("n_samples", [0, 400, 720])
def test_short_sounds_have_features(name: str, n_samples: int) -> None:
    encoder = ENCODERS[name]()
    exact = encoder.encode(sound(n_samples))
    encoder.reduce(torch.bfloat16)
    reduced = encoder.encode(sound(n_samples))
    assert (reduced - exact).square().mean() <= 1e-3 * exact.square().mean()


def test_each_wave_of_a_batch_is_on_its_own() -> None:
    network = hubert()
    network.reduce(torch.bfloat16)
    waves = torch.stack((sound(), 0.1 * sound().flip(0)))
    for wave, features in zip(waves, network.features(waves), strict=True):
        assert snr_db(features, network.features(wave[None])[0]) >= LEAST_SNR_DB


def test_half_of_the_memory_is_enough() -> None:
    network = hubert()

    def size(part: nn.Module) -> int:
        return sum(tensor.nbytes for tensor in part.state_dict().values())

    exact = size(network.layers)
    network.reduce(torch.bfloat16)
    assert size(network.layers) < 0.6 * exact


def test_only_large_convolutions_are_reduced() -> None:
    base = tuple(ConvSize(512, kernel, stride) for kernel, stride in zip(KERNELS, STRIDES, strict=True))
    with torch.device("meta"):
        front = ConvFront(HubertSizes(base, "layer", False, 768, 64, (), 128, 16, True))
    front.reduce(torch.bfloat16)
    types = [layer.conv.weight.dtype for layer in front.layers if isinstance(layer, ConvLayer)]
    assert types == [torch.float32, *[torch.bfloat16] * 3, *[torch.float32] * 3]


@pytest.mark.parametrize(
    ("layer", "reduce"),
    [(lambda: FeedForward(WIDTH, 96), ReducedFeedForward), (lambda: SelfAttention(WIDTH, 3, 16), ReducedSelfAttention)],
)
def test_what_frames_have_in_common_is_not_rounded(
    layer: Callable[[], nn.Module], reduce: Callable[[nn.Module, torch.dtype], nn.Module]
) -> None:
    """Frames that differ little from each other: rounding them as they are would leave next to nothing."""
    torch.manual_seed(0)
    x = 10 * torch.randn(1, 1, WIDTH) + 0.05 * torch.randn(1, 200, WIDTH)
    exact = layer().requires_grad_(False)
    plain = deepcopy(exact).to(torch.bfloat16)(x.to(torch.bfloat16)).float()
    reduced = reduce(exact, torch.bfloat16)(x)
    assert snr_db(reduced, exact(x)) > snr_db(plain, exact(x)) + 35


def test_layers_without_a_part_are_left_so() -> None:
    network = pruned()
    reduce_layers(network.layers, torch.bfloat16)
    present = [(layer.attention is not None, layer.feed_forward is not None) for layer in network.layers]
    assert present == [(True, True), (False, True), (True, False)]


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("n_samples", [400, 16_000, 16_319])
def test_blocks_of_the_wave_do_not_change_the_front(
    monkeypatch: pytest.MonkeyPatch, norm: ConvNorm, n_samples: int
) -> None:
    front, waves = hubert(norm).front, torch.stack((sound(n_samples), sound(n_samples).flip(0)))
    whole = front(waves)
    assert whole.shape == (2, (n_samples - 400) // 320 + 1, 32)
    monkeypatch.setattr(hubert_network, "_BLOCK_FRAMES", 7)
    torch.testing.assert_close(front(waves), whole)


@pytest.mark.parametrize("level", [0.0, 1e-6, 1.0])
@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("bias", [False, True])
def test_the_folded_group_norm_is_that_of_the_definition(level: float, offset: float, bias: bool) -> None:
    layer = spread(GroupNormLayer(ConvSize(16, 10, 5), bias=bias))
    assert isinstance(layer, GroupNormLayer)
    waves = torch.stack((level * sound() + offset, level * sound().flip(0).square()))
    exact = deepcopy(layer).double()
    expected = functional.gelu(exact.norm(exact.conv(waves.double().unsqueeze(1)))).transpose(1, 2)
    torch.testing.assert_close(layer(waves, layer.folded(waves)).double(), expected, rtol=1e-4, atol=1e-4)
