"""Renders a long sound clip by clip: each clip hears what is around it and fades into the next.

For networks that need a whole stretch at once. Only one clip is in memory, and every sample keeps its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

import numpy as np

from timbre.audio.joining import crossfade
from timbre.audio.slicing import Piece
from timbre.audio.sound import Samples
from timbre.errors import AudioError

_GAP_SAMPLES = 1 << 19


@dataclass(frozen=True)
class Clip:
    """One stretch that is rendered at once, in samples of the sound."""

    start: int  # of what it gives to the result
    end: int
    heard_start: int  # of what the network hears: whole frames, may lie beyond the ends of the sound
    heard_end: int
    fade_samples: int  # at its start, over which it takes over from the clip before; 0: it begins on its own


D = TypeVar("D")


class ClipRenderer(Protocol[D]):
    """Turns what is heard of one clip into sound of the same rate and length, in two steps.

    The first may be taken for a clip while the second is under way for the clip before.
    """

    def describe(self, heard: Samples, clip: Clip) -> D:
        """Listen to `heard` [N], the samples from clip.heard_start on."""
        ...

    def render(self, described: D, clip: Clip) -> Samples:
        """Render what was heard, clip after clip in order; returns [M], M reaching clip.end at least."""
        ...


def plan_clips(
    pieces: Sequence[Piece], hop_samples: int, *, longest_samples: int, overlap_samples: int, context_samples: int
) -> list[Clip]:
    """Plan the clips that cover all voiced pieces, each at most about `longest_samples` long.

    Voiced pieces that touch are joined as long as they fit; a longer one is cut evenly. Where two clips meet, they
    overlap by `overlap_samples`, or less where a clip is short. Each hears `context_samples` more on both sides, and
    three times as much in all at least, so that networks need not be made ready for every short length.
    """
    clips: list[Clip] = []
    for run in _runs(pieces):
        cuts = _cuts(run, max(1, longest_samples))
        lengths = [last - first for first, last in pairwise(cuts)]
        halves = [0, *(min(overlap_samples, *both) // 2 for both in pairwise(lengths)), 0]  # of the overlap at each cut
        for (first, last), (before, after) in zip(pairwise(cuts), pairwise(halves), strict=True):
            start, end = first - before, last + after
            around = max(context_samples, (3 * context_samples - (end - start)) // 2)
            heard_start = (start - around) // hop_samples * hop_samples
            heard_end = -(-(end + around) // hop_samples) * hop_samples
            clips.append(Clip(start, end, heard_start, heard_end, 2 * before))
    return clips


def assemble(
    blocks: Iterable[Samples],
    n_samples: int,
    clips: Sequence[Clip],
    renderer: ClipRenderer[D],
    helper: Executor | None = None,
) -> Iterator[tuple[Samples, Samples]]:
    """Yield (source, result) of successive stretches of one length, `n_samples` in all; silence between clips.

    `blocks` are the mono sound [N] in order. With a `helper` the next clip is described there while one is rendered.
    Raises AudioError when the renderer returns too little.
    """
    window = _Window(blocks)
    described = _Described(window, renderer, helper)
    done, tail = 0, np.zeros(0, dtype=np.float32)
    for clip, following in pairwise([*clips, Clip(n_samples, n_samples, n_samples, n_samples, 0)]):
        yield from _silence(window, done, clip.start, clip.heard_start)
        heard = described.take(clip)
        described.begin(following)
        sound = _cut(renderer.render(heard, clip), clip)
        if clip.fade_samples:
            blended = crossfade(tail, sound[: clip.fade_samples])
            sound = np.concatenate((blended, sound[clip.fade_samples :]))
        n_ready = len(sound) - following.fade_samples
        done = clip.start + n_ready
        yield window.read(clip.start, done), sound[:n_ready]
        tail = sound[n_ready:]
        window.forget(min(done, following.heard_start))
    yield from _silence(window, done, n_samples, n_samples)


class _Described(Generic[D]):
    """Descriptions of clips in order, where possible made while the clip before is rendered."""

    def __init__(self, window: _Window, renderer: ClipRenderer[D], helper: Executor | None) -> None:
        self._window, self._renderer, self._helper = window, renderer, helper
        self._begun: Future[D] | None = None

    def begin(self, clip: Clip) -> None:
        """Begin with the next clip, unless it is empty or so far away that all up to there had to be held."""
        is_near = clip.heard_start - self._window.end <= _GAP_SAMPLES
        if self._helper is not None and clip.start < clip.end and is_near:
            heard = self._window.read(clip.heard_start, clip.heard_end)
            self._begun = self._helper.submit(self._renderer.describe, heard, clip)

    def take(self, clip: Clip) -> D:
        """Return the description of the next clip, begun or not."""
        if self._begun is None:
            return self._renderer.describe(self._window.read(clip.heard_start, clip.heard_end), clip)
        begun, self._begun = self._begun, None
        return begun.result()


def _cut(rendered: Samples, clip: Clip) -> Samples:
    sound = rendered[clip.start - clip.heard_start : clip.end - clip.heard_start]
    if len(sound) < clip.end - clip.start:
        raise AudioError(
            f"the renderer returned {len(rendered)} samples for a clip; "
            f"it must return at least {clip.end - clip.heard_start}"
        )
    return sound


def _silence(window: _Window, start: int, end: int, keep_from: int) -> Iterator[tuple[Samples, Samples]]:
    """Pass over a stretch; what lies after `keep_from` will be heard again."""
    for at in range(start, end, _GAP_SAMPLES):
        heard = window.read(at, min(at + _GAP_SAMPLES, end))
        yield heard, np.zeros_like(heard)
        window.forget(min(at + len(heard), keep_from))


class _Window:
    """The part of a sound that is still needed; zeros beyond its ends."""

    def __init__(self, blocks: Iterable[Samples]) -> None:
        self._blocks = iter(blocks)
        self._held: Samples = np.zeros(0, dtype=np.float32)
        self._first = 0

    @property
    def end(self) -> int:
        """The first sample that is not held yet."""
        return self._first + len(self._held)

    def read(self, start: int, end: int) -> Samples:
        """Return the samples from `start` to `end`; nothing before what was forgotten may be asked for."""
        parts = [self._held]
        n_held = len(self._held)
        while self._first + n_held < end and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            n_held += len(block)
        self._held = np.concatenate(parts)
        inside = self._held[max(0, start) - self._first : max(0, end) - self._first]
        left = min(max(0, -start), end - start)
        return np.pad(inside, (left, end - start - left - len(inside)))

    def forget(self, before: int) -> None:
        """Drop what lies before a sample."""
        n_dropped = max(0, min(before - self._first, len(self._held)))
        self._held = self._held[n_dropped:].copy()
        self._first += n_dropped


def _runs(pieces: Sequence[Piece]) -> Iterator[list[int]]:
    """Yield the borders of the pieces in each unbroken voiced stretch."""
    run: list[int] = []
    for piece in pieces:
        if piece.silent or piece.end == piece.start:
            continue
        if run and run[-1] == piece.start:
            run.append(piece.end)
            continue
        if run:
            yield run
        run = [piece.start, piece.end]
    if run:
        yield run


def _cuts(borders: Sequence[int], longest: int) -> list[int]:
    """Choose where to cut a voiced stretch: at borders of pieces where that keeps clips short enough, else evenly."""
    cuts = [borders[0]]
    for border, following in pairwise([*borders[1:], borders[-1] + longest + 1]):
        if following - cuts[-1] <= longest:
            continue  # the next piece fits as well
        start = cuts[-1]
        n_parts = -(-(border - start) // longest)
        cuts += [start + (border - start) * part // n_parts for part in range(1, n_parts + 1)]
    return cuts
