"""The NSF generator in reduced precision, several times faster where the device has units for it.

Convolutions run in the reduced type; sums along the residual paths, the excitation and the last convolution stay in
float32, which keeps the difference to the exact result at about -40 dB.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.nn.draws import Draws
from timbre.nn.generator_blocks import LEAK, PairedResidualBlock, SingleResidualBlock
from timbre.nn.harmonic_source import SourceForm
from timbre.nn.nsf_generator import BLOCK_FRAMES, LAST_LEAK, Cut, NsfGenerator, cut, in_blocks


class ReducedConv(nn.Module):
    """A convolution over time in a reduced type: [B, C, 1, L], channels last, to the same."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Module, number_type: torch.dtype) -> None:
        super().__init__()
        assert isinstance(conv, nn.Conv1d | nn.ConvTranspose1d)
        weight = conv.weight.detach().unsqueeze(2).to(number_type)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last), persistent=False)
        bias = None if conv.bias is None else conv.bias.detach().to(number_type)
        self.register_buffer("bias", bias, persistent=False)
        self._stride, self._padding, self._dilation = (
            (int(each[0])) for each in (conv.stride, conv.padding, conv.dilation)
        )
        self._transposed = isinstance(conv, nn.ConvTranspose1d)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, 1, L] -> [B, C_out, 1, L']."""
        stride, padding = (1, self._stride), (0, self._padding)
        if self._transposed:
            return functional.conv_transpose2d(x, self.weight, self.bias, stride, padding)
        return functional.conv2d(x, self.weight, self.bias, stride, padding, (1, self._dilation))


class _ReducedBlock(nn.Module):
    """A residual block of either type; activations in the reduced type, sums in float32."""

    def __init__(self, block: nn.Module, number_type: torch.dtype) -> None:
        super().__init__()
        if isinstance(block, PairedResidualBlock):
            convs = [conv for pair in zip(block.convs1, block.convs2, strict=True) for conv in pair]
        else:
            assert isinstance(block, SingleResidualBlock)
            convs = list(block.convs)
        self.convs = nn.ModuleList(ReducedConv(conv, number_type) for conv in convs)
        self._step_convs = len(convs) // block.n_dilations  # between one sum and the next

    def forward(self, x: Tensor, activated: Tensor) -> Tensor:
        """x float32 and its activation in the reduced type, both [B, C, 1, L] -> float32 [B, C, 1, L]."""
        total = x
        for start in range(0, len(self.convs), self._step_convs):
            first, *others = self.convs[start : start + self._step_convs]
            part = first(activated if start == 0 else _activated(total, activated.dtype))
            for conv in others:
                part = conv(functional.leaky_relu_(part, LEAK))
            total = torch.add(total, part) if start == 0 else total.add_(part)
        return total


class ReducedNsfGenerator(nn.Module):
    """Renders what `generator`, whose weight norm is folded, would render; for inference only, and not for snakes."""

    def __init__(self, generator: NsfGenerator, number_type: torch.dtype) -> None:
        super().__init__()
        self.m_source, self.cond, self.noise_convs = generator.m_source, generator.cond, generator.noise_convs
        self.conv_post = generator.conv_post
        self.conv_pre = ReducedConv(generator.conv_pre, number_type)
        self.ups = nn.ModuleList(ReducedConv(up, number_type) for up in generator.ups)
        self.resblocks = nn.ModuleList(_ReducedBlock(block, number_type) for block in generator.resblocks)
        self.samples_per_frame, self._stage_samples = generator.samples_per_frame, generator.stage_samples
        self._reaches_frames, self._number_type = generator.reaches_frames(), number_type

    def excitation(
        self,
        f0_hz: Tensor,
        draws: Draws,
        sample_rate_hz: int,
        form: SourceForm = "stable",
        start_cycles: Tensor | None = None,
    ) -> Tensor:
        """f0 [B, T] in Hz -> [B, 1, T * samples_per_frame], float32; see `HarmonicSource.forward`."""
        excitation: Tensor = self.m_source(f0_hz, draws, sample_rate_hz, form, start_cycles)
        return excitation

    @torch.inference_mode()
    def forward(self, latent: Tensor, excitation: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Latent [B, in_channels, T], excitation [B, 1, L], speaker [B, G, 1 or T] -> wave [B, 1, L], float32."""
        row = latent.unsqueeze(2).to(self._number_type, memory_format=torch.channels_last)
        return in_blocks(self._render, row, excitation.unsqueeze(2), speaker, self._reaches_frames, BLOCK_FRAMES)

    def _render(self, latent: Tensor, excitation: Tensor, speaker: Tensor | None, cuts: Sequence[Cut]) -> Tensor:
        x = self.conv_pre(latent).float()
        if self.cond is not None:
            x += self.cond(speaker).unsqueeze(2)
        n_blocks = len(self.resblocks) // len(self.ups)
        for stage, (up, noise_conv) in enumerate(zip(self.ups, self.noise_convs, strict=True)):
            noise = noise_conv(excitation).contiguous(memory_format=torch.channels_last)
            x = noise.add_(up(_activated(x, self._number_type)))
            activated = _activated(x, self._number_type)
            first, *others = self.resblocks[stage * n_blocks : (stage + 1) * n_blocks]
            total = first(x, activated)
            for block in others:
                total += block(x, activated)
            x = cut(total.div_(n_blocks), cuts[stage], self._stage_samples[stage])
            excitation = cut(excitation, cuts[stage], self.samples_per_frame)
        wave = torch.tanh(self.conv_post(functional.leaky_relu_(x, LAST_LEAK)))
        return cut(wave, cuts[-1], self.samples_per_frame)


def _activated(x: Tensor, number_type: torch.dtype) -> Tensor:
    """Return the leaky ReLU of x in another type; x stays as it is."""
    return functional.leaky_relu_(x.to(number_type), LEAK)
