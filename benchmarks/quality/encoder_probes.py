"""What features tell about speakers, words and phones, and how little a changed voice moves them.

Each probe takes features only and returns one number for each speaker or recording, so that a mean over them has an
honest interval: frames of one recording are never independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.linear_probe import cross_validate
from benchmarks.quality.time_warping import warped_distances

N_FOLDS = 5
N_OTHER_SPEAKERS = 3
N_CANDIDATES = 1500

Frames = NDArray[np.float32]  # [T, D]


@dataclass(frozen=True)
class Piece:
    """A stretch of one speaker's sound."""

    frames: Frames
    speaker: str
    recording: str  # pieces of one recording are never in training and test at once
    fold: int


@dataclass(frozen=True)
class Labelled:
    """A recording with the phone of each frame."""

    frames: Frames
    phones: Sequence[str]  # [T], "" where unknown or silent
    speaker: str


@dataclass(frozen=True)
class Agreement:
    """How alike the features of a recording and of a changed copy are."""

    cosine: float  # mean over the frames
    rank: float  # mean share (0..1) of other frames that are nearer to the changed frame than its own original


def speaker_accuracy(pieces: Sequence[Piece]) -> list[float]:
    """Return, for each recording, the share of its pieces of which a linear classifier finds the speaker.

    It sees mean and deviation of each channel over a piece, and is trained on the pieces of all other folds.
    """
    pooled = np.stack([np.concatenate((piece.frames.mean(axis=0), piece.frames.std(axis=0))) for piece in pieces])
    classes = np.unique([piece.speaker for piece in pieces], return_inverse=True)[1]
    right = cross_validate(pooled, classes, np.array([piece.fold for piece in pieces]))
    return _mean_by(right, [piece.recording for piece in pieces])


def phone_accuracy(recordings: Sequence[Labelled]) -> list[float]:
    """Return, for each recording, the share of its labelled frames of which a linear classifier finds the phone.

    It sees one frame, and is trained on the recordings of all other speakers.
    """
    labels = np.concatenate([list(recording.phones) for recording in recordings])
    known = labels != ""
    classes = np.unique(labels[known], return_inverse=True)[1]
    speakers = np.unique([recording.speaker for recording in recordings], return_inverse=True)[1]
    lengths = [len(recording.frames) for recording in recordings]
    frames = np.concatenate([recording.frames for recording in recordings])[known]
    right = cross_validate(frames, classes, np.repeat(speakers, lengths)[known])
    return _mean_by(right, np.repeat(np.arange(len(recordings)), lengths)[known].tolist())


def commonest_phone_share(recordings: Sequence[Labelled]) -> float:
    """Return what a classifier without ears reaches: the share of the commonest phone among the labelled frames."""
    labels = [phone for recording in recordings for phone in recording.phones if phone]
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def word_retrieval(vocabularies: Sequence[Sequence[Frames]]) -> list[float]:
    """Return, for each speaker, the share of right answers to: which of another speaker's words is this one?

    Each speaker says the same words in the same order. The answer is the word of least warped cosine distance
    (`warped_distances`); channels are first scaled over all words. Each speaker is compared with the next three in the
    circle of speakers, in both directions.
    """
    scaled = [_scaled_like([frames for words in vocabularies for frames in words], words) for words in vocabularies]
    n_speakers, n_words = len(scaled), len(scaled[0])
    answers: list[list[float]] = [[] for _ in scaled]
    for step in range(1, min(N_OTHER_SPEAKERS, n_speakers // 2) + 1):
        for speaker in range(n_speakers):
            other = (speaker + step) % n_speakers
            distances = warped_distances(scaled[speaker], scaled[other])
            answers[speaker].append(float(np.mean(distances.argmin(axis=1) == np.arange(n_words))))
            answers[other].append(float(np.mean(distances.argmin(axis=0) == np.arange(n_words))))
    return [float(np.mean(shares)) for shares in answers]


def agreement(originals: Sequence[Frames], copies: Sequence[Frames]) -> list[Agreement]:
    """Compare each recording [T, D] with its changed copy [T, D]; channels are first scaled over the originals.

    Scaling takes away what all frames have in common, without which any two frames are alike. The rank is that among
    1500 frames of all originals: an encoder that hears nothing may reach a high cosine, but never a low rank.
    """
    ours, theirs = (_scaled_like(originals, frames) for frames in (originals, copies))
    units, changed = [_unit(frames) for frames in ours], [_unit(frames) for frames in theirs]
    everything = np.concatenate(units)
    picks = np.linspace(0, len(everything) - 1, min(N_CANDIDATES, len(everything))).astype(int)
    return [_agreement(original, copy, everything[picks]) for original, copy in zip(units, changed, strict=True)]


def _agreement(original: Frames, copy: Frames, candidates: Frames) -> Agreement:
    own = np.sum(original * copy, axis=1)
    lead = copy @ candidates.T - own[:, None]
    nearer = np.where(np.abs(lead) < 1e-5, 0.5, lead > 0)  # ties count half
    return Agreement(float(own.mean()), float(nearer.mean()))


def _scaled_like(models: Sequence[Frames], sounds: Sequence[Frames]) -> list[Frames]:
    """Give each channel the mean 0 and deviation 1 that make it so for `models`."""
    everything = np.concatenate(models)
    mean, deviation = everything.mean(axis=0), everything.std(axis=0) + 1e-6
    return [(frames - mean) / deviation for frames in sounds]


def _unit(frames: Frames) -> Frames:
    return np.asarray(frames / np.maximum(np.linalg.norm(frames, axis=1, keepdims=True), 1e-6))


def _mean_by(right: NDArray[np.bool_], groups: Sequence[object]) -> list[float]:
    """Return the mean of `right` in each group, in the order of their first appearance."""
    names = list(dict.fromkeys(groups))
    numbers = np.array([names.index(group) for group in groups])
    return [float(right[numbers == number].mean()) for number in range(len(names))]
