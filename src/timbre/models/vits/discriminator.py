"""Six discriminators of so-vits-svc training: of the wave, and of the wave folded by five periods (models spec 6.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize, spectral_norm
from torch.nn.utils.parametrizations import weight_norm

_PERIODS = (2, 3, 5, 7, 11)  # samples
_SLOPE = 0.1
_SCALE_LAYERS = (  # in channels, out channels, kernel, stride, groups
    (1, 16, 15, 1, 1),
    (16, 64, 41, 4, 4),
    (64, 256, 41, 4, 16),
    (256, 1024, 41, 4, 64),
    (1024, 1024, 41, 4, 256),
    (1024, 1024, 5, 1, 1),
)
_PERIOD_LAYERS = ((1, 32, 3), (32, 128, 3), (128, 512, 3), (512, 1024, 3), (1024, 1024, 1))  # in, out, stride

_Norm = Callable[[nn.Module], nn.Module]


class Judgements(NamedTuple):
    """What all discriminators say of a real and a generated wave, in their order."""

    real_outputs: list[Tensor]  # each [B, n]
    fake_outputs: list[Tensor]
    real_maps: list[list[Tensor]]  # of each discriminator, one [B, C, ...] for each layer
    fake_maps: list[list[Tensor]]


class SubDiscriminator(nn.Module):
    """A stack of convolutions over the wave, or over the wave folded into columns of `period` samples."""

    def __init__(self, convs: list[nn.Module], conv_post: nn.Module, period: int | None) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.conv_post = conv_post
        self._period = period

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, 1, L] -> outputs [B, n] and the map of each layer."""
        x = wave if self._period is None else _fold(wave, self._period)
        maps = []
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), _SLOPE)
            maps.append(x)
        x = self.conv_post(x)
        return x.flatten(1), [*maps, x]


class MultiPeriodDiscriminator(nn.Module):
    """All six discriminators; keys `discriminators.0` (scale) and `.1` to `.5` (periods 2, 3, 5, 7 and 11)."""

    _counts_calls = False  # spectral norm refines its estimate with each call

    def __init__(self, *, use_spectral_norm: bool = False) -> None:
        super().__init__()
        self._counts_calls = use_spectral_norm
        norm = spectral_norm if use_spectral_norm else weight_norm
        periods = (_period_discriminator(period, norm) for period in _PERIODS)
        self.discriminators = nn.ModuleList([_scale_discriminator(norm), *periods])

    def forward(self, real: Tensor, fake: Tensor) -> Judgements:
        """Judge real and generated waves, each [B, 1, L] of at least 11 samples."""
        if self._counts_calls:
            return self._judge(real, fake)
        if fake.requires_grad:  # gradients pass through the judgement of one of them only
            with parametrize.cached():
                return self._judge(real, fake)
        return self._judge_together(real, fake)

    def _judge(self, real: Tensor, fake: Tensor) -> Judgements:
        judgements = Judgements([], [], [], [])
        for discriminator in self.discriminators:
            for wave, outputs, maps in (
                (real, judgements.real_outputs, judgements.real_maps),
                (fake, judgements.fake_outputs, judgements.fake_maps),
            ):
                output, layers = discriminator(wave)
                outputs.append(output)
                maps.append(layers)
        return judgements

    def _judge_together(self, real: Tensor, fake: Tensor) -> Judgements:
        judgements = Judgements([], [], [], [])
        for discriminator in self.discriminators:
            output, layers = discriminator(torch.cat((real, fake)))
            for part, outputs, maps in (
                (slice(len(real)), judgements.real_outputs, judgements.real_maps),
                (slice(len(real), None), judgements.fake_outputs, judgements.fake_maps),
            ):
                outputs.append(output[part])
                maps.append([layer[part] for layer in layers])
        return judgements


def _scale_discriminator(norm: _Norm) -> SubDiscriminator:
    convs = [
        norm(nn.Conv1d(in_channels, out_channels, kernel, stride, groups=groups, padding=kernel // 2))
        for in_channels, out_channels, kernel, stride, groups in _SCALE_LAYERS
    ]
    return SubDiscriminator(convs, norm(nn.Conv1d(1024, 1, 3, padding=1)), None)


def _period_discriminator(period: int, norm: _Norm) -> SubDiscriminator:
    convs = [
        norm(nn.Conv2d(in_channels, out_channels, (5, 1), (stride, 1), padding=(2, 0)))
        for in_channels, out_channels, stride in _PERIOD_LAYERS
    ]
    return SubDiscriminator(convs, norm(nn.Conv2d(1024, 1, (3, 1), padding=(1, 0))), period)


def _fold(wave: Tensor, period: int) -> Tensor:
    """[B, 1, L] -> [B, 1, ceil(L / period), period]; the last row is completed by mirroring."""
    missing = -wave.shape[-1] % period
    padded = functional.pad(wave, (0, missing), mode="reflect")
    return padded.reshape(*wave.shape[:-1], -1, period)
