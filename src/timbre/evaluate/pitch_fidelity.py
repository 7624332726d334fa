"""Pitch fidelity: does the converted voice follow the source's melody?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbre.errors import AudioError
from timbre.evaluate.waves import MonoWave
from timbre.pitch.contract import PitchTrack, PitchTracker

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160
_MIN_FRAMES = 5
_MIN_SPREAD_SEMITONES = 0.25  # a steadier source (one held note) has no melody to correlate with
_OCTAVE_ERROR_SEMITONES = 6.0


@dataclass(frozen=True)
class PitchFidelity:
    """How two melodies differ; None where too few frames are voiced in both."""

    log_f0_correlation: float | None  # -1..1; None too when the source holds one steady note
    shift_semitones: float | None  # median offset, converted over source
    shift_error_semitones: float | None  # that offset minus the asked one; None when no shift was asked
    median_error_cents: (
        float | None
    )  # median distance from the source melody moved by the asked (else the median) shift
    octave_error_fraction: float | None  # frames more than half an octave away from it, of those voiced in both
    voicing_disagreement: float  # frames voiced in only one, of all frames
    n_voiced_both: int


def compare_pitch(
    source: PitchTrack, converted: PitchTrack, asked_shift_semitones: float | None = None
) -> PitchFidelity:
    """Compare two melodies on the same frame grid, over their common length.

    Deviations are counted from the asked shift, or from the median offset when no shift is given. The correlation
    does not depend on the shift. Raises AudioError when the frame grids differ.
    """
    if source.hop_samples * converted.sample_rate_hz != converted.hop_samples * source.sample_rate_hz:
        raise AudioError("the two pitch tracks have different frame grids; make both with one hop and rate")
    n_frames = min(len(source.f0_hz), len(converted.f0_hz))
    voiced_source, voiced_converted = source.voiced[:n_frames], converted.voiced[:n_frames]
    disagreement = float(np.mean(voiced_source != voiced_converted)) if n_frames else 0.0
    both = voiced_source & voiced_converted
    n_both = int(both.sum())
    if n_both < _MIN_FRAMES:
        return PitchFidelity(None, None, None, None, None, disagreement, n_both)
    from_semitones = 12.0 * np.log2(source.f0_hz[:n_frames][both].astype(np.float64))
    to_semitones = 12.0 * np.log2(converted.f0_hz[:n_frames][both].astype(np.float64))
    offset = to_semitones - from_semitones
    shift = float(np.median(offset))
    distance = np.abs(offset - (shift if asked_shift_semitones is None else asked_shift_semitones))
    return PitchFidelity(
        log_f0_correlation=_correlation(from_semitones, to_semitones),
        shift_semitones=shift,
        shift_error_semitones=None if asked_shift_semitones is None else shift - asked_shift_semitones,
        median_error_cents=100.0 * float(np.median(distance)),
        octave_error_fraction=float(np.mean(distance > _OCTAVE_ERROR_SEMITONES)),
        voicing_disagreement=disagreement,
        n_voiced_both=n_both,
    )


def measure_pitch_fidelity(
    source: MonoWave,
    converted: MonoWave,
    asked_shift_semitones: float | None = None,
    tracker: PitchTracker | None = None,
) -> PitchFidelity:
    """Follow the pitch of both sounds each 10 ms and compare; `tracker` is Praat's (`pm`) when None."""
    if tracker is None:
        from timbre.pitch.trackers import load_tracker

        tracker = load_tracker("pm")
    tracks = [
        tracker.track(wave.at(SAMPLE_RATE_HZ).samples, SAMPLE_RATE_HZ, HOP_SAMPLES) for wave in (source, converted)
    ]
    return compare_pitch(tracks[0], tracks[1], asked_shift_semitones)


def _correlation(source: NDArray[np.float64], converted: NDArray[np.float64]) -> float | None:
    if float(np.std(source)) < _MIN_SPREAD_SEMITONES:
        return None
    spread = float(np.std(converted))
    if spread < 1e-6:  # a flat melody follows nothing
        return 0.0
    covariance = float(np.mean((source - source.mean()) * (converted - converted.mean())))
    return covariance / (float(np.std(source)) * spread)
