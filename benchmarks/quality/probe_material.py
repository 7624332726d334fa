"""The recordings that the probes listen to.

Held-out readers and singers (`recipes.base.hidden`), and the Arabic command words: all 25 of their speakers say the
same 38 words twice. The packaged base had no labels of Arabic recordings, but it heard these recordings in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.held_out import ENGLISH, MALAYALAM
from recipes.base.hidden import is_hidden
from recipes.base.manifest import Row, read_rows
from timbre.dsp.frontend import SAMPLE_RATE_HZ
from timbre.evaluate.waves import read_mono_wave

MAX_RECORDINGS = 10  # of one reader
FORMANT_AND_PITCH_RATIOS = ((1.2, 1.35), (0.83, 0.75))  # a smaller and a larger voice
_PITCH_RANGE_HZ = (75.0, 700.0)

Samples = NDArray[np.float32]  # [N] at 16 kHz


@dataclass(frozen=True)
class Recording:
    """A held-out recording."""

    name: str
    speaker: str
    samples: Samples


@dataclass(frozen=True)
class SpokenWord:
    """One of the command words, one second long."""

    word: str
    speaker: str
    take: int
    samples: Samples


def readers(data: Path) -> list[Recording]:
    """Return the first ten recordings of each held-out reader, five English and two Malayalam."""
    rows = read_rows(data)
    return [
        _read(data, row)
        for reader in (*ENGLISH, *MALAYALAM)
        for row in [row for row in rows if row["speaker"] == reader][:MAX_RECORDINGS]
    ]


def singing(data: Path) -> list[Recording]:
    """Return all held-out singing."""
    return [_read(data, row) for row in read_rows(data) if row["kind"] == "singing" and is_hidden(row)]


def command_words(data: Path) -> list[SpokenWord]:
    """Return all Arabic command words, by speaker, take and word."""
    return [word for row in read_rows(data) if row["source"] == "arabic_commands" for word in _words(data, row)]


def changed_voices(samples: Samples) -> list[Samples]:
    """Return the recording with formants and pitch moved by Praat's "Change gender", up and then down.

    Some of it must be voiced. The same recording always gives the same copies.
    """
    import parselmouth

    sound = parselmouth.Sound(samples.astype(np.float64), SAMPLE_RATE_HZ)
    pitch = sound.to_pitch(pitch_floor=_PITCH_RANGE_HZ[0], pitch_ceiling=_PITCH_RANGE_HZ[1])
    f0_hz = pitch.selected_array["frequency"]
    median_hz = float(np.median(f0_hz[f0_hz > 0]))
    copies = []
    parselmouth.praat.run("random_initializeWithSeedUnsafelyButPredictably (0)")  # it shuffles what is unvoiced
    for formants, ratio in FORMANT_AND_PITCH_RATIOS:
        changed = parselmouth.praat.call(sound, "Change gender", *_PITCH_RANGE_HZ, formants, ratio * median_hz, 1, 1)
        values = np.asarray(changed.values[0], dtype=np.float32)
        copies.append(np.pad(values, (0, max(0, len(samples) - len(values))))[: len(samples)])
    return copies


def _words(data: Path, row: Row) -> list[SpokenWord]:
    samples = _read(data, row).samples
    take = int(Path(row["path"]).stem.split("_")[0].removeprefix("take"))
    starts = [second * SAMPLE_RATE_HZ for second in range(len(row["transcript"].split()))]
    return [
        SpokenWord(word, row["speaker"], take, samples[start : start + SAMPLE_RATE_HZ])
        for word, start in zip(row["transcript"].split(), starts, strict=True)
    ]


def _read(data: Path, row: Row) -> Recording:
    samples = read_mono_wave(data / row["path"]).at(SAMPLE_RATE_HZ).samples
    return Recording(row["path"], row["speaker"], samples)
