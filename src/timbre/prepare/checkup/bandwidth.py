"""Up to which frequency a clip holds voice: lossy files, telephones and old microphones end early."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timbre.prepare.checkup.spectra import band_width_hz, smooth_frames

_LOUD_PERCENTILE, _QUIET_PERCENTILE = 95, 5
_LIVELY = 10**0.7  # 7 dB between loud and quiet frames; steady noise has 4
_RANGE = 10**-8.5  # 85 dB under the strongest band: below it lies the dither of 16-bit files


def measure_bandwidth_hz(bands: NDArray[np.float32], sample_rate_hz: int) -> float:
    """Return the highest frequency at which the band powers [T, M] rise and fall with the voice.

    A band counts when its loud frames are 7 dB above its quiet ones and within 85 dB of the strongest band, and the
    band below counts too. Steady noise above a cut-off does not count. 0 where nothing does, as in silence.
    """
    smooth = smooth_frames(bands)
    quiet, loud = np.percentile(smooth, (_QUIET_PERCENTILE, _LOUD_PERCENTILE), axis=0)
    present = (loud > _LIVELY * quiet) & (loud > _RANGE * loud.max())
    pairs = np.flatnonzero(present[1:] & present[:-1])
    return float((pairs[-1] + 2) * band_width_hz(sample_rate_hz)) if pairs.size else 0.0
