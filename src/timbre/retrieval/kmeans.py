"""Replace content by the nearest cluster centre of a speaker (pipeline spec 5.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from timbre.retrieval.euclid import nearest_rows


@dataclass(frozen=True, eq=False)
class ClusterCentres:
    """The centres of what a speaker has said: the content is quantised to them."""

    centres: Tensor  # [K, D]

    @property
    def width(self) -> int:
        """Width of the content it was made from."""
        return self.centres.shape[1]

    def mix(self, content: Tensor, ratio: float) -> Tensor:
        """Move `content` [T, D] by `ratio` (0..1) towards the centre nearest to each frame."""
        if ratio == 0 or len(content) == 0:
            return content
        _, positions = nearest_rows(content, self.centres, 1)
        return torch.lerp(content, self.centres[positions[:, 0]], ratio)
