"""Random numbers as a network asks for them: in a fixed order, from a private generator or given by a test."""

from __future__ import annotations

import hashlib
from typing import Protocol

import torch
from torch import Tensor

_BLOCK_FRAMES = 64


class Draws(Protocol):
    """Answers each request for random numbers, float32 on the CPU.

    The order of requests is part of a network's definition (models spec 13): the same seed gives the same sound.
    """

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers."""
        ...

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers from 0 to below 1."""
        ...


class SeededDraws:
    """Draws from a generator of its own; the global one is left alone."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers."""
        return torch.randn(shape, generator=self._generator)

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers from 0 to below 1."""
        return torch.rand(shape, generator=self._generator)


class TimelineDraws:
    """Noise that belongs to a place on the timeline: overlapping stretches of one sound draw the same for one frame.

    Numbers for each frame (a last axis of `n_frames`) or each sample of each frame (a second axis of a multiple of it)
    depend on seed, request and frame only, phases (uniform) on seed and request; all else is new for each stretch.
    """

    def __init__(self, seed: int, first_frame: int, n_frames: int) -> None:
        self._seed, self._first_frame, self._n_frames = seed, first_frame, n_frames
        self._n_requests = 0

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers."""
        request, n_frames = self._next_request(), self._n_frames
        if shape[-1] == n_frames:
            return self._on_timeline(request, (*shape[:-1],), 1, ()).flatten(-2)
        if len(shape) == 3 and shape[1] % n_frames == 0:
            return self._on_timeline(request, shape[:1], shape[1] // n_frames, shape[2:]).flatten(1, 2)
        return torch.randn(shape, generator=_generator(self._seed, request, self._first_frame))

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers from 0 to below 1."""
        return torch.rand(shape, generator=_generator(self._seed, self._next_request(), 0))

    def _on_timeline(
        self, request: int, before: tuple[int, ...], samples_per_frame: int, after: tuple[int, ...]
    ) -> Tensor:
        """Return numbers [*before, n_frames, samples_per_frame, *after], put together from blocks of frames."""
        first_block, offset = divmod(self._first_frame, _BLOCK_FRAMES)
        n_blocks = -(-(offset + self._n_frames) // _BLOCK_FRAMES)
        shape = (*before, _BLOCK_FRAMES, samples_per_frame, *after)
        blocks = [
            torch.randn(shape, generator=_generator(self._seed, request, block))
            for block in range(first_block, first_block + n_blocks)
        ]
        return torch.cat(blocks, dim=len(before)).narrow(len(before), offset, self._n_frames)

    def _next_request(self) -> int:
        self._n_requests += 1
        return self._n_requests


def _generator(*keys: int) -> torch.Generator:
    digest = hashlib.blake2b(repr(keys).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
