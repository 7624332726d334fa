"""Clicks: jumps that stand alone in the high band.

A jump of the signal puts a burst of a few samples into its second difference. Voices have sharp instants too, but
theirs come in company: each glottal pulse has neighbours of similar strength one period away, and a consonant's burst
lasts for milliseconds. A click is a peak that towers over everything before it and after it within 12 ms.

Natural speech has about one such peak in 40 s (creaky voice), and two of three cuts at random places make one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timbre.evaluate.waves import MonoWave

_OWN_S = 0.00015  # half width of the click itself
_REACH_S = 0.012  # how far to look for company: more than one period of an 85 Hz voice
_TOWERS_BY = 3.0
_SMALLEST_JUMP = 0.004  # of full scale; quieter ticks are masked
_SMALLEST_RELATIVE_JUMP = 0.02  # of the sound's loud level


def find_clicks(wave: MonoWave) -> NDArray[np.float64]:
    """Return the times of the clicks in seconds [K], ascending.

    A jump counts when it is at least 0.004 of full scale and 2 % of the sound's 99.9th percentile, and at least three
    times as sharp as anything else within 12 ms on either side.
    """
    samples = wave.samples.astype(np.float64)
    if len(samples) < 3:
        return np.zeros(0)
    sharpness = np.abs(np.diff(samples, 2))  # index i is centred on sample i + 1
    own = max(2, round(_OWN_S * wave.sample_rate_hz))
    reach = max(own + 1, round(_REACH_S * wave.sample_rate_hz))
    floor = max(_SMALLEST_JUMP, _SMALLEST_RELATIVE_JUMP * float(np.percentile(np.abs(samples), 99.9)))
    times: list[float] = []
    for index in np.flatnonzero(sharpness >= floor):
        if sharpness[index] < sharpness[max(0, index - own) : index + own + 1].max():
            continue  # a neighbour is the peak of this click
        before = sharpness[max(0, index - reach) : max(0, index - own)]
        after = sharpness[index + own + 1 : index + reach + 1]
        company = max(before.max(initial=0.0), after.max(initial=0.0))
        if sharpness[index] > _TOWERS_BY * company:
            times.append((index + 1) / wave.sample_rate_hz)
    return np.asarray(times, dtype=np.float64)
