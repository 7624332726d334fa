"""Take what is left of the source's voice out of its content.

What a content encoder still tells of a voice is mostly constant, so it shows in the mean over many sounds. A running
mean of the source's louder frames is brought to the mean of the voice's reference. Where the source has not yet said
much, or holds one vowel, its mean tells of the sound and not of the voice; then little is moved.
"""

from __future__ import annotations

import torch
from torch import Tensor

TRUST_FRAMES = 30  # loud frames after which half of the difference is trusted
VARIETY_POWER = 4


def _variety(mean: Tensor) -> Tensor:
    """Return how different the frames are whose mean is `mean` [..., C]: 0 all the same, at most 1.

    Content is normalised to a mean square of 1, so what the mean lacks of that is variance.
    """
    return (1 - (mean**2).mean(dim=-1, keepdim=True)).clamp(min=0)


class LoudFrames:
    """Tells the frames that are at least as loud as the mean of all frames up to them."""

    def __init__(self, like: Tensor) -> None:
        self._sum = like.new_zeros(())
        self._n_frames = 0

    def __call__(self, loudness: Tensor) -> Tensor:
        """Loudness [n] (log power) of the next frames -> 1 where loud, else 0 [n]."""
        n = len(loudness)
        if n == 0:
            return loudness
        sums = self._sum + loudness.cumsum(dim=0)
        counts = torch.arange(self._n_frames + 1, self._n_frames + n + 1, device=loudness.device)
        self._sum = sums[-1]
        self._n_frames += n
        return (loudness >= sums / counts).to(loudness.dtype)


class Recentring:
    """A running correction: each frame is moved by what the frames up to it have told.

    The result does not depend on how the frames are cut into pushes.
    """

    def __init__(self, bank_content: Tensor) -> None:
        self.goal = bank_content.mean(dim=0)
        self._goal_variety = _variety(self.goal).clamp(min=1e-3)
        self._bank_share = len(bank_content) / (len(bank_content) + TRUST_FRAMES)
        self._sum = torch.zeros_like(self.goal)  # of the loud frames so far
        self._n_loud = self.goal.new_zeros(())

    def __call__(self, content: Tensor, loud: Tensor) -> Tensor:
        """Content [n, C] of the next frames, which are `loud` [n] (1 or 0) -> the moved content [n, C]."""
        if len(content) == 0:
            return content
        loud = loud.unsqueeze(1)
        n_loud = self._n_loud + loud.cumsum(dim=0)  # [n, 1]
        sums = self._sum + (loud * content).cumsum(dim=0)
        mean = sums / n_loud.clamp(min=1)
        trust = self._bank_share * n_loud / (n_loud + TRUST_FRAMES)
        trust = trust * (_variety(mean) / self._goal_variety).clamp(max=1) ** VARIETY_POWER
        self._sum, self._n_loud = sums[-1], n_loud[-1, 0]
        return content + trust * (self.goal - mean)
