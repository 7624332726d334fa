"""Take out what lies far below voices and is not heard, but counts as loudness: steps, wind, a constant offset.

A high-pass of fourth order (Butterworth 1930) at 20 Hz, as an impulse response that is cut off after 160 ms, so that it
is causal, adds no delay and gives the same in pieces as whole.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
CUTOFF_HZ = 20.0
ORDER = 4
RESPONSE_S = 0.16
PIECE_SAMPLES = 30_000  # transformed at once, so that long sounds take little memory


class RumbleFilter:
    """Push mono sound of one rate, get as much of it without rumble."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._n_before = len(_impulse_response(sample_rate_hz)) - 1
        self._before = np.zeros(self._n_before)

    def push(self, wave: Wave) -> Wave:
        """Return the next samples [N] without rumble [N]."""
        starts = range(0, max(1, len(wave)), PIECE_SAMPLES)
        return np.concatenate([self._push(wave[start : start + PIECE_SAMPLES]) for start in starts])

    def _push(self, wave: Wave) -> Wave:
        held: NDArray[np.float64] = np.concatenate((self._before, wave.astype(np.float64)))
        self._before = held[len(wave) :]
        size = 1 << (len(held) - 1).bit_length()  # what comes round again falls on samples that were there before
        clean = np.fft.irfft(np.fft.rfft(held, size) * _spectrum(self._sample_rate_hz, size), size)
        return clean[self._n_before : len(held)].astype(np.float32)


def without_rumble(wave: Wave, sample_rate_hz: int) -> Wave:
    """Return a whole mono sound [N] without rumble."""
    return RumbleFilter(sample_rate_hz).push(wave)


def blocks_without_rumble(blocks: Iterable[Wave], sample_rate_hz: int) -> Iterator[Wave]:
    """Yield the blocks of a mono sound without rumble."""
    cleaner = RumbleFilter(sample_rate_hz)
    return (cleaner.push(block) for block in blocks)


@functools.lru_cache(maxsize=8)
def _spectrum(sample_rate_hz: int, size: int) -> NDArray[np.complex128]:
    return np.fft.rfft(_impulse_response(sample_rate_hz), size)


@functools.lru_cache(maxsize=8)
def _impulse_response(sample_rate_hz: int) -> NDArray[np.float64]:
    """Return the response of the filter to one pulse, by two sections of second order; its sum is 0."""
    length = round(RESPONSE_S * sample_rate_hz)
    response = np.zeros(length)
    response[0] = 1.0
    warped = np.tan(np.pi * CUTOFF_HZ / sample_rate_hz)  # bilinear transform
    for section in range(ORDER // 2):
        damping = 2 * np.cos(np.pi * (2 * section + 1) / (2 * ORDER))
        scale = 1 / (1 + damping * warped + warped**2)
        first, second = 2 * (warped**2 - 1) * scale, (1 - damping * warped + warped**2) * scale
        forward = scale * np.convolve(response, (1.0, -2.0, 1.0))[:length]
        for number in range(length):
            past = response[number - 2 : number][::-1] if number >= 2 else response[:number][::-1]
            response[number] = forward[number] - np.dot((first, second)[: len(past)], past)
    response[0] -= response.sum()
    response.setflags(write=False)
    return response
