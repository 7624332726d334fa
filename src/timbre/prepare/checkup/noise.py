"""How loud the voice is, and the steady noise under it.

The noise is read from the quietest twentieth of all places in time and frequency, band by band (after the minimum
statistics of Martin 2001). Such places lie in pauses, but also between the harmonics of a held note, so that a clip
without a pause can be measured too. Breath counts as noise there, which is on the safe side.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from timbre.prepare.checkup.spectra import smooth_frames, to_db

_EDGES = (8, *range(32, 1025, 32))  # bins: 172 Hz, then every 689 Hz; rumble and hum below are measured on their own
_QUIET_PERCENTILE = 5
_QUIET_TO_MEAN = 2.58  # mean power of white noise over the 5th percentile of its smoothed bins
_VOICE_WITHIN = 10**-2.0  # 20 dB under the loud frames


@dataclass(frozen=True)
class Noise:
    """Levels of one clip above 172 Hz, in dB of full scale."""

    voice_db: float  # mean of the frames within 20 dB of the loud ones and 3 dB above the noise, without the noise
    floor_db: float  # the steady noise

    @property
    def signal_to_noise_db(self) -> float:
        """How far the voice is above the noise."""
        return self.voice_db - self.floor_db


def measure_noise(power: NDArray[np.float32]) -> Noise:
    """Measure voice and noise of the power spectra [T, 1025] of one clip."""
    smooth = smooth_frames(power[:, : _EDGES[-1]])
    noise = 0.0
    for low, high in pairwise(_EDGES):
        noise += (high - low) * _QUIET_TO_MEAN * float(np.percentile(smooth[:, low:high], _QUIET_PERCENTILE))
    frames = smooth[:, _EDGES[0] :].sum(axis=1)
    loud = float(np.percentile(frames, 95))
    least = min(loud, max(loud * _VOICE_WITHIN, 2 * noise))  # noisy pauses are no voice
    voice = float(frames[frames >= least].mean()) - noise
    return Noise(float(to_db(max(voice, noise / 100))), float(to_db(noise)))
