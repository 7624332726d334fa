"""Clips that do not sound like the rest of their speaker: another person, music, another microphone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.audio.resample import resample
from timbre.audio.sound import Samples
from timbre.dsp.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.speaker.fast import relative_log_mel
from timbre.voice.base import Base

_FEWEST_CLIPS = 6
_CORE_SHARE = 0.7  # of the clips: they make the centre
_ROUNDS = 5
LEAST_DISTANCE = 0.5  # another person is rarely nearer, see benchmarks.dataset_measures
_LEAST_DEVIATIONS = 5.0
_TO_DEVIATION = 1.4826  # median of the absolute differences to standard deviation, for a normal distribution


@dataclass(frozen=True)
class Likeness:
    """How far each clip of a speaker is from the speaker's centre: 0 is the same voice, 1 unrelated."""

    distances: NDArray[np.float64]  # [K]
    limit: float  # clips beyond it sound like somebody else


def speaker_vector(base: Base, wave: Samples, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return the voice vector of a clip [N]: unit length [D], whatever its level."""
    narrow = resample(wave, sample_rate_hz, SAMPLE_RATE_HZ)
    narrow = np.pad(narrow, (0, max(0, HOP_SAMPLES - len(narrow))))  # one frame at least
    frontend = base.networks.content.frontend
    with torch.inference_mode():
        log_mel = frontend.log_mel(frontend.power(torch.from_numpy(narrow).unsqueeze(0)))
        vector: NDArray[np.float32] = base.networks.speaker(relative_log_mel(log_mel))[0].numpy()
    return vector


def compare_clips(vectors: NDArray[np.float32]) -> Likeness | None:
    """Compare the voice vectors [K, D] of one speaker's clips; None for fewer than six, which have no centre.

    The centre is that of the 70 % nearest to it. A clip is beyond the limit when its cosine distance is over 0.5 and
    five robust deviations over the median: a speaker who whispers and sings may vary more than one who reads.
    """
    if len(vectors) < _FEWEST_CLIPS:
        return None
    core = np.ones(len(vectors), dtype=bool)
    for _ in range(_ROUNDS):
        centre = vectors[core].mean(axis=0, dtype=np.float64)
        distances = 1 - vectors @ (centre / max(float(np.linalg.norm(centre)), 1e-9))
        core = distances <= np.quantile(distances, _CORE_SHARE)
    median = float(np.median(distances))
    deviation = _TO_DEVIATION * float(np.median(np.abs(distances - median)))
    return Likeness(distances, max(LEAST_DISTANCE, median + _LEAST_DEVIATIONS * deviation))
