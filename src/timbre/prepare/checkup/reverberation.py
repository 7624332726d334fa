"""A coarse estimate of the reverberation time of the room.

Where a voice stops, the level falls as fast as the voice does or as the room lets it, whichever is slower. The steepest
falls of many offsets therefore tell the room (the idea of Ratnam et al. 2003). How steep falls of 116 ms are in a room
of a known reverberation time was measured once, on dry speech in synthetic rooms (`benchmarks.dataset_measures`).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from timbre.prepare.checkup.spectra import HOP_SAMPLES, to_db

DRY_S = 0.2

_BAND_EDGES = (2, 4, 8, 16, 32)  # of 172 Hz bands: four octaves from 345 Hz to 5.5 kHz
_FALL_FRAMES = 10
_ABOVE_QUIET_DB = 8.0
_QUIET_PERCENTILE, _LOUD_PERCENTILE = 5, 95
_LEAST_RANGE_DB = 20.0
_STEEP_PERCENTILE = 90
_FEWEST_FALLS = 40
_READING_S = (0.22, 0.33, 0.46, 0.61, 0.80)  # 60 dB over the steep slope
_ROOM_S = (0.0, 0.3, 0.5, 0.8, 1.5)  # of the room that reads so


def measure_reverberation_s(bands: NDArray[np.float32], sample_rate_hz: int) -> float | None:
    """Return the time in which the sound of the room falls by 60 dB, from the band powers [T, M] of a clip.

    Values below DRY_S cannot be told from the voice's own endings, and 1.5 is the highest value.
    None where the level of no octave moves by 20 dB, or fewer than 40 falls stand above the noise: a held note, too
    noisy, too short. The soft endings of a singer count as room.
    """
    line = np.arange(_FALL_FRAMES) - (_FALL_FRAMES - 1) / 2
    line /= np.sum(line**2)  # its product with levels is their slope per frame
    falls = []
    for low, high in pairwise(_BAND_EDGES):
        level_db = to_db(bands[:, low:high].sum(axis=1))
        if len(level_db) < _FALL_FRAMES:
            return None
        quiet_db, loud_db = np.percentile(level_db, (_QUIET_PERCENTILE, _LOUD_PERCENTILE))
        if loud_db - quiet_db < _LEAST_RANGE_DB:
            continue
        windows = sliding_window_view(level_db, _FALL_FRAMES)
        slope = windows @ line
        heard = windows.min(axis=1) > quiet_db + _ABOVE_QUIET_DB
        falls.append(-slope[heard & (slope < 0)])
    slopes = np.concatenate(falls) if falls else np.zeros(0)
    if len(slopes) < _FEWEST_FALLS:
        return None
    reading_s = 60 * HOP_SAMPLES / sample_rate_hz / float(np.percentile(slopes, _STEEP_PERCENTILE))
    return float(np.interp(reading_s, _READING_S, _ROOM_S))
