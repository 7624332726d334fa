"""The Hann-windowed sinc resampler that existing models were trained and used with (pipeline spec 8)."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from timbre.dsp.polyphase import PhaseGroup, apply_phases, phase_groups
from timbre.errors import SettingsError

_ROLLOFF = 0.99


def sinc_resample(wave: Tensor, from_rate_hz: int, to_rate_hz: int, zero_crossings: int = 6) -> Tensor:
    """Resample `wave` [..., N] float32 to [..., ceil(N * to_rate_hz / from_rate_hz)].

    `zero_crossings` is the length of the filter on each side: 6 is fast, 128 is what rmvpe, fcpe and the
    vocoders hear. The same rate returns the wave itself. Raises SettingsError for a rate below 1 Hz.
    """
    if min(from_rate_hz, to_rate_hz, zero_crossings) < 1:
        raise SettingsError(
            f"got {from_rate_hz} Hz to {to_rate_hz} Hz with {zero_crossings} zero crossings; each must be at least 1"
        )
    if from_rate_hz == to_rate_hz:
        return wave
    divisor = math.gcd(from_rate_hz, to_rate_hz)
    step_in, step_out = from_rate_hz // divisor, to_rate_hz // divisor
    n_samples_out = -(-wave.shape[-1] * step_out // step_in)
    return apply_phases(wave, step_in, step_out, _filters(step_in, step_out, zero_crossings), n_samples_out)


@functools.lru_cache(maxsize=16)
def _filters(step_in: int, step_out: int, zero_crossings: int) -> tuple[PhaseGroup, ...]:
    cutoff = min(step_in, step_out) * _ROLLOFF / step_in  # of the input's half rate

    def kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
        t = np.clip(distance * cutoff, -zero_crossings, zero_crossings)
        return np.asarray(np.sinc(t) * np.cos(np.pi * t / (2 * zero_crossings)) ** 2 * cutoff)

    return phase_groups(step_in, step_out, zero_crossings / cutoff, kernel)
