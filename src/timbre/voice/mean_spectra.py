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
from timbre.voice.bands import Bands, drawn_power
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

    def shares(self, content: Tensor) -> Tensor:
        """Content [T, C] -> how much of each frame belongs to each class [T, K]."""
        return _shares(content, self.directions)


def measure_mean_spectra(content: Tensor, log_powers: Tensor) -> MeanSpectra:
    """Find the classes of a voice in its frames: content [M, C] and log band powers [M, 80]."""
    rows = functional.normalize(content, dim=-1)
    directions = functional.normalize(cluster(rows, N_CLASSES, seed=0).centres, dim=-1)
    shares = _shares(content, directions)
    n_frames = shares.sum(dim=0)
    return MeanSpectra(directions, shares.T @ _shape(log_powers) / n_frames.unsqueeze(1).clamp(min=1e-3), n_frames)


class SpectralRecentring:
    """A running correction: each frame is moved by what the frames up to it have shown.

    Where they show one sound of a class only, as in a held vowel, their mean tells of the sound and not of the voice;
    then little is moved. The result does not depend on how the frames are cut into pushes.
    """

    def __init__(self, goal: MeanSpectra, bank_content: Tensor, bands: Bands) -> None:
        self.goal, self.bands = goal, bands
        shares, directions = goal.shares(bank_content), functional.normalize(bank_content, dim=-1)
        self._goal_variety = _variety(shares.T @ directions, shares.sum(dim=0)).clamp(min=1e-3)
        self._goal_trust = goal.n_frames / (goal.n_frames + TRUST_FRAMES)
        self._directions = torch.zeros_like(goal.directions)  # sum of the loud frames so far
        self._sums = torch.zeros_like(goal.log_powers)  # of the loud frames so far
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
        blocks = (part.split(BLOCK_FRAMES) for part in (shapes, directions, self.goal.shares(content), loud))
        corrections = torch.cat([self._next(*block) for block in zip(*blocks, strict=True)]) @ self.bands.to_bins
        louder = (power * (2 * corrections).exp()).sum(dim=-1, keepdim=True) / power.sum(dim=-1, keepdim=True)
        return spectra.raised(corrections - 0.5 * louder.log())

    def _next(self, shapes: Tensor, directions: Tensor, shares: Tensor, loud: Tensor) -> Tensor:
        """Return the corrections [n, 80] of frames with the log powers `shapes` [n, 80]."""
        heard = shares * loud.unsqueeze(1)
        counts = self._counts + heard.cumsum(dim=0)  # [n, K]
        sums = self._sums + (heard.unsqueeze(2) * shapes.unsqueeze(1)).cumsum(dim=0)  # [n, K, 80]
        heard_directions = self._directions + (heard.unsqueeze(2) * directions.unsqueeze(1)).cumsum(dim=0)  # [n, K, C]
        self._sums, self._counts, self._directions = sums[-1], counts[-1], heard_directions[-1]
        varied = (_variety(heard_directions, counts) / self._goal_variety).clamp(max=1) ** VARIETY_POWER
        trust = shares * self._goal_trust * varied * counts / (counts + TRUST_FRAMES)
        differences = self.goal.log_powers - sums / counts.unsqueeze(2).clamp(min=1e-3)
        correction = 0.5 * torch.einsum("nk,nkb->nb", trust, differences)  # log of power -> of amplitude
        half = SMOOTHING_BANDS // 2
        padded = functional.pad(correction.unsqueeze(1), (half, half), mode="replicate")
        smooth = functional.avg_pool1d(padded, SMOOTHING_BANDS, 1)[:, 0]
        return smooth.clamp(-MAX_CORRECTION, MAX_CORRECTION)


def _shares(content: Tensor, directions: Tensor) -> Tensor:
    return torch.softmax(SHARPNESS * functional.normalize(content, dim=-1) @ directions.T, dim=-1)


def _variety(directions: Tensor, counts: Tensor) -> Tensor:
    """Return how different the frames are whose unit vectors have the sum `directions` [.., C]: 0 all the same."""
    return (1 - (directions / counts.unsqueeze(-1).clamp(min=1e-3)).square().sum(dim=-1)).clamp(min=0)


def _shape(log_powers: Tensor) -> Tensor:
    """Return log band powers [.., 80] less their mean, so that the level does not count."""
    return log_powers - log_powers.mean(dim=-1, keepdim=True)
