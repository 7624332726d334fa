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
from timbre.voice.sound_classes import ClassBlock, ClassMeans, counted, raised_evenly, shape_of, shares_of

N_CLASSES = 16
TRUST_FRAMES = 5  # of a class, after which half of its difference is trusted
VARIETY_ENOUGH = 2 / 3  # of the reference's own variety within a class
VARIETY_POWER = 2
MAX_CORRECTION = 1.5  # natural log of amplitude, about 13 dB
SMOOTHING_BANDS = 3


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
    shares = shares_of(frames, directions)
    n_frames = shares.sum(dim=0)
    return MeanSpectra(directions, shares.T @ shape_of(log_powers) / counted(n_frames), n_frames)


class SpectralRecentring:
    """A running correction: each frame is moved by what the frames up to it have shown.

    Where they show one sound of a class only, as in a held vowel, their mean tells of the sound and not of the voice;
    then little is moved. The result does not depend on how the frames are cut into pushes.
    """

    def __init__(self, goal: MeanSpectra, bank_content: Tensor, bands: Bands) -> None:
        self.goal, self.bands = goal, bands
        frames = functional.normalize(bank_content, dim=-1)
        shares = shares_of(frames, goal.directions)
        variety = _variety(shares.T @ frames / counted(shares.sum(dim=0)))
        self._enough_variety = (VARIETY_ENOUGH * variety).clamp(min=1e-3)
        self._goal_trust = goal.n_frames / (goal.n_frames + TRUST_FRAMES)
        self._means = ClassMeans(goal.directions, goal.log_powers.shape[1] + goal.directions.shape[1])

    def __call__(self, spectra: FilterSpectra, f0_hz: Tensor, content: Tensor, loud: Tensor) -> FilterSpectra:
        """Correct the next filters [1, n, bins], drawn for f0 [n], content [n, C]; frames are `loud` [n] (1 or 0)."""
        if len(content) == 0:
            return spectra
        power = drawn_power(spectra, f0_hz.unsqueeze(0))
        shapes = shape_of(self.bands.log_powers(power))
        frames = functional.normalize(content, dim=-1)
        blocks = self._means.push(frames, loud, torch.cat((shapes, frames), dim=1))
        return raised_evenly(spectra, power, torch.cat([self._correction(block) for block in blocks]), self.bands)

    def _correction(self, block: ClassBlock) -> Tensor:
        """Return the corrections [n, 80] of frames whose log powers and directions were heard."""
        shapes, directions = block.means.tensor_split((self.goal.log_powers.shape[1],), dim=2)
        varied = (_variety(directions) / self._enough_variety).clamp(max=1) ** VARIETY_POWER
        trust = block.shares * self._goal_trust * varied * block.counts / (block.counts + TRUST_FRAMES)
        # Half, as log of power becomes log of amplitude.
        correction = 0.5 * torch.einsum("nk,nkb->nb", trust, self.goal.log_powers - shapes)
        return smoothed(correction, SMOOTHING_BANDS).clamp(-MAX_CORRECTION, MAX_CORRECTION)


def _variety(mean: Tensor) -> Tensor:
    """Return how different the frames are whose unit vectors have the mean `mean` [.., C]: 0 all alike, at most 1."""
    return (1 - mean.square().sum(dim=-1)).clamp(min=0)
