"""Peaks: sample peaks, true peaks between the samples, and a limiter for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timbre.audio.resample import StreamResampler
from timbre.audio.sound import Samples, check_rate

_BLOCK_SAMPLES = 1 << 18
_LOOK_AHEAD_S = 0.005
_PASSES = 6


def normalize_peak(samples: Samples, peak: float = 1.0) -> Samples:
    """Return [..., N] scaled so that its largest sample is `peak`; silence is returned as it is."""
    largest = _largest(samples)
    return samples if largest == 0 else (samples * (peak / largest)).astype(np.float32)


def limit_peak(samples: Samples, ceiling: float = 1.0, target: float = 0.98) -> Samples:
    """Return [..., N] scaled to the peak `target` when it passes `ceiling`, else as it is (pipeline spec 4.1)."""
    return normalize_peak(samples, target) if _largest(samples) > ceiling else samples


def true_peak_db(samples: Samples, sample_rate_hz: int) -> float:
    """Highest level of [N] or [C, N] between and on the samples, in dB full scale (BS.1770 annex 2); -inf for silence.

    Oversampled four times, twice from 96 kHz on, and not from 192 kHz on.
    """
    return _to_db(float(_sample_peaks(np.atleast_2d(samples), sample_rate_hz).max(initial=0.0)))


def limit_true_peak(samples: Samples, sample_rate_hz: int, ceiling_db: float = -1.0) -> Samples:
    """Return [N] or [C, N] with no true peak above `ceiling_db`; a sound below the ceiling is returned as it is.

    The gain, one for all channels, falls and rises smoothly within 5 ms around each peak, so that nothing is clipped
    and the rest of the sound is unchanged.
    """
    channels = np.atleast_2d(samples)
    peaks = _sample_peaks(channels, sample_rate_hz)
    if _to_db(float(peaks.max(initial=0.0))) <= ceiling_db:
        return samples
    ceiling = allowed = 10 ** (ceiling_db / 20)
    half_window = max(1, round(_LOOK_AHEAD_S * sample_rate_hz))
    for _ in range(_PASSES):
        gain = smooth_gain(np.minimum(1.0, allowed / np.maximum(peaks, allowed)), half_window)
        limited = (channels * gain).astype(np.float32)
        excess = float(_sample_peaks(limited, sample_rate_hz).max()) / ceiling
        if excess <= 1:
            break
        allowed /= excess * 1.0001  # a changing gain moves peaks between samples by a little
    else:
        limited = (limited / (excess * 1.0001)).astype(np.float32)
    return limited[0] if samples.ndim == 1 else limited


def smooth_gain(gain: NDArray[np.float64], half_window: int) -> NDArray[np.float64]:
    """Smooth a gain [N] so that it never rises above itself: lowest of the neighbourhood, then two moving means."""
    lowest = _sliding_minimum(gain, half_window)
    half = half_window // 2
    return np.minimum(_moving_mean(_moving_mean(lowest, half), half_window - half), gain)


def _sliding_minimum(values: NDArray[np.float64], half_window: int) -> NDArray[np.float64]:
    """Lowest of values[t - half_window .. t + half_window] for each t [N] (van Herk 1992: two passes)."""
    window = 2 * half_window + 1
    n_blocks = -(-(len(values) + 2 * half_window) // window)
    padded = np.full(n_blocks * window, np.inf)
    padded[half_window : half_window + len(values)] = values
    blocks = padded.reshape(n_blocks, window)
    forward = np.minimum.accumulate(blocks, axis=1).ravel()
    backward = np.minimum.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].ravel()
    return np.minimum(backward[: len(values)], forward[window - 1 : window - 1 + len(values)])


def _moving_mean(values: NDArray[np.float64], half_window: int) -> NDArray[np.float64]:
    """Mean of 2 * half_window + 1 neighbours [N], with the ends held."""
    if half_window == 0:
        return values
    padded = np.pad(values, (half_window + 1, half_window), mode="edge")
    total = np.cumsum(padded)
    window = 2 * half_window + 1
    mean: NDArray[np.float64] = (total[window:] - total[:-window]) / window
    return mean


def _sample_peaks(channels: Samples, sample_rate_hz: int) -> NDArray[np.float64]:
    """Highest oversampled magnitude of any channel around each sample, [C, N] -> [N]."""
    check_rate(sample_rate_hz)
    factor = 4 if sample_rate_hz < 96_000 else 2 if sample_rate_hz < 192_000 else 1
    stream = StreamResampler(sample_rate_hz, factor * sample_rate_hz, len(channels))
    starts = range(0, channels.shape[1], _BLOCK_SAMPLES)
    parts = [np.abs(stream.push(channels[:, start : start + _BLOCK_SAMPLES])).max(axis=0) for start in starts]
    parts.append(np.abs(stream.flush()).max(axis=0))
    fine = np.concatenate(parts)
    between = fine[::factor].copy()  # highest from each sample up to the next one [N]
    for step in range(1, factor):
        np.maximum(between, fine[step::factor], out=between)
    peaks: NDArray[np.float64] = np.maximum(between, np.abs(channels).max(axis=0)).astype(np.float64)
    peaks[1:] = np.maximum(peaks[1:], between[:-1])  # a peak between two samples belongs to both
    return peaks


def _largest(samples: Samples) -> float:
    return float(np.abs(samples).max(initial=0.0))


def _to_db(level: float) -> float:
    return 20 * float(np.log10(level)) if level > 0 else -np.inf
