"""Replace content by a weighted mean of the nearest content of a speaker, from a faiss index (pipeline spec 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from timbre.retrieval.euclid import nearest_rows

N_NEIGHBOURS = 8
_BLOCK_FRAMES = 1024


@dataclass(frozen=True, eq=False)
class FeatureIndex:
    """Content of a speaker, sorted into lists around centroids; only the lists nearest to a frame are searched."""

    vectors: Tensor  # [N, D], list by list
    borders: Sequence[int]  # [lists + 1], where each list begins and the last one ends
    centroids: Tensor  # [lists, D]
    n_probes: int = 1  # lists searched for each frame

    @property
    def width(self) -> int:
        """Width of the content it was made from."""
        return self.vectors.shape[1]

    def mix(self, content: Tensor, ratio: float) -> Tensor:
        """Move `content` [T, D] by `ratio` (0..1) towards the mean of its neighbours, weighted by 1 / distance ** 4.

        A neighbour that equals a frame replaces it alone. A frame whose lists are empty stays as it is.
        """
        if ratio == 0 or len(content) == 0:
            return content
        return torch.lerp(content, torch.cat([self._found(block) for block in content.split(_BLOCK_FRAMES)]), ratio)

    def search(self, content: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances and positions in `vectors` of the neighbours of each frame [T, D], nearest first.

        Both are [T, 8]; where there are fewer neighbours, distances are infinite and positions 0.
        """
        distances = content.new_full((len(content), N_NEIGHBOURS), torch.inf)
        positions = torch.zeros(distances.shape, dtype=torch.long, device=content.device)
        _, probed = nearest_rows(content, self.centroids, self.n_probes)
        borders = list(pairwise(self.borders))
        for number in probed.unique().tolist():
            start, end = borders[number]
            if start == end:
                continue
            frames = (probed == number).any(dim=1).nonzero()[:, 0]
            near, at = nearest_rows(content[frames], self.vectors[start:end], N_NEIGHBOURS)
            candidates = torch.cat((distances[frames], near), dim=1)
            places = torch.cat((positions[frames], at + start), dim=1)
            distances[frames], order = candidates.topk(N_NEIGHBOURS, dim=1, largest=False)
            positions[frames] = places.gather(1, order)
        return distances, positions

    def _found(self, content: Tensor) -> Tensor:
        distances, positions = self.search(content)
        nearest = distances[:, :1]
        weights = torch.where(distances == nearest, 1, nearest / distances).square()
        found = (weights[..., None] * self.vectors[positions]).sum(dim=1) / weights.sum(dim=1, keepdim=True)
        return torch.where(nearest.isfinite(), found, content)
