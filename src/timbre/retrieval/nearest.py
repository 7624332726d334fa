"""Replace content by the nearest content of the target voice (kNN voice conversion, Baas et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BLOCK_FRAMES = 2048


def match_content(content: Tensor, bank: Tensor, n_neighbours: int = 4) -> Tensor:
    """Return for each frame of `content` [T, C] the mean of its nearest frames (cosine) in `bank` [M, C].

    Every frame is matched on its own, so matching in blocks gives the same result.
    """
    if bank.shape[0] == 0:
        raise ValueError("the bank holds no frames")
    directions = functional.normalize(bank, dim=-1)
    n_neighbours = min(n_neighbours, bank.shape[0])
    parts = []
    for block in content.split(BLOCK_FRAMES):
        similarity = functional.normalize(block, dim=-1) @ directions.T
        parts.append(bank[similarity.topk(n_neighbours, dim=-1).indices].mean(dim=1))
    return torch.cat(parts) if parts else content


def mix_content(content: Tensor, bank: Tensor, ratio: float, n_neighbours: int = 4) -> Tensor:
    """Move `content` [T, C] by `ratio` (0..1) towards its match in `bank` [M, C]; 0 returns it as it is."""
    if ratio == 0 or content.shape[0] == 0:
        return content
    return torch.lerp(content, match_content(content, bank, n_neighbours), ratio)
