"""Mains hum and low noise in pauses, which trackers take for a very low voice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST_HZ, HIGHEST_HZ = 40.0, 75.0  # what hum of 50 and 60 Hz and noise are heard as
BELOW_VOICE_HZ = 90.0  # the harmonics of a voice as low lie above: its fundamental is weak
MOST_BELOW = 0.5  # of the power of a frame
REACH_S = 0.04  # around the middle of a frame


def without_hum(f0_hz: NDArray[np.float32], wave: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
    """Return the pitch [T] of a sound [N] with 0 where it is that of hum: low, and most of the power lies there.

    Frame t is the t-th of T equal parts of the sound.
    """
    low = np.flatnonzero((f0_hz > LOWEST_HZ) & (f0_hz < HIGHEST_HZ))
    if len(low) == 0:
        return f0_hz
    reach = round(REACH_S * sample_rate_hz)
    padded = np.pad(wave, reach)
    middles = ((low + 0.5) * len(wave) / len(f0_hz)).astype(int)
    frames = padded[middles[:, None] + np.arange(2 * reach)] * np.hanning(2 * reach)
    power = np.abs(np.fft.rfft(frames)) ** 2
    n_below = int(BELOW_VOICE_HZ * 2 * reach / sample_rate_hz) + 1
    hums = power[:, :n_below].sum(axis=1) > MOST_BELOW * power.sum(axis=1)
    cleaned: NDArray[np.float32] = f0_hz.copy()
    cleaned[low[hums]] = 0
    return cleaned
