"""Joins neighbouring chunks of sound without a click, and softens edges."""

from __future__ import annotations

from typing import Literal

import numpy as np

from timbre.audio.sound import Samples
from timbre.errors import AudioError

FadeShape = Literal["linear", "equal-power"]


def crossfade(tail: Samples, head: Samples, shape: FadeShape = "linear") -> Samples:
    """Fade from `tail` to `head`, both [..., R] and sounding at the same time.

    "linear" (weights 0..1 with both ends included, sum 1) suits two renderings of the same sound: what agrees stays
    unchanged. "equal-power" (squares sum to 1) keeps the level between unrelated sounds.
    Raises AudioError when the shapes differ.
    """
    if tail.shape != head.shape:
        raise AudioError(f"a tail of shape {tail.shape} cannot fade into a head of shape {head.shape}; make them equal")
    ramp = np.linspace(0, 1, tail.shape[-1])
    if shape == "linear":
        fall, rise = 1 - ramp, ramp
    else:
        fall, rise = np.cos(ramp * np.pi / 2), np.sin(ramp * np.pi / 2)
    return (tail * fall + head * rise).astype(np.float32)


def fade_edges(samples: Samples, fade_samples: int, start: bool = True, end: bool = True) -> Samples:
    """Return [..., N] rising from 0 at its start and falling to 0 at its end, each over `fade_samples` (linear).

    Used beside silence that is muted to digital zero. A fade is shortened to half of a short sound.
    """
    n_fade = min(fade_samples, samples.shape[-1] // 2)
    faded = samples.astype(np.float32)  # a copy
    if n_fade > 0:
        ramp = ((np.arange(n_fade) + 0.5) / n_fade).astype(np.float32)
        if start:
            faded[..., :n_fade] *= ramp
        if end:
            faded[..., -n_fade:] *= ramp[::-1]
    return faded


def centre_pad(samples: Samples, n_samples: int) -> Samples:
    """Pad [..., N] with zeros on both sides to `n_samples`, the odd one on the right; a longer sound stays whole."""
    missing = max(0, n_samples - samples.shape[-1])
    widths = [(0, 0)] * (samples.ndim - 1) + [(missing // 2, missing - missing // 2)]
    return np.pad(samples, widths)


class OverlapJoiner:
    """Joins a stream of chunks, each begun `overlap_samples` before the end of the one before it.

    Holds only the last overlap. K chunks of N samples give exactly K * N - (K - 1) * overlap samples.
    """

    def __init__(self, overlap_samples: int, shape: FadeShape = "linear") -> None:
        if overlap_samples < 0:
            raise AudioError(f"an overlap of {overlap_samples} samples was asked; it must be at least 0")
        self._overlap = overlap_samples
        self._shape: FadeShape = shape
        self._tail: Samples | None = None

    def push(self, chunk: Samples) -> Samples:
        """Take the next chunk [C, N] and return what is final now, [C, M].

        Raises AudioError when the chunk is shorter than the overlap.
        """
        n_chunk = chunk.shape[-1]
        if n_chunk < self._overlap:
            raise AudioError(
                f"a chunk of {n_chunk} samples is shorter than the overlap, {self._overlap}; make it longer"
            )
        if self._tail is not None and self._overlap:
            blended = crossfade(self._tail, chunk[..., : self._overlap], self._shape)
            chunk = np.concatenate([blended, chunk[..., self._overlap :]], axis=-1)
        n_ready = n_chunk - self._overlap
        self._tail = chunk[..., n_ready:].copy()
        return chunk[..., :n_ready]

    def flush(self) -> Samples:
        """Return the held tail [C, overlap], [1, 0] when nothing was pushed, and begin anew."""
        tail, self._tail = self._tail, None
        return np.zeros((1, 0), dtype=np.float32) if tail is None else tail
