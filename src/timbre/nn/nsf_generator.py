"""The wave generator of so-vits-svc and of nsf_hifigan: HiFi-GAN with a harmonic source (models spec 4 and 10.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from operator import mul

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from timbre.errors import SettingsError
from timbre.nn.draws import Draws
from timbre.nn.generator_blocks import (
    PairedResidualBlock,
    RowConv,
    RowConvTranspose,
    SingleResidualBlock,
    activation,
    add_part,
    reach_samples,
    same_conv,
)
from timbre.nn.harmonic_source import HarmonicSource, SourceForm

LAST_LEAK = 0.01  # of the last activation only (models spec 14.1.1)
Cut = tuple[int, int]  # frames at the left and at the right
_OUTER_KERNEL = 7
BLOCK_FRAMES = 96  # measured: fewer repeat too much context, of more the last block wastes too many


class NsfGenerator(nn.Module):
    """Latent frames and an excitation -> wave; modules are defined in the order of existing optimizer states.

    Without `speaker_channels` there is no speaker condition, as in the vocoder. `snake` replaces the leaky ReLUs. Sums,
    excitation and last layer stay in float32 under autocast. The paddings that the synthesizer and the vocoder round
    differently agree for every shape that either can render. `blockwise` may be set to False for a graph without
    loops. Raises SettingsError for sizes that do not fit each other.
    """

    blockwise = True

    def __init__(
        self,
        *,
        in_channels: int,
        upsample_rates: Sequence[int],
        upsample_kernel_sizes: Sequence[int],
        upsample_initial_channel: int,
        resblock: str,
        resblock_kernel_sizes: Sequence[int],
        resblock_dilation_sizes: Sequence[Sequence[int]],
        speaker_channels: int | None = None,
        snake: bool = False,
    ) -> None:
        super().__init__()
        block = PairedResidualBlock if resblock == "1" else SingleResidualBlock
        _check_upsampling(upsample_rates, upsample_kernel_sizes, upsample_initial_channel)
        _check_resblocks(resblock_kernel_sizes, resblock_dilation_sizes, block.n_dilations)
        self._rates, self._kernels = tuple(upsample_rates), tuple(upsample_kernel_sizes)
        self._snake, self._n_blocks = snake, len(resblock_kernel_sizes)  # of each stage
        self.stage_samples = list(accumulate(upsample_rates, mul))  # for each frame, after each stage
        self.samples_per_frame = self.stage_samples[-1]
        widths = [upsample_initial_channel // 2**stage for stage in range(len(upsample_rates) + 1)]

        self.m_source = HarmonicSource(self.samples_per_frame)
        self.noise_convs = nn.ModuleList(
            _noise_conv(width, math.prod(upsample_rates[stage:])) for stage, width in enumerate(widths[1:], start=1)
        )
        self.conv_pre = same_conv(in_channels, widths[0], _OUTER_KERNEL)
        self.ups = nn.ModuleList(
            weight_norm(RowConvTranspose(width, below, kernel, stride=rate, padding=(kernel - rate) // 2))
            for width, below, kernel, rate in zip(
                widths[:-1], widths[1:], upsample_kernel_sizes, upsample_rates, strict=True
            )
        )
        self.resblocks = nn.ModuleList(
            block(width, kernel, dilations[: block.n_dilations], snake=snake)
            for width in widths[1:]
            for kernel, dilations in zip(resblock_kernel_sizes, resblock_dilation_sizes, strict=True)
        )
        self.snakes = nn.ModuleList(activation(width, snake=snake, inplace=True) for width in widths[:-1])
        self.snake_post = activation(widths[-1], snake=snake, leak=LAST_LEAK, inplace=True)
        self.conv_post = same_conv(widths[-1], 1, _OUTER_KERNEL)
        self.cond = None if speaker_channels is None else nn.Conv1d(speaker_channels, widths[0], 1)

    def excitation(
        self,
        f0_hz: Tensor,
        draws: Draws,
        sample_rate_hz: int,
        form: SourceForm = "stable",
        start_cycles: Tensor | None = None,
    ) -> Tensor:
        """f0 [B, T] in Hz -> [B, 1, T * samples_per_frame]; see `HarmonicSource.forward`."""
        with _exact(f0_hz):
            excitation: Tensor = self.m_source(f0_hz, draws, sample_rate_hz, form, start_cycles)
        return excitation

    def forward(
        self, latent: Tensor, excitation: Tensor, speaker: Tensor | None = None, block_frames: int = BLOCK_FRAMES
    ) -> Tensor:
        """Latent [B, in_channels, T], excitation [B, 1, L], speaker [B, G, 1 or T] -> wave [B, 1, L] within -1..1.

        L is T * samples_per_frame. Without gradients it works on blocks of `block_frames` with all the context they
        see, so that the memory stays small and the result does not depend on the blocks; with gradients it runs whole.
        """
        n_frames, rate = latent.shape[-1], self.samples_per_frame
        if excitation.shape[-1] != n_frames * rate:
            raise ValueError(f"{n_frames} frames need {n_frames * rate} samples of excitation")
        if (speaker is None) != (self.cond is None):
            raise ValueError("a speaker goes with a generator that has a speaker condition")
        latent_row, excitation_row = latent.unsqueeze(2), excitation.unsqueeze(2)
        if latent.device.type == "cpu" and self.blockwise and not self._snake:
            # All that follows takes over this layout, in which processors are quickest.
            latent_row = latent_row.contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled() or not self.blockwise:
            return self._render(latent_row, excitation_row, speaker, [(0, 0)] * (len(self.ups) + 1)).squeeze(2)
        return in_blocks(self._render, latent_row, excitation_row, speaker, self.reaches_frames(), block_frames)

    def reaches_frames(self) -> list[int]:
        """Return how many frames the output depends on, at most, to each side of its own.

        First of the latent, then of what each stage makes.
        """
        reach = reach_samples(self.conv_post) + reach_samples(self.snake_post)
        reaches = [_ceil_div(reach, self.samples_per_frame)]
        for stage in reversed(range(len(self.ups))):
            reach += max(map(reach_samples, self.stage_blocks(stage)))
            # A noise convolution sees less than two of the stage's samples.
            reach = _ceil_div(reach + max(self._kernels[stage], 2), self._rates[stage])
            reach += reach_samples(self.snakes[stage])
            reaches.append(_ceil_div(reach, self.stage_samples[stage] // self._rates[stage]))
        reaches[-1] += reach_samples(self.conv_pre)
        return reaches[::-1]

    def _render(self, latent: Tensor, excitation: Tensor, speaker: Tensor | None, cuts: Sequence[Cut]) -> Tensor:
        x: Tensor = self.conv_pre(latent)
        if self.cond is not None:
            x = x + self.cond(speaker).unsqueeze(2)
        for stage, (before, up, noise_conv) in enumerate(zip(self.snakes, self.ups, self.noise_convs, strict=True)):
            with _exact(x):
                noise = noise_conv(excitation)
            x = add_part(noise, up(before(x)))
            first, *others = self.stage_blocks(stage)
            total = first(x)
            for block in others:
                total += block(x)
            x = cut(total.div_(self._n_blocks), cuts[stage], self.stage_samples[stage])
            excitation = cut(excitation, cuts[stage], self.samples_per_frame)
        with _exact(x):
            wave = torch.tanh(self.conv_post(self.snake_post(x)))
        return cut(wave, cuts[-1], self.samples_per_frame)

    def stage_blocks(self, stage: int) -> nn.ModuleList:
        """Return the residual blocks of one stage, which work side by side."""
        return self.resblocks[stage * self._n_blocks : (stage + 1) * self._n_blocks]


def _exact(like: Tensor) -> torch.autocast:
    """Compute in float32 where training computes in a reduced type, whose noise quiet sounds would show."""
    return torch.autocast(like.device.type, enabled=False)


def in_blocks(
    render: Callable[[Tensor, Tensor, Tensor | None, Sequence[Cut]], Tensor],
    latent: Tensor,
    excitation: Tensor,
    speaker: Tensor | None,
    reaches_frames: Sequence[int],
    block_frames: int,
) -> Tensor:
    """Render rows (latent [B, C, 1, T], excitation [B, 1, 1, L]) in blocks of frames: wave [B, 1, L].

    Each block comes with its surroundings. `render` is told how many frames to cut off after each stage and at the
    end, so that each stage works on no more than what the rest depends on, `reaches_frames`. In a sound longer than a
    block and its surroundings, all blocks are of one length: at the ends they reach farther inward, and the last one
    repeats a part of the one before. A processor prepares its convolutions anew, in seconds and hundreds of megabytes,
    for each length that it has not met.
    """
    n_frames = latent.shape[-1]
    rate = excitation.shape[-1] // n_frames
    parts = []
    for start in range(0, n_frames, block_frames):
        spans = [_span(start, block_frames, n, n_frames) for n in (*reaches_frames, 0)]
        cuts = [(inner[0] - outer[0], outer[1] - inner[1]) for outer, inner in pairwise(spans)]
        first, last = spans[0]
        heard = speaker if speaker is None or speaker.shape[-1] == 1 else speaker[..., first:last]
        wave = render(latent[..., first:last], excitation[..., first * rate : last * rate], heard, cuts)
        parts.append(wave[..., (start - spans[-1][0]) * rate :])
    return torch.cat(parts, dim=-1).squeeze(2)


def _span(start: int, size: int, reach: int, n_frames: int) -> Cut:
    """Return the frames of a block with `reach` more on both sides, moved inside the sound of `n_frames`."""
    length = min(size + 2 * reach, n_frames)
    first = min(max(0, start - reach), n_frames - length)
    return first, first + length


def cut(x: Tensor, frames: Cut, samples_per_frame: int) -> Tensor:
    """Cut `frames` off both ends of x [..., T * samples_per_frame]."""
    left, right = (n * samples_per_frame for n in frames)
    return x[..., left : x.shape[-1] - right] if left or right else x


def _ceil_div(amount: int, size: int) -> int:
    return -(-amount // size)


def _noise_conv(width: int, stride: int) -> RowConv:
    """Make the convolution that brings the excitation to a stage whose rate is `stride` times lower."""
    if stride == 1:
        return RowConv(1, width, 1)
    return RowConv(1, width, 2 * stride, stride=stride, padding=(stride + 1) // 2)


def _check_upsampling(rates: Sequence[int], kernels: Sequence[int], initial_channels: int) -> None:
    if not rates or len(rates) != len(kernels):
        raise SettingsError(
            f"the generator has {len(rates)} upsample_rates and {len(kernels)} upsample_kernel_sizes; "
            "it needs at least one and as many of both"
        )
    for rate, kernel in zip(rates, kernels, strict=True):
        if rate < 1 or kernel < rate or (kernel - rate) % 2:
            raise SettingsError(
                f"upsample_kernel_sizes has {kernel} for the rate {rate}; it must be at least the rate and, like it, "
                f"{'odd' if rate % 2 else 'even'}"
            )
    if initial_channels < 2 ** len(rates):
        raise SettingsError(
            f"upsample_initial_channel is {initial_channels}; halved {len(rates)} times it must leave at least 1"
        )


def _check_resblocks(kernels: Sequence[int], dilations: Sequence[Sequence[int]], n_dilations: int) -> None:
    if not kernels or min(kernels) < 1 or any(kernel % 2 == 0 for kernel in kernels):
        raise SettingsError(f"resblock_kernel_sizes is {list(kernels)}; it must hold odd numbers")
    if len(dilations) != len(kernels) or any(len(each) < n_dilations or min(each) < 1 for each in dilations):
        raise SettingsError(
            f"resblock_dilation_sizes must hold {n_dilations} or more dilations for each of the {len(kernels)} "
            f"kernels, not {[list(each) for each in dilations]}"
        )
