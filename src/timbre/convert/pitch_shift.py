"""How far to move the melody so that it suits the target voice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_S = 100
BELOW_SPEECH = 0.25  # octaves below the median of speech to which singing goes at most
# A held note: 0.2 s of unbroken voice within one semitone. The thresholds lie between recordings of speech in five
# languages and of singing.
HELD_FRAMES, HELD_SEMITONES = 20, 1.0
LONG_STRETCH_S, VERY_LONG_STRETCH_S, HELD_SHARE = 0.6, 0.9, 0.5


@dataclass(frozen=True)
class PitchShift:
    """A decided shift and why."""

    semitones: float
    reason: str


def is_singing(f0_hz: NDArray[np.float32]) -> bool:
    """Say whether a pitch track [T] (100 frames a second, 0 unvoiced) is sung: long unbroken stretches, held notes."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], f0_hz > 0, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    lengths = ends - starts
    if lengths.sum() == 0:
        return False
    stretch_s = float((lengths**2).sum() / lengths.sum()) / FRAMES_PER_S  # mean over frames, not over stretches
    semitones = 12 * np.log2(np.maximum(f0_hz, 1.0))
    windows = [
        semitones[at : at + HELD_FRAMES]
        for start, end in zip(starts, ends, strict=True)
        for at in range(start, end - HELD_FRAMES + 1, 5)
    ]
    held = float(np.mean([np.ptp(window) < HELD_SEMITONES for window in windows])) if windows else 0.0
    return stretch_s >= VERY_LONG_STRETCH_S or (stretch_s >= LONG_STRETCH_S and held >= HELD_SHARE)


def decide_shift(asked: float | str, f0_hz: NDArray[np.float32] | None, target_median_hz: float) -> PitchShift:
    """Turn the setting `pitch_shift` into semitones for a source with the pitch track `f0_hz` [T].

    "auto" moves speech by the distance of the medians. Singing is moved by whole octaves, so that it stays in its key,
    to between a quarter of an octave below the median and three quarters above it: voices sing higher than they speak,
    and their medians are mostly of speech.
    """
    if not isinstance(asked, str):
        return PitchShift(asked, "as asked")
    if target_median_hz <= 0 or f0_hz is None:
        return PitchShift(0.0, "the voice's own pitch is not known; give --pitch-shift")
    voiced = f0_hz[f0_hz > 0]
    if len(voiced) == 0:
        return PitchShift(0.0, "no pitch was found")
    median_hz = float(np.median(voiced))
    distance = 12 * float(np.log2(target_median_hz / median_hz))
    facts = f"median {median_hz:.0f} Hz, the voice's {target_median_hz:.0f} Hz"
    if is_singing(f0_hz):
        return PitchShift(12.0 * math.ceil(distance / 12 - BELOW_SPEECH), f"singing, {facts}: whole octaves")
    return PitchShift(round(float(np.clip(distance, -24, 24)), 2), f"speech, {facts}")
