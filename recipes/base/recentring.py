"""What a conversion does to the mean of the content (`timbre.voice.recentre`), as training sees it.

A stretch of a second says too little of its recording's mean, so the means of whole recordings are kept beside, as the
encoder lately heard them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from recipes.base.corpus import FRAME_16K, Recordings, moved, waves
from timbre.dsp.frontend import SpectralFrontend
from timbre.voice.recentre import TRUST_FRAMES

HEARD_FRAMES = 400  # of each recording
BATCH = 64
STEPS_BETWEEN = 1000
PARTLY_SHARE = 0.4  # of the items that are moved by less, as at the start of a conversion


class ContentMeans:
    """The mean content of the louder frames of each recording."""

    def __init__(self, recordings: Recordings, frontend: SpectralFrontend) -> None:
        self.recordings, self.frontend, self.device = recordings, frontend, frontend.window.device
        self.means = torch.empty(0)  # [recordings, C]
        self.trust = torch.empty(0)  # [recordings, 1]
        self.steps = 0

    def keep_fresh(self, encoder: nn.Module) -> None:
        """Hear all recordings again, once in a thousand calls."""
        if self.steps % STEPS_BETWEEN == 0:
            self._hear(encoder)
        self.steps += 1

    @torch.no_grad()
    def _hear(self, encoder: nn.Module) -> None:
        means, counts = [], []
        length = np.minimum(self.recordings.n_frames, HEARD_FRAMES)
        for first in range(0, len(length), BATCH):
            batch = slice(first, first + BATCH)
            n_frames = int(length[batch].max())
            start = np.minimum(self.recordings.first_frame[batch], len(self.recordings.f0) - n_frames)
            power = self.frontend.power(waves(self.recordings.wave_16k, start, n_frames, FRAME_16K, self.device))
            with torch.autocast(self.device.type, torch.bfloat16):
                content = encoder(self.frontend.log_mel(power)).float()
            inside = moved(np.arange(n_frames) < length[batch][:, None], self.device)
            loudness = self.frontend.loudness(power)
            mean_loudness = (loudness * inside).sum(dim=1, keepdim=True) / inside.sum(dim=1, keepdim=True)
            loud = (inside & (loudness >= mean_loudness)).float().unsqueeze(-1)
            counts.append(loud.sum(dim=1))
            means.append((content * loud).sum(dim=1) / counts[-1].clamp(min=1))
        self.means, count = torch.cat(means), torch.cat(counts)
        self.trust = count / (count + TRUST_FRAMES)

    def moves(self, files: np.ndarray, voices: np.ndarray, shares: np.ndarray) -> Tensor:
        """Return what to add [B, 1, C] to the content of recordings `files` [B] for the voices of `voices` [B].

        Each is moved by its share [B] of the way that is trusted.
        """
        trust = self.trust[files] * self.trust[voices] * moved(shares, self.device).float().unsqueeze(1)
        return (trust * (self.means[voices] - self.means[files])).unsqueeze(1)


def draw_shares(count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose what share of the way [count] to move each item."""
    return np.where(rng.random(count) < PARTLY_SHARE, rng.random(count), 1.0)


def without_mean_of_change(changed: Tensor, plain: Tensor) -> Tensor:
    """Bring the mean of a changed copy's content [B, T, C] to that of the plain sound's."""
    return changed - (changed - plain).mean(dim=1, keepdim=True)
