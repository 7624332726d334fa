"""Speaker similarity: how close two recordings' GE2E voice vectors are (cosine).

Same-speaker recordings score about 0.85-0.95 and strangers about 0.5-0.6, so a value means little without the two
bounds beside it. Silence is cut by our own energy rule; the encoder's authors used a trained voice detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.errors import AudioError
from timbre.evaluate.speaker_encoder import HOP_SAMPLES, SAMPLE_RATE_HZ, load_speaker_encoder, mel_power
from timbre.evaluate.waves import MonoWave, frame_level_db

_TARGET_LEVEL_DB = -30.0
_PARTIAL_FRAMES = 160  # 1.6 s
_PARTIAL_STEP = round(SAMPLE_RATE_HZ / 1.3 / HOP_SAMPLES)  # 1.3 partials per second
_MIN_COVERAGE = 0.75
_SILENCE_WINDOW_S = 0.03
_SILENCE_BELOW_DB = 40.0  # under the loud frames
_SILENCE_FLOOR_DB = -65.0  # full scale; nothing below it is speech
_SILENCE_KEEP_S = 0.2  # kept on both sides of every sound
_MIN_SOUND_S = 0.1


@dataclass(frozen=True)
class Similarity:
    """Cosines of voice vectors; floor and ceiling say what the first number can be worth."""

    to_target: float  # converted and references; 0 when the converted sound is silent
    to_source: float  # converted and source; 0 when the converted sound is silent
    floor: float  # source and references: what no conversion at all scores
    ceiling: float | None  # each reference and the others, on average; None for a single reference


def measure_similarity(source: MonoWave, converted: MonoWave, references: Sequence[MonoWave]) -> Similarity:
    """Compare the voices; the target's vector is the mean over all references.

    Raises AudioError when the source or a reference holds no sound.
    """
    source_voice = embed_speaker(source)
    each_target = [embed_speaker(reference) for reference in references]
    target_voice = mean_voice(each_target)
    to_target = to_source = 0.0  # silence resembles nobody
    if holds_sound(converted):
        converted_voice = embed_speaker(converted)
        to_target, to_source = voice_cosine(converted_voice, target_voice), voice_cosine(converted_voice, source_voice)
    ceiling = similarity_among(each_target) if len(each_target) > 1 else None
    return Similarity(to_target, to_source, voice_cosine(source_voice, target_voice), ceiling)


def embed_speaker(wave: MonoWave) -> NDArray[np.float32]:
    """Return the voice vector of a recording: unit length [256].

    The sound is raised to -30 dBFS (never lowered), long silences are cut, and the vectors of overlapping 1.6 s parts
    are averaged. Raises AudioError when less than 0.1 s of sound is left.
    """
    samples = _trim_long_silence(_raise_level(wave.at(SAMPLE_RATE_HZ).samples))
    if len(samples) < _MIN_SOUND_S * SAMPLE_RATE_HZ:
        raise AudioError(
            f"only {len(samples) / SAMPLE_RATE_HZ:.2f} s of sound; speaker similarity needs at least 0.1 s"
        )
    starts = _partial_starts(len(samples))
    padded = np.zeros(max(len(samples), (starts[-1] + _PARTIAL_FRAMES) * HOP_SAMPLES), dtype=np.float32)
    padded[: len(samples)] = samples
    with torch.inference_mode():
        mel = mel_power(torch.from_numpy(padded))
        partials = torch.stack([mel[start : start + _PARTIAL_FRAMES] for start in starts])  # [B, 160, 40]
        mean = load_speaker_encoder()(partials).mean(dim=0)
    vector: NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=0).numpy()
    return vector


def mean_voice(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean direction of several voice vectors of one speaker: unit length [256].

    Raises AudioError when there is none.
    """
    if not vectors:
        raise AudioError("no reference recording was given; speaker similarity needs at least one")
    mean = np.mean(vectors, axis=0)
    unit: NDArray[np.float32] = (mean / np.linalg.norm(mean)).astype(np.float32)
    return unit


def voices_of_others(vectors: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return for each of several voice vectors the mean voice of the others; raises AudioError for a single one."""
    return [mean_voice([*vectors[:at], *vectors[at + 1 :]]) for at in range(len(vectors))]


def similarity_among(vectors: Sequence[NDArray[np.float32]]) -> float:
    """Return the mean cosine of each of several recordings of one speaker with the others."""
    pairs = zip(vectors, voices_of_others(vectors), strict=True)
    return float(np.mean([voice_cosine(one, rest) for one, rest in pairs]))


def holds_sound(wave: MonoWave) -> bool:
    """Tell whether there is enough sound for a voice vector."""
    samples = _trim_long_silence(_raise_level(wave.at(SAMPLE_RATE_HZ).samples))
    return len(samples) >= _MIN_SOUND_S * SAMPLE_RATE_HZ


def voice_cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the cosine of two unit voice vectors [256]: 1 is the same voice."""
    return float(np.dot(first, second))


def _raise_level(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    rms = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    if rms == 0.0:
        return samples
    gain = 10.0 ** (_TARGET_LEVEL_DB / 20.0) / rms
    return samples if gain <= 1.0 else (samples * np.float32(gain)).astype(np.float32)


def _trim_long_silence(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut stretches that stay quiet for longer than twice the kept margin."""
    window = int(_SILENCE_WINDOW_S * SAMPLE_RATE_HZ)
    level_db = frame_level_db(samples, window, window)
    threshold_db = max(float(np.percentile(level_db, 95)) - _SILENCE_BELOW_DB, _SILENCE_FLOOR_DB)
    margin = round(_SILENCE_KEEP_S / _SILENCE_WINDOW_S)
    loud = (level_db > threshold_db).astype(np.float64)
    keep = np.convolve(loud, np.ones(2 * margin + 1), mode="full")[margin : margin + len(loud)] > 0.5
    mask = np.repeat(keep, window)[: len(samples)]
    mask = np.pad(mask, (0, len(samples) - len(mask)), constant_values=bool(keep[-1]))  # the last, incomplete frame
    return samples[mask]


def _partial_starts(n_samples: int) -> list[int]:
    """First mel frame of each partial; the last one is dropped when the sound fills under 0.75 of it."""
    n_frames = n_samples // HOP_SAMPLES + 1
    starts = list(range(0, max(1, n_frames - _PARTIAL_FRAMES + _PARTIAL_STEP + 1), _PARTIAL_STEP))
    covered = (n_samples / HOP_SAMPLES - starts[-1]) / _PARTIAL_FRAMES
    return starts[:-1] if len(starts) > 1 and covered < _MIN_COVERAGE else starts
