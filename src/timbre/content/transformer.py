"""The transformer layer of the content encoders, and what WavLM adds to it: a bias for how far frames are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_GATE_FEATURES = 8  # two gates, each the sum of four
_BLOCK_SCORES = 2**20  # of all heads together; 4 MiB in float32, which stay in the cache
BLOCK_FRAMES = 512
"""How many frames a feed-forward takes at once; for the inner width of more, the system would clear new memory."""


@dataclass(frozen=True)
class DistanceSizes:
    """The sizes of `DistanceBias`; raises ValueError where no distance would be told from another."""

    n_buckets: int
    max_distance_frames: int
    heads: int

    def __post_init__(self) -> None:
        if not 0 < self.n_buckets // 4 < self.max_distance_frames:
            raise ValueError("the buckets do not fit the largest distance")


class DistanceBias(nn.Module):
    """What is added to each head's score for the distance of two frames, learned for buckets of distances.

    Half of the buckets are for each direction; half of those stand for one distance each, and the others for ranges
    that grow logarithmically up to `max_distance_frames` (C. Raffel and others, 2020; pipeline spec 1.4).
    """

    def __init__(self, sizes: DistanceSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.buckets = nn.Embedding(sizes.n_buckets, sizes.heads)

    def forward(self, n_frames: int) -> Tensor:
        """Return the bias for the distances -(n_frames - 1) ... n_frames - 1: [heads, 2 n_frames - 1]."""
        distances = torch.arange(1 - n_frames, n_frames, device=self.buckets.weight.device)
        bias: Tensor = self.buckets(self._bucket_of(distances))
        return bias.T

    def _bucket_of(self, distances: Tensor) -> Tensor:
        half = self.sizes.n_buckets // 2
        n_exact = half // 2
        near = distances.abs()
        ratio = torch.log(near.clamp_min(n_exact) / n_exact) / math.log(self.sizes.max_distance_frames / n_exact)
        far = n_exact + (ratio * (half - n_exact)).long()
        return torch.where(near < n_exact, near, far.clamp_max(half - 1)) + half * (distances > 0)


GatedDistances = tuple[Tensor, Tensor]
"""A factor for each kept head and frame [B, heads, T, 1], and the bias for distances [heads, 2 T - 1]."""


class DistanceGate(nn.Module):
    """How much each frame minds distances, told by the layer's input (S. Chen and others, 2022; pipeline spec 1.4)."""

    def __init__(self, width: int, heads: int, kept_heads: Sequence[int] | None) -> None:
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(width // heads, _GATE_FEATURES)
        self.constant = nn.Parameter(torch.ones(1, heads, 1, 1))
        self._kept = slice(None) if kept_heads is None else list(kept_heads)

    def forward(self, x: Tensor, by_distance: Tensor) -> GatedDistances:
        """The layer's input [B, T, width] and the bias of `DistanceBias` for T frames -> what `attend` adds."""
        parts = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        gates = self.linear(parts).unflatten(-1, (2, -1)).sum(-1).sigmoid()
        outer, inner = gates.split(1, dim=-1)
        factor: Tensor = outer * (inner * self.constant - 1) + 2
        return factor[:, self._kept], by_distance[self._kept]


class SelfAttention(nn.Module):
    """Each frame looks at all frames; the matrix of T * T weights is never stored.

    With `distance_heads` a bias for distances is added through a gate. It has that many heads, of which the attention
    has kept the ones in `kept_heads`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        *,
        distance_heads: int | None = None,
        kept_heads: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, heads * head_width)
        self.key = nn.Linear(width, heads * head_width)
        self.value = nn.Linear(width, heads * head_width)
        self.output = nn.Linear(heads * head_width, width)
        self.gate = None if distance_heads is None else DistanceGate(width, distance_heads, kept_heads)

    def forward(self, x: Tensor, by_distance: Tensor | None = None) -> Tensor:
        """[B, T, width] and, with a gate, the bias of `DistanceBias` for T frames -> [B, T, width]."""
        distances = None if self.gate is None or by_distance is None else self.gate(x, by_distance)
        out: Tensor = self.output(attend(self.query(x), self.key(x), self.value(x), self.heads, distances))
        return out


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, distances: GatedDistances | None) -> Tensor:
    """Let each frame look at all frames: three times [B, T, heads * d] -> [B, T, heads * d]."""
    # [B, T, heads * d] -> [B, heads, T, d]
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    if distances is None:
        seen = functional.scaled_dot_product_attention(query, key, value)
    else:
        seen = _attend_by_distance(query, key, value, *distances)
    return seen.transpose(1, 2).flatten(2)


def _attend_by_distance(query: Tensor, key: Tensor, value: Tensor, factor: Tensor, by_distance: Tensor) -> Tensor:
    """Attend in blocks of queries, so that the biased scores of all frames never exist at once.

    Queries, keys and values are [B, heads, T, d]; for the others see `GatedDistances`.
    """
    n_batch, heads, n_frames, _ = query.shape
    # A view: row r holds the bias of frame T - 1 - r for all T frames it looks at.
    rows = by_distance.unfold(-1, n_frames, 1)
    n_queries = max(1, _BLOCK_SCORES // (n_batch * heads * n_frames))
    seen = []
    for start in range(0, n_frames, n_queries):
        stop = min(start + n_queries, n_frames)
        bias = rows[:, n_frames - stop : n_frames - start].flip(1) * factor[:, :, start:stop]
        seen.append(functional.scaled_dot_product_attention(query[:, :, start:stop], key, value, attn_mask=bias))
    return torch.cat(seen, dim=2)


class FeedForward(nn.Module):
    """Two linear layers with exact GELU between them."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, inner_width)
        self.contract = nn.Linear(inner_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        return torch.cat([self.contract(functional.gelu(self.expand(x))) for x in x.split(BLOCK_FRAMES, dim=1)], dim=1)


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each added to its input, with the norms before them or after the sums.

    Where one of the two is cut out, the norm after its sum stays and the norm before it is idle (pipeline spec 1.7).
    """

    def __init__(
        self, attention: SelfAttention | None, feed_forward: FeedForward | None, width: int, *, norm_first: bool
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention: nn.Module | None = attention
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward: nn.Module | None = feed_forward
        self.feed_forward_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, by_distance: Tensor | None = None) -> Tensor:
        """[B, T, width] -> [B, T, width]; `by_distance` as in `SelfAttention`."""
        if self.attention is not None:
            x = x + self.attention(self.attention_norm(x) if self.norm_first else x, by_distance)
        if not self.norm_first:
            x = self.attention_norm(x)
        if self.feed_forward is not None:
            x = x + self.feed_forward(self.feed_forward_norm(x) if self.norm_first else x)
        return x if self.norm_first else self.feed_forward_norm(x)
