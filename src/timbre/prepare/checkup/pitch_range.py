"""Which notes a voice was heard on, and for how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")


@dataclass(frozen=True)
class PitchRange:
    """The voiced frames of some clips."""

    voiced_share: float  # of all frames
    median_hz: float | None  # None where nothing is voiced, as below
    low_hz: float | None  # 1 % of the voiced frames lie below
    high_hz: float | None  # 1 % lie above
    seconds_per_note: dict[int, float]  # by MIDI number; 69 is A4, 440 Hz

    def covered_notes(self, least_s: float) -> list[int]:
        """Return the MIDI numbers of the notes with at least `least_s` seconds, rising."""
        return sorted(note for note, seconds in self.seconds_per_note.items() if seconds >= least_s)


def measure_pitch_range(tracks_hz: Iterable[NDArray[np.float32]], frame_s: float) -> PitchRange:
    """Measure the pitch tracks [T] (0 where unvoiced) of some clips, one frame each `frame_s` seconds."""
    f0_hz = np.concatenate([np.zeros(0, np.float32), *tracks_hz])
    voiced = f0_hz[f0_hz > 0]
    if not voiced.size:
        return PitchRange(0.0, None, None, None, {})
    notes, counts = np.unique(np.round(69 + 12 * np.log2(voiced / 440)).astype(int), return_counts=True)
    low, median, high = np.percentile(voiced, (1, 50, 99)).tolist()
    seconds = {int(note): int(count) * frame_s for note, count in zip(notes, counts, strict=True)}
    return PitchRange(len(voiced) / len(f0_hz), median, low, high, seconds)


def note_name(midi: int) -> str:
    """Return the name of a note as musicians write it: 69 is A4."""
    return f"{_NAMES[midi % 12]}{midi // 12 - 1}"
