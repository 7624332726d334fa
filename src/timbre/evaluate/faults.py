"""Signal faults that a listener notices at once: clipping, clicks, dropped sound, offset, broken samples, length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbre.evaluate.clicks import find_clicks
from timbre.evaluate.waves import MonoWave, frame_level_db

_FULL_SCALE = 0.999
_LOUD_BELOW_PEAK_DB = 25.0
_SILENT_BELOW_PEAK_DB = 60.0
_ABSOLUTE_SILENCE_DB = -70.0
_JOIN_TOLERANCE_S = 0.002
_MATCH_TOLERANCE_S = 0.02
_FRAME_S = 0.02


@dataclass(frozen=True)
class Faults:
    """What is wrong with a converted signal; every number is 0 for a clean one."""

    clipped_fraction: float  # samples at or above 0.999 of full scale
    click_times_s: tuple[float, ...]  # only clicks that the source does not have too
    clicks_at_joins: int  # clicks within 2 ms of a given join
    dropped_s: float  # source loud, converted silent
    dc_offset: float  # mean of the samples, full scale 1
    non_finite_samples: int  # NaN or infinite
    length_difference_s: float  # converted minus source

    @property
    def clicks(self) -> int:
        """Number of clicks."""
        return len(self.click_times_s)


def measure_faults(source: MonoWave, converted: MonoWave, join_times_s: Sequence[float] = ()) -> Faults:
    """Look for signal faults in `converted`; `join_times_s` are the places where it was put together."""
    non_finite = int(np.count_nonzero(~np.isfinite(converted.samples)))
    whole, original = converted.finite(), source.finite()
    clicks = _without_matches(find_clicks(whole), find_clicks(original))
    joins = np.asarray(join_times_s, dtype=np.float64)
    at_joins = sum(bool(joins.size and np.min(np.abs(joins - click)) <= _JOIN_TOLERANCE_S) for click in clicks)
    return Faults(
        clipped_fraction=float(np.mean(np.abs(whole.samples) >= _FULL_SCALE)),
        click_times_s=tuple(float(click) for click in clicks),
        clicks_at_joins=at_joins,
        dropped_s=_dropped_s(original, whole),
        dc_offset=float(np.mean(whole.samples, dtype=np.float64)),
        non_finite_samples=non_finite,
        length_difference_s=converted.duration_s - source.duration_s,
    )


def _without_matches(times_s: NDArray[np.float64], known_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep the times that are more than 20 ms away from every known one."""
    if not times_s.size or not known_s.size:
        return times_s
    nearest: NDArray[np.float64] = np.abs(times_s[:, None] - known_s[None, :]).min(axis=1)
    return times_s[nearest > _MATCH_TOLERANCE_S]


def _dropped_s(source: MonoWave, converted: MonoWave) -> float:
    """Seconds within 25 dB of the source's loud level where the converted sound is 60 dB below its own, or absent."""
    source_db, converted_db = _levels(source), _levels(converted)
    if source_db.max() < _ABSOLUTE_SILENCE_DB:
        return 0.0
    absent = np.full(max(0, len(source_db) - len(converted_db)), -120.0)
    converted_db = np.concatenate([converted_db, absent])[: len(source_db)]
    loud = source_db > np.percentile(source_db, 95) - _LOUD_BELOW_PEAK_DB
    silence_db = max(float(np.percentile(converted_db, 95)) - _SILENT_BELOW_PEAK_DB, _ABSOLUTE_SILENCE_DB)
    return float(np.count_nonzero(loud & (converted_db <= silence_db))) * _FRAME_S


def _levels(wave: MonoWave) -> NDArray[np.float64]:
    frame = max(1, round(_FRAME_S * wave.sample_rate_hz))
    return frame_level_db(wave.samples, frame, frame)
