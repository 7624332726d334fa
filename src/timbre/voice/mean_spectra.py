"""Bring the mean spectra of what is drawn to those of the voice, one class of sounds at a time.

What a conversion still has of the source's voice, and what the decoder does wrong in all conversions, stays the same
while the words change. So it shows in the mean spectrum of each class of sounds: open vowels, nasals, hisses. When a
voice is made, its reference gives classes of content and the mean spectrum of each. In a conversion a running mean of
what was drawn for each class is brought to that; the loudness of a frame does not change.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from timbre.models.fast.decoder import FilterSpectra
from timbre.retrieval.clustering import cluster
from timbre.voice.bands import Bands, drawn_power, smoothed
from timbre.voice.recentre import LoudFrames

N_CLASSES = 16
SHARPNESS = 15.0  # how much more a frame belongs to the class that it is nearest to
TRUST_FRAMES = 5  # of a class, after which half of its difference is trusted
VARIETY_POWER = 2
MAX_CORRECTION = 1.5  # natural log of amplitude, about 13 dB
SMOOTHING_BANDS = 3
BLOCK_FRAMES = 256  # of which [frames, classes, bands] numbers are held at once


@dataclass(frozen=True)
class MeanSpectra:
    """Classes of sounds and the mean spectrum that a voice has in each."""

    directions: Tensor  # [K, C] unit vectors of content
    log_powers: Tensor  # [K, 80] natural log of band powers, less their mean
    n_frames: Tensor  # [K] frames it is the mean of


def measure_mean_spectra(content: Tensor, log_powers: Tensor) -> MeanSpectra:
    """Find the classes of a voice in its frames: content [M, C] and log band powers [M, 80]."""
    frames = functional.normalize(content, dim=-1)
    directions = functional.normalize(cluster(frames, N_CLASSES, seed=0).centres, dim=-1)
    shares = _shares(frames, directions)
    n_frames = shares.sum(dim=0)
    return MeanSpectra(directions, shares.T @ _shape(log_powers) / _counted(n_frames), n_frames)


class SpectralRecentring:
    """A running correction: each frame is moved by what the frames up to it have shown.

    Where they show one sound of a class only, as in a held vowel, their mean tells of the sound and not of the voice;
    then little is moved. The result does not depend on how the frames are cut into pushes.
    """

    def __init__(self, goal: MeanSpectra, bank_content: Tensor, bands: Bands) -> None:
        self.goal, self.bands = goal, bands
        frames = functional.normalize(bank_content, dim=-1)
        shares = _shares(frames, goal.directions)
        self._goal_variety = _variety(shares.T @ frames / _counted(shares.sum(dim=0))).clamp(min=1e-3)
        self._goal_trust = goal.n_frames / (goal.n_frames + TRUST_FRAMES)
        self._sums = torch.zeros_like(torch.cat((goal.log_powers, goal.directions), dim=1))  # of the loud frames so far
        self._counts = torch.zeros_like(goal.n_frames)
        self._loud_frames = LoudFrames(goal.n_frames)

    def __call__(self, spectra: FilterSpectra, f0_hz: Tensor, content: Tensor, loudness: Tensor) -> FilterSpectra:
        """Correct the next filters [1, n, bins], drawn for f0 [n], content [n, C] and loudness [n] (log power)."""
        if len(content) == 0:
            return spectra
        power = drawn_power(spectra, f0_hz.unsqueeze(0))
        shapes = _shape(torch.log(power[0] @ self.bands.of_bins))
        loud = self._loud_frames(loudness)
        directions = functional.normalize(content, dim=-1)
        shares = _shares(directions, self.goal.directions)
        heard = torch.cat((shapes, directions), dim=1)
        blocks = (part.split(BLOCK_FRAMES) for part in (heard, shares, loud.unsqueeze(1)))
        corrections = torch.cat([self._next(*block) for block in zip(*blocks, strict=True)]) @ self.bands.to_bins
        louder = (power * (2 * corrections).exp()).sum(dim=-1, keepdim=True) / power.sum(dim=-1, keepdim=True)
        return spectra.raised(corrections - 0.5 * louder.log())

    def _next(self, heard: Tensor, shares: Tensor, loud: Tensor) -> Tensor:
        """Return the corrections [n, 80] of frames that were `heard` [n, 80 + C]: their log powers and directions."""
        weights = shares * loud
        counts = self._counts + weights.cumsum(dim=0)  # [n, K]
        sums = self._sums + (weights.unsqueeze(2) * heard.unsqueeze(1)).cumsum(dim=0)  # [n, K, 80 + C]
        self._sums, self._counts = sums[-1], counts[-1]
        shapes, directions = (sums / _counted(counts)).tensor_split((self.goal.log_powers.shape[1],), dim=2)
        varied = (_variety(directions) / self._goal_variety).clamp(max=1) ** VARIETY_POWER
        trust = shares * self._goal_trust * varied * counts / (counts + TRUST_FRAMES)
        # Half, as log of power becomes log of amplitude.
        correction = 0.5 * torch.einsum("nk,nkb->nb", trust, self.goal.log_powers - shapes)
        return smoothed(correction, SMOOTHING_BANDS).clamp(-MAX_CORRECTION, MAX_CORRECTION)


def _shares(frames: Tensor, directions: Tensor) -> Tensor:
    """Return how much of each frame, unit vectors [T, C], belongs to each class [T, K]."""
    return torch.softmax(SHARPNESS * frames @ directions.T, dim=-1)


def _counted(counts: Tensor) -> Tensor:
    """Return counts [.., K] as divisors [.., K, 1]."""
    return counts.unsqueeze(-1).clamp(min=1e-3)


def _variety(mean: Tensor) -> Tensor:
    """Return how different the frames are whose unit vectors have the mean `mean` [.., C]: 0 all alike, at most 1."""
    return (1 - mean.square().sum(dim=-1)).clamp(min=0)


def _shape(log_powers: Tensor) -> Tensor:
    """Return log band powers [.., 80] less their mean, so that the level does not count."""
    return log_powers - log_powers.mean(dim=-1, keepdim=True)
