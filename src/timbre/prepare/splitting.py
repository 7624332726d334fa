"""Which clips training only listens to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

_FEWEST_TO_SPARE = 3
"""A speaker with fewer clips gives none away."""


def choose_validation(clips: Iterable[tuple[str, str]], share: float, seed: int) -> frozenset[str]:
    """Return the ids of the validation clips among `clips` of (speaker, id).

    A clip's place depends on seed and id alone, so that it keeps it when others are added; only where that would give a
    speaker of three clips or more none or all, one is moved. Speakers of fewer clips keep all for training, and so does
    everybody with a share of 0.
    """
    by_speaker: dict[str, list[str]] = {}
    for speaker, clip_id in clips:
        by_speaker.setdefault(speaker, []).append(clip_id)
    if share == 0:
        return frozenset()
    return frozenset(clip_id for ids in by_speaker.values() for clip_id in _chosen(ids, share, seed))


def _chosen(ids: Sequence[str], share: float, seed: int) -> list[str]:
    if len(ids) < _FEWEST_TO_SPARE:
        return []
    ranked = sorted(ids, key=lambda clip_id: _place(clip_id, seed))
    n_chosen = sum(_place(clip_id, seed) < share for clip_id in ids)
    return ranked[: min(max(1, n_chosen), len(ids) - 1)]


def _place(clip_id: str, seed: int) -> float:
    """Return a number from 0 to below 1."""
    digest = hashlib.sha256(f"{seed} {clip_id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
