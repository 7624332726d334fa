"""A judge of log-mel spectrograms, for training only: patches of recordings against patches of what was made.

After Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (a judgement for each
patch), and Mao et al. 2017, "Least Squares Generative Adversarial Networks".
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

SLOPE = 0.2
MEL_SCALE = 4.0  # nats: about the standard deviation of a log-mel spectrogram
KERNEL = (5, 3)  # bands, frames
STRIDES = ((2, 1), (2, 1), (2, 2), (2, 1))


class MelDiscriminator(nn.Module):
    """Says of each patch of a spectrogram how much it is like a recording: near 1 for recordings, 0 for others.

    A patch has all bands and 0.15 s or so, so that timbre is judged and not what is said. The level does not count; a
    second channel tells where on the scale of bands a point is.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (2, channels, 2 * channels, 2 * channels, 4 * channels)
        padding = (KERNEL[0] // 2, KERNEL[1] // 2)
        self.layers = nn.ModuleList(
            [
                weight_norm(nn.Conv2d(below, above, KERNEL, stride, padding))
                for (below, above), stride in zip(itertools.pairwise(widths), STRIDES, strict=True)
            ]
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, KERNEL, padding=(0, padding[1])))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Log-mel spectrograms [B, T, 80] -> a judgement of each patch [B, patches]."""
        level = (log_mel - log_mel.mean(dim=(1, 2), keepdim=True)) / MEL_SCALE
        x = level.transpose(1, 2).unsqueeze(1)
        place = torch.linspace(-1, 1, x.shape[2], device=x.device).view(1, 1, -1, 1).expand_as(x)
        x = torch.cat((x, place), dim=1).contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), SLOPE)
        judged: Tensor = self.last(x)
        return judged.flatten(1).float()
