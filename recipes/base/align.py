"""When each phone of a transcript was said: forced alignment from frame posteriors of the encoder itself.

Viterbi search over a chain of phones (Rabiner 1989, section III.B). Each phone lasts at least two frames; silence may
stand before, between and after words. Frame scores are log posteriors less a part of the log prior (a scaled
likelihood, Bourlard and Morgan 1994), so that common phones do not swallow rare ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from timbre.errors import TimbreError

FloatArray = npt.NDArray[np.floating]
SILENCE_CLASS = 0
PRIOR_WEIGHT = 0.6
KEEP_AGREEMENT = 0.3
MIN_FRAMES = 2
_STAY, _STEP, _SKIP = 0, 1, 1 + MIN_FRAMES  # how many states back the best predecessor lies


class AlignmentError(TimbreError):
    """A transcript cannot be laid over a recording."""


@dataclass(frozen=True)
class Alignment:
    """Class of each frame [T] int16, and the share of frames where the freely chosen class is the same one."""

    classes: npt.NDArray[np.int16]
    agreement: float


@dataclass(frozen=True)
class _Chain:
    """The states in order: class of each, whether it may last, and whether the silence before it may be left out."""

    classes: npt.NDArray[np.int64]
    may_stay: npt.NDArray[np.bool_]
    may_skip: npt.NDArray[np.bool_]


def align(
    log_posteriors: FloatArray,
    words: Sequence[Sequence[int]],
    log_prior: FloatArray | None = None,
    *,
    prior_weight: float = PRIOR_WEIGHT,
) -> Alignment:
    """Find the most likely times of the phones of `words` in a recording.

    `log_posteriors` is [T, C], `log_prior` [C] (none: all classes equally common); `words` are lists of classes
    1..C-1, class 0 is silence. For one run of phones without pauses give a single word. Raises AlignmentError if
    there is no phone, a class is out of range, or the phones need more than T frames.
    """
    n_frames, n_classes = log_posteriors.shape
    phones = [phone for word in words for phone in word]
    _check(phones, n_frames, n_classes)
    scores = log_posteriors if log_prior is None else log_posteriors - prior_weight * log_prior
    chain = _chain(words)
    path = _best_path(np.asarray(scores, dtype=np.float64)[:, chain.classes], chain)
    classes = chain.classes[path].astype(np.int16)
    return Alignment(classes, float(np.mean(classes == log_posteriors.argmax(axis=1))))


def align_corpus(
    log_posterior_function: Callable[[str], FloatArray],
    transcripts: Mapping[str, Sequence[Sequence[int]]],
    log_prior: FloatArray | None = None,
    *,
    keep_agreement: float = KEEP_AGREEMENT,
    prior_weight: float = PRIOR_WEIGHT,
) -> dict[str, npt.NDArray[np.int16]]:
    """Align many recordings; returns path -> classes [T] of those worth learning from.

    `log_posterior_function` gives [T, C] for a path of `transcripts`. A recording is left out where the agreement is
    not above `keep_agreement`, or where the transcript does not fit into its length.
    """
    aligned = alignments(log_posterior_function, transcripts, log_prior, prior_weight)
    return {path: alignment.classes for path, alignment in aligned if alignment.agreement > keep_agreement}


def alignments(
    log_posterior_function: Callable[[str], FloatArray],
    transcripts: Mapping[str, Sequence[Sequence[int]]],
    log_prior: FloatArray | None,
    prior_weight: float = PRIOR_WEIGHT,
) -> Iterator[tuple[str, Alignment]]:
    """Yield path and alignment of each recording whose transcript fits into its length, in the order given."""
    for path, words in transcripts.items():
        log_posteriors = log_posterior_function(path)
        if fits(words, len(log_posteriors)):
            yield path, align(log_posteriors, words, log_prior, prior_weight=prior_weight)


def fits(words: Sequence[Sequence[int]], n_frames: int) -> bool:
    """Say whether the phones of `words`, at two frames each, fit into `n_frames`."""
    n_phones = sum(len(word) for word in words)
    return 0 < n_phones * MIN_FRAMES <= n_frames


def _check(phones: Sequence[int], n_frames: int, n_classes: int) -> None:
    if not phones:
        raise AlignmentError("got no phones; a transcript needs at least one")
    if min(phones) <= SILENCE_CLASS or max(phones) >= n_classes:
        raise AlignmentError(
            f"got phones {min(phones)}..{max(phones)}; they must be classes 1..{n_classes - 1} of the posteriors "
            "(silence, class 0, comes by itself)"
        )
    if len(phones) * MIN_FRAMES > n_frames:
        raise AlignmentError(
            f"got {len(phones)} phones for {n_frames} frames; each needs {MIN_FRAMES} frames: check the transcript"
        )


def _chain(words: Sequence[Sequence[int]]) -> _Chain:
    """Each phone is MIN_FRAMES states of which the last may repeat: sil, word, sil, word, ..., sil."""
    classes: list[int] = [SILENCE_CLASS]
    skippable: list[bool] = [False]  # whether the silence before this phone may be left out
    for word in words:
        if word:
            classes += [*word, SILENCE_CLASS]
            skippable += [True, *[False] * len(word)]
    last = np.arange(MIN_FRAMES) == MIN_FRAMES - 1
    first = np.arange(MIN_FRAMES) == 0
    return _Chain(
        np.repeat(np.asarray(classes), MIN_FRAMES),
        np.tile(last, len(classes)),
        np.outer(np.asarray(skippable), first).reshape(-1),
    )


def _best_path(scores: npt.NDArray[np.float64], chain: _Chain) -> npt.NDArray[np.int64]:
    """Return the state of each frame [T] on the best path through the chain; `scores` is [T, S]."""
    n_frames, n_states = scores.shape
    start = np.full(n_states, -np.inf)
    start[[0, MIN_FRAMES]] = scores[0, [0, MIN_FRAMES]]  # in the first silence, or at once in the first phone
    stay_cost = np.where(chain.may_stay, 0.0, -np.inf)
    skip_cost = np.where(chain.may_skip, 0.0, -np.inf)[_SKIP:]
    came_from = np.zeros((n_frames, n_states), dtype=np.int8)
    best = start
    for frame in range(1, n_frames):
        arrived = best + stay_cost
        origin = came_from[frame]  # _STAY
        stepped = best[:-1] > arrived[1:]
        arrived[1:][stepped] = best[:-1][stepped]
        origin[1:][stepped] = _STEP
        skipped = best[:-_SKIP] + skip_cost > arrived[_SKIP:]
        arrived[_SKIP:][skipped] = best[:-_SKIP][skipped]
        origin[_SKIP:][skipped] = _SKIP
        best = arrived + scores[frame]
    ends = np.asarray([n_states - 1, n_states - 1 - MIN_FRAMES])  # in the last silence, or in the last phone
    state = int(ends[np.argmax(best[ends])])
    path = np.empty(n_frames, dtype=np.int64)
    for frame in range(n_frames - 1, -1, -1):
        path[frame] = state
        state -= int(came_from[frame, state])
    return path
