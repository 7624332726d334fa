"""Finds recordings that hold the same sound, wherever it begins and however loud or noisy it is.

Peaks of the spectrogram are joined to pairs, and pairs that two clips share at one and the same time difference are
counted (after Wang 2003, "An industrial-strength audio search algorithm"). Two performances of one sentence differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.prepare.checkup.spectra import HOP_SAMPLES, to_db

_BINS = 256  # up to 5.5 kHz at 44.1 kHz
_NEIGHBOURHOOD = (9, 13)  # frames, bins in which a peak is the highest
_PEAK_WITHIN_DB = 50.0  # of the loudest bin
_PARTNERS = 5
_FARTHEST_FRAMES, _FARTHEST_BINS = 64, 64
_COMMONEST = 12  # a pair that more clips share says nothing
_FEWEST_SHARED = 12
_STANDS_OUT = 3  # times as many as at any other time difference
_LEAST_SHARE = 0.08  # of the pairs of the overlap
_CLIPS, _SHIFTS = 1 << 20, 1 << 16  # more than there are, for numbers that hold several


@dataclass(frozen=True)
class Fingerprint:
    """Pairs of peaks of one clip: what each is, and when it begins."""

    pairs: NDArray[np.int32]  # [P]
    frames: NDArray[np.int32]  # [P]
    n_frames: int  # of the clip


@dataclass(frozen=True)
class Match:
    """Clips `first` and `second` (their places in the list) hold the same sound for `overlap_s` seconds."""

    first: int
    second: int
    overlap_s: float
    share: float  # of the pairs there that agree


def take_fingerprint(power: NDArray[np.float32]) -> Fingerprint:
    """Return the fingerprint of a clip from its power spectra [T, 1025]."""
    level = torch.from_numpy(to_db(power[:, 1 : _BINS + 1])).float()
    frames, bins = _NEIGHBOURHOOD
    highest = torch.nn.functional.max_pool2d(level[None, None], (frames, bins), 1, (frames // 2, bins // 2))[0, 0]
    is_peak = (level == highest) & (level > max(float(level.max()) - _PEAK_WITHIN_DB, -120.0))
    places = is_peak.nonzero().numpy().astype(np.int32)  # [K, 2], ordered in time
    pairs, starts = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for partner in range(1, _PARTNERS + 1):
        here, there = places[:-partner], places[partner:]
        later, higher = (there - here).T if len(here) else np.zeros((2, 0), np.int32)
        near = (later > 0) & (later < _FARTHEST_FRAMES) & (np.abs(higher) < _FARTHEST_BINS)
        pair = (here[:, 1] * 2 * _FARTHEST_BINS + higher + _FARTHEST_BINS) * _FARTHEST_FRAMES + later
        pairs.append(pair[near].astype(np.int32))
        starts.append(here[near, 0])
    return Fingerprint(np.concatenate(pairs), np.concatenate(starts), len(power))


def find_matches(fingerprints: Sequence[Fingerprint], sample_rate_hz: int) -> list[Match]:
    """Return each two clips that share sound, those with the longest overlap first."""
    if not fingerprints:
        return []
    owners = np.repeat(np.arange(len(fingerprints)), [len(each.pairs) for each in fingerprints])
    pairs = np.concatenate([each.pairs for each in fingerprints])
    frames = np.concatenate([each.frames for each in fingerprints])
    order = np.lexsort((frames, owners, pairs))
    pairs, owners, frames = pairs[order], owners[order], frames[order]
    votes = [_votes(pairs, owners, frames, step) for step in range(1, _COMMONEST + 1)]
    keys, counts = np.unique(np.concatenate(votes), return_counts=True)
    sites: dict[tuple[int, int], list[tuple[int, int]]] = {}  # (count, shift) of each two clips
    many = counts >= _FEWEST_SHARED // _STANDS_OUT
    for key, count in zip(keys[many].tolist(), counts[many].tolist(), strict=True):
        clips, shift = divmod(key, _SHIFTS)
        sites.setdefault(divmod(clips, _CLIPS), []).append((count, shift - _SHIFTS // 2))
    matches = [
        _judge(fingerprints, *clips, shift, count, sample_rate_hz)
        for clips, found in sites.items()
        for count, shift in [max(found)]
        if count >= _FEWEST_SHARED and count >= _STANDS_OUT * _next_best(found, shift)
    ]
    same = [match for match in matches if match.share >= _LEAST_SHARE]
    return sorted(same, key=lambda match: (-match.overlap_s, match.first, match.second))


def _votes(
    pairs: NDArray[np.int32], owners: NDArray[np.int64], frames: NDArray[np.int32], step: int
) -> NDArray[np.int64]:
    """Return first clip, second clip and frames between, in one number [V], of equal pairs `step` places apart."""
    places = np.flatnonzero((pairs[:-step] == pairs[step:]) & (owners[:-step] != owners[step:]))
    shifts = (frames[places + step] - frames[places]) // 2 + _SHIFTS // 2
    keys: NDArray[np.int64] = (owners[places] * _CLIPS + owners[places + step]) * _SHIFTS + shifts
    return keys


def _next_best(found: Sequence[tuple[int, int]], best_shift: int) -> int:
    """Return the highest count away from the best shift; a steady tone agrees with another at every shift."""
    return max((count for count, shift in found if abs(shift - best_shift) > 1), default=0)


def _judge(
    fingerprints: Sequence[Fingerprint], first: int, second: int, shift: int, count: int, sample_rate_hz: int
) -> Match:
    """Say how much of the overlap of two clips agrees; `shift` counts two frames from the first to the second."""
    one, other, moved = fingerprints[first], fingerprints[second], 2 * shift
    begin, end = max(0, -moved), min(one.n_frames, other.n_frames - moved)
    n_there = int(np.count_nonzero((one.frames >= begin) & (one.frames < end)))
    return Match(first, second, max(0, end - begin) * HOP_SAMPLES / sample_rate_hz, count / max(1, n_there))
