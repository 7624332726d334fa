"""A convolution over frames that works whole and in steps.

The step rule: outputs appear as soon as all frames they look at have arrived. A fresh state holds the zeros that the
whole form pads on the left; `flush` feeds the zeros that the whole form pads on the right. Hence the concatenated
outputs of any sequence of steps and one flush equal the whole form.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SHORT_FRAMES = 16


class FrameConv(nn.Module):
    """Convolution along T of [B, T, C] with a fixed look-ahead in frames (0 = causal).

    The weight is [out, kernel, in]: without a copy that is the channels-last weight of a 2-D convolution of height 1,
    which is fastest for many frames, and the matrix of a linear layer over the taps, which is fastest for few.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_frames: int, *, dilation: int = 1, lookahead_frames: int = 0
    ) -> None:
        super().__init__()
        self.dilation = dilation
        self.span_frames = (kernel_frames - 1) * dilation
        self.lookahead_frames = lookahead_frames
        if not 0 <= lookahead_frames <= self.span_frames:
            raise ValueError(f"lookahead_frames is {lookahead_frames}; the kernel spans {self.span_frames} frames")
        self.weight = nn.Parameter(torch.empty(out_channels, kernel_frames, in_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C_in] -> [B, T, C_out]."""
        return self._valid(functional.pad(x, (0, 0, self.span_frames - self.lookahead_frames, self.lookahead_frames)))

    def fresh_state(self, batch: int, like: Tensor) -> Tensor:
        """Return the state before the first frame: the zeros on the left [B, left, C_in], typed as `like`."""
        return like.new_zeros(batch, self.span_frames - self.lookahead_frames, self.weight.shape[2])

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """[B, n, C_in] -> ([B, m, C_out], next state), where m < n only while the look-ahead fills."""
        x = torch.cat((state, x), dim=1)
        if x.shape[1] <= self.span_frames:
            return x.new_zeros(x.shape[0], 0, self.weight.shape[0]), x
        return self._valid(x), x[:, x.shape[1] - self.span_frames :]

    def flush(self, state: Tensor) -> Tensor:
        """Return the last outputs [B, m, C_out] once no frame will follow."""
        return self.step(state.new_zeros(state.shape[0], self.lookahead_frames, state.shape[2]), state)[0]

    def _valid(self, x: Tensor) -> Tensor:
        """[B, T + span, C_in] -> [B, T, C_out]."""
        n_frames, kernel_frames = x.shape[1] - self.span_frames, self.weight.shape[1]
        if n_frames <= SHORT_FRAMES:
            taps = [x[:, tap * self.dilation : tap * self.dilation + n_frames] for tap in range(kernel_frames)]
            return functional.linear(torch.cat(taps, dim=2), self.weight.flatten(1), self.bias)
        weight = self.weight.transpose(1, 2).unsqueeze(2)  # [out, in, 1, kernel], channels last in memory
        y = functional.conv2d(x.transpose(1, 2).unsqueeze(2), weight, self.bias, dilation=(1, self.dilation))
        return y.squeeze(2).transpose(1, 2)
