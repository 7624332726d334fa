"""Loudness fidelity: does the converted voice swell and fade with the source?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbre.evaluate.waves import MonoWave, frame_level_db

SAMPLE_RATE_HZ = 16_000
_WINDOW_SAMPLES = 400  # 25 ms
_HOP_SAMPLES = 160  # 10 ms
_ACTIVE_BELOW_PEAK_DB = 50.0  # quieter frames of the source are room noise
_MIN_SPREAD_DB = 0.5  # a source of constant level has no envelope to correlate with


@dataclass(frozen=True)
class LoudnessFidelity:
    """How two loudness envelopes differ over the frames where the source is active."""

    envelope_correlation: float | None  # -1..1 of the levels in dB; None when the source's level never changes
    level_difference_db: float  # converted minus source, over their mean power
    n_active_frames: int


def measure_loudness_fidelity(source: MonoWave, converted: MonoWave) -> LoudnessFidelity:
    """Compare the levels of 25 ms frames each 10 ms, up to 8 kHz, over the common length.

    Active frames are those of the source within 50 dB of its loudest one; the converted level is held
    within 50 dB of its own loudest frame, so that digital silence counts as quiet, not as endlessly far away.
    """
    levels = [
        frame_level_db(wave.at(SAMPLE_RATE_HZ).samples, _WINDOW_SAMPLES, _HOP_SAMPLES) for wave in (source, converted)
    ]
    n_frames = min(len(levels[0]), len(levels[1]))
    source_db, converted_db = levels[0][:n_frames], levels[1][:n_frames]
    active = source_db > source_db.max() - _ACTIVE_BELOW_PEAK_DB
    source_db, converted_db = source_db[active], converted_db[active]
    floor_db = converted_db.max() - _ACTIVE_BELOW_PEAK_DB
    power = [np.mean(10.0 ** (level / 10.0)) for level in (source_db, converted_db)]
    return LoudnessFidelity(
        envelope_correlation=_correlation(source_db, np.maximum(converted_db, floor_db)),
        level_difference_db=float(10.0 * np.log10(power[1] / power[0])),
        n_active_frames=int(active.sum()),
    )


def _correlation(source_db: NDArray[np.float64], converted_db: NDArray[np.float64]) -> float | None:
    if float(np.std(source_db)) < _MIN_SPREAD_DB:
        return None
    if float(np.std(converted_db)) < 1e-6:  # a constant level follows nothing
        return 0.0
    return float(np.corrcoef(source_db, converted_db)[0, 1])
