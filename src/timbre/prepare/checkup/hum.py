"""Mains hum and offset: what a bad cable adds."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from timbre.audio.resample import resample
from timbre.audio.sound import Samples
from timbre.prepare.checkup.spectra import to_db

_RATE_HZ = 2000  # holds the harmonics below
_MAINS_HZ = (50, 60)
_HARMONICS = (1, 2, 3, 4, 5, 6)
_STEADY_PERCENTILE = 20  # a voice's own tones move away for longer than that
_PROMINENCE = 10.0  # 10 dB over the neighbours, for two lines
_LONE_PROMINENCE = 10**1.6  # 16 dB, for the first line alone: voices hide the others and rarely reach so low
_SHORTEST_S = 2.0  # three windows of one second


def measure_hum(wave: Samples, sample_rate_hz: int) -> tuple[float, int]:
    """Return the level of mains hum in dB of full scale and the mains frequency in Hz; (-160, 0) where there is none.

    Hum is a row of steady lines: in all but the quietest fifth of one-second windows two harmonics of 50 or 60 Hz stand
    10 dB above their neighbours, or the first alone does by 16 dB. A clip below 2 s is too short for that.
    """
    if len(wave) < _SHORTEST_S * sample_rate_hz:
        return -160.0, 0
    low = resample(wave, sample_rate_hz, _RATE_HZ)
    windows = sliding_window_view(low, _RATE_HZ)[:: _RATE_HZ // 2] * np.hanning(_RATE_HZ).astype(np.float32)
    power = np.abs(np.fft.rfft(windows)) ** 2 * (2 / (_RATE_HZ**2 * 3 / 8))  # bin k is k Hz
    steady = np.percentile(power, _STEADY_PERCENTILE, axis=0)
    levels = [(_lines_power(steady, mains), mains) for mains in _MAINS_HZ]
    loudest, mains = max(levels)
    return (float(to_db(loudest)), mains) if loudest > 0 else (-160.0, 0)


def _lines_power(steady: NDArray[np.float64], mains_hz: int) -> float:
    """Add up the power of the lines that stand out, or 0 where they are too few."""
    lines: list[float] = []
    is_alone_enough = False
    for number in _HARMONICS:
        centre = number * mains_hz
        line = float(steady[centre - 2 : centre + 3].sum())
        beside = np.concatenate((steady[centre - 12 : centre - 4], steady[centre + 5 : centre + 13]))
        prominence = line / max(5 * float(np.median(beside)), 1e-20)  # the line was read from five bins
        if prominence > _PROMINENCE:
            lines.append(line)
        if number == 1 and prominence > _LONE_PROMINENCE:
            is_alone_enough = True
    return sum(lines) if len(lines) > 1 or is_alone_enough else 0.0
