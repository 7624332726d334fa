"""Attention of the frames of a sound to each other, in blocks of queries (models spec 2.5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_FORBIDDEN_SCORE = -1e4
_BLOCK_SCORES = 2**20  # of all heads and sounds together; 4 MiB in float32, which stay in the cache


class SelfAttention(nn.Module):
    """Multi-head attention (A. Vaswani and others, 2017), optionally causal or with a window of relative positions.

    Within `window_frames` of each query, learned vectors for the distance are added to its keys and to its values
    (P. Shaw and others, 2018). Without gradients the scores are made for one block of queries after the other and
    never kept, so that memory grows with T only and the result does not depend on the blocks; with gradients it runs
    whole. `blockwise` may be set to False for a graph without loops.
    """

    blockwise = True

    def __init__(
        self, channels: int, n_heads: int, *, window_frames: int | None = None, causal: bool = False, dropout: float
    ) -> None:
        super().__init__()
        head_channels = channels // n_heads
        if window_frames is not None:
            shape = (1, 2 * window_frames + 1, head_channels)
            self.emb_rel_k = nn.Parameter(torch.randn(shape) * head_channels**-0.5)
            self.emb_rel_v = nn.Parameter(torch.randn(shape) * head_channels**-0.5)
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)
        self._n_heads = n_heads
        self._window_frames = window_frames
        self._causal = causal

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, C, T] -> [B, C, T]; no frame attends to, or from, one where the mask [B, 1, T] is 0."""
        # [B, C, T] -> [B, heads, d, T]
        q, k, v = (conv(x).unflatten(1, (self._n_heads, -1)) for conv in (self.conv_q, self.conv_k, self.conv_v))
        q = q / math.sqrt(q.shape[2])
        frames = torch.arange(x.shape[-1], device=x.device)
        attended = []
        for block in self._blocks(*x.shape[::2]):
            seen = slice(block.stop if self._causal else None)
            attended.append(
                self._attend(
                    q[..., block].transpose(-1, -2),
                    k[..., seen],
                    v[..., seen],
                    frames[block],
                    None if mask is None else mask[..., block].unsqueeze(-1) * mask.unsqueeze(-2),
                )
            )
        y: Tensor = self.conv_o(torch.cat(attended, dim=-1).flatten(1, 2))
        return y

    def _blocks(self, n_batch: int, n_frames: int) -> list[slice]:
        if torch.is_grad_enabled() or not self.blockwise:
            return [slice(None)]
        n_queries = max(1, _BLOCK_SCORES // (n_batch * self._n_heads * n_frames))
        return [slice(start, start + n_queries) for start in range(0, n_frames, n_queries)]

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, frames: Tensor, allowed: Tensor | None) -> Tensor:
        """Queries [B, heads, n, d] at the given frames [n], keys and values [B, heads, d, m] -> [B, heads, d, n]."""
        scores = q @ k
        if self._window_frames is None:
            return v @ self._weights(scores, frames, allowed).transpose(-1, -2)
        columns, inside = _window(frames, self._window_frames, k.shape[-1])
        relative = q @ self.emb_rel_k.transpose(-1, -2) * inside
        scores = scores.scatter_add(-1, columns.expand(relative.shape), relative)
        weights = self._weights(scores, frames, allowed)
        near = weights.gather(-1, columns.expand(relative.shape)) * inside
        return v @ weights.transpose(-1, -2) + (near @ self.emb_rel_v).transpose(-1, -2)

    def _weights(self, scores: Tensor, frames: Tensor, allowed: Tensor | None) -> Tensor:
        if self._causal:
            later = torch.arange(scores.shape[-1], device=scores.device) > frames[:, None]
            scores = scores.masked_fill(later, _FORBIDDEN_SCORE)
        if allowed is not None:
            scores = scores.masked_fill(allowed == 0, _FORBIDDEN_SCORE)
        weights: Tensor = self.dropout(torch.softmax(scores, dim=-1))
        return weights


def _window(frames: Tensor, window_frames: int, n_keys: int) -> tuple[Tensor, Tensor]:
    """Return which keys lie around each frame and whether they exist, both [n, 2 window + 1]; key 0 where not."""
    columns = frames[:, None] + torch.arange(-window_frames, window_frames + 1, device=frames.device)
    inside = (columns >= 0) & (columns < n_keys)
    return columns * inside, inside
