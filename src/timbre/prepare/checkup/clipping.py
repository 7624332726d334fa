"""Clipping: loud waves whose tops were cut off flat.

The level does not matter, so that a recording that was clipped first and made quieter later is found too. A true-peak
limiter, which brings many tops to one level but leaves them round, is not mistaken for clipping.
"""

from __future__ import annotations

import numpy as np

from timbre.audio.sound import Samples

_LOUD_PERCENTILE = 99.9
_RUN, _FOOT, _CREST = 0.45, 0.6, 0.9  # a sine is twice as wide at its foot as at its crest
_LOUD_TOP = 0.75
_FLAT_RATIO = 0.68  # crest over foot of a sine that lost 1.5 dB
_NARROWEST_FOOT = 6  # samples
_FEWEST_TOPS = 5
_FLAT_SHARE = 0.12  # of the loud tops; unclipped voices have up to 0.08
_EQUAL = 2.0**-22  # one step of 24 bits, rounding included
_PLATEAU_LEVEL = 0.9  # of the highest sample


def measure_clipping(wave: Samples) -> float:
    """Return the share of samples of `wave` [N] that lie in cut tops, 0 for a sound that was not clipped.

    Two signs are looked for on each side of the wave: at least five plateaus of three equal samples near the highest
    one, which only an untouched file still has; and at least five loud tops, and an eighth of them, that are too wide
    near the top, which resampling and lossy coding leave visible.
    """
    cut = sum(max(_plateau_samples(side), _flat_top_samples(side)) for side in (wave, -wave))
    return cut / max(1, len(wave))


def _plateau_samples(side: Samples) -> int:
    """Number of samples in runs of at least three equal ones near the highest sample."""
    highest = float(side.max(initial=0.0))
    equal = (np.abs(np.diff(side)) < _EQUAL) & (side[1:] > _PLATEAU_LEVEL * highest)
    lengths = [end - start + 1 for start, end in _runs(equal) if end - start >= 2]
    return sum(lengths) if len(lengths) >= _FEWEST_TOPS else 0


def _flat_top_samples(side: Samples) -> int:
    """Number of samples in the crests of tops that are too wide, 0 where they are few."""
    loud = float(np.percentile(np.abs(side), _LOUD_PERCENTILE)) if len(side) else 0.0
    n_tops, crests = 0, []
    for start, end in _runs(side >= max(_RUN * loud, 1e-6)):
        if end - start < _NARROWEST_FOOT:
            continue
        top = side[start:end]
        peak = float(top.max())
        foot = int(np.count_nonzero(top >= _FOOT * peak))
        if peak < _LOUD_TOP * loud or foot < _NARROWEST_FOOT:
            continue
        n_tops += 1
        crest = int(np.count_nonzero(top >= _CREST * peak))
        if crest > _FLAT_RATIO * foot:
            crests.append(crest)
    return sum(crests) if len(crests) >= max(_FEWEST_TOPS, _FLAT_SHARE * n_tops) else 0


def _runs(mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[list[int]]:
    """Return [start, end) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    pairs: list[list[int]] = edges.reshape(-1, 2).tolist()
    return pairs
