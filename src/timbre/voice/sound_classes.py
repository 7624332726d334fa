"""Running means of what is heard or drawn in each class of sounds: open vowels, nasals, hisses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from timbre.models.fast.decoder import FilterSpectra
from timbre.voice.bands import Bands

SHARPNESS = 15.0  # how much more a frame belongs to the class that it is nearest to
BLOCK_FRAMES = 256  # of which [frames, classes, bands] numbers are held at once


@dataclass(frozen=True)
class ClassBlock:
    """Some frames, and the means of the loud frames up to each of them."""

    heard: Tensor  # [n, D]
    shares: Tensor  # [n, K] how much of each frame belongs to each class
    counts: Tensor  # [n, K] loud frames so far
    means: Tensor  # [n, K, D]


class ClassMeans:
    """Running means over the loud frames of each class; they do not depend on how the frames are cut into pushes."""

    def __init__(self, directions: Tensor, width: int) -> None:
        self.directions = directions  # [K, C] unit vectors of content
        self._sums = directions.new_zeros(len(directions), width)
        self._counts = directions.new_zeros(len(directions))

    def push(self, frames: Tensor, loud: Tensor, heard: Tensor) -> Iterator[ClassBlock]:
        """Take the next frames: unit vectors of content [n, C], 1 where loud [n], and what was heard there [n, D]."""
        shares = shares_of(frames, self.directions)
        parts = (part.split(BLOCK_FRAMES) for part in (heard, shares, shares * loud.unsqueeze(1)))
        for block, block_shares, weights in zip(*parts, strict=True):
            counts = self._counts + weights.cumsum(dim=0)
            sums = self._sums + (weights.unsqueeze(2) * block.unsqueeze(1)).cumsum(dim=0)
            self._sums, self._counts = sums[-1], counts[-1]
            yield ClassBlock(block, block_shares, counts, sums / counted(counts))


def shares_of(frames: Tensor, directions: Tensor) -> Tensor:
    """Return how much of each frame, unit vectors [T, C], belongs to each class [T, K]."""
    return torch.softmax(SHARPNESS * frames @ directions.T, dim=-1)


def counted(counts: Tensor) -> Tensor:
    """Return counts [.., K] as divisors [.., K, 1]."""
    return counts.unsqueeze(-1).clamp(min=1e-3)


def shape_of(log_powers: Tensor) -> Tensor:
    """Return log band powers [.., 80] less their mean, so that the level does not count."""
    return log_powers - log_powers.mean(dim=-1, keepdim=True)


def raised_evenly(spectra: FilterSpectra, power: Tensor, corrections: Tensor, bands: Bands) -> FilterSpectra:
    """Correct filters of power `power` [1, n, bins] by bands [n, 80] (log of amplitude); a frame keeps its power."""
    raised = corrections @ bands.to_bins
    louder = (power * (2 * raised).exp()).sum(dim=-1, keepdim=True) / power.sum(dim=-1, keepdim=True)
    return spectra.raised(raised - 0.5 * louder.log())
