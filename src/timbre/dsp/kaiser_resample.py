"""A long Kaiser-windowed sinc resampler, close to resampy's `kaiser_best`, which CREPE was always fed with."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from timbre.dsp.polyphase import PhaseGroup, apply_phases, phase_groups
from timbre.errors import SettingsError

ZERO_CROSSINGS = 50
BETA = 12.9846
ROLLOFF = 0.917347


def kaiser_resample(wave: Tensor, from_rate_hz: int, to_rate_hz: int) -> Tensor:
    """Resample `wave` [..., N] float32 to [..., N * to_rate_hz // from_rate_hz] (pipeline spec 2.7).

    The same rate returns the wave itself. Raises SettingsError for a rate below 1 Hz.
    """
    if min(from_rate_hz, to_rate_hz) < 1:
        raise SettingsError(f"got rates {from_rate_hz} and {to_rate_hz} Hz; each must be at least 1 Hz")
    if from_rate_hz == to_rate_hz:
        return wave
    divisor = math.gcd(from_rate_hz, to_rate_hz)
    step_in, step_out = from_rate_hz // divisor, to_rate_hz // divisor
    n_samples_out = wave.shape[-1] * step_out // step_in
    return apply_phases(wave, step_in, step_out, _filters(step_in, step_out), n_samples_out)


@functools.lru_cache(maxsize=16)
def _filters(step_in: int, step_out: int) -> tuple[PhaseGroup, ...]:
    scale = min(1.0, step_out / step_in)

    def kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
        t = np.clip(distance * scale, -ZERO_CROSSINGS, ZERO_CROSSINGS)
        taper = np.i0(BETA * np.sqrt(1 - (t / ZERO_CROSSINGS) ** 2)) / np.i0(BETA)
        return np.asarray(scale * ROLLOFF * np.sinc(ROLLOFF * t) * taper)

    return phase_groups(step_in, step_out, ZERO_CROSSINGS / scale, kernel)
