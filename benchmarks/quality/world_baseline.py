"""What conversion without learning reaches: WORLD (Morise et al. 2016) with a pitch shift and a formant warp."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from timbre.evaluate.waves import MonoWave

_WARP_PER_OCTAVE = 1 / 3  # a voice an octave higher has formants about a quarter higher
_WARP_LIMIT = 1.25
_FRAME_S = 0.005
_VOWEL_FRAMES = 16  # that are voiced without a gap


def resynthesise(source: MonoWave) -> MonoWave:
    """Analyse and synthesise without any change: what the vocoder alone costs."""
    return _synthesise(source, pitch_ratio=1.0, formant_ratio=1.0)


def shift_and_warp(source: MonoWave, references: Sequence[MonoWave], whole_octaves: bool) -> MonoWave:
    """Move the median pitch to the target's (by whole octaves for singing) and the formants by its cube root."""
    target_hz = float(np.median([_median_f0_hz(reference) for reference in references]))
    distance = float(np.log2(target_hz / _median_f0_hz(source)))
    octaves = float(round(distance)) if whole_octaves else distance
    warp = float(np.clip(2.0 ** (distance * _WARP_PER_OCTAVE), 1 / _WARP_LIMIT, _WARP_LIMIT))
    return _synthesise(source, pitch_ratio=2.0**octaves, formant_ratio=warp)


def sing_vowels(song: MonoWave, voices: Sequence[MonoWave], rng: np.random.Generator) -> list[MonoWave | None]:
    """Hold one vowel of each voice on the notes of `song`, moved by whole octaves, and with its levels.

    The vowel is 80 ms from a voiced stretch of the louder half, drawn by `rng` and played to and fro. None where a
    voice has no such stretch. All waves must have the same rate.
    """
    sung = _analyse(song)
    held = (_vowel_on(sung, _analyse(voice), rng) for voice in voices)
    return [None if one is None else _render(one, song) for one in held]


def _vowel_on(sung: _Analysis, spoken: _Analysis, rng: np.random.Generator) -> _Analysis | None:
    voiced = spoken.f0_hz > 0
    power = spoken.envelope.sum(axis=1)
    whole = np.convolve(voiced, np.ones(_VOWEL_FRAMES), mode="valid") == _VOWEL_FRAMES
    centre_power = power[_VOWEL_FRAMES // 2 :][: len(whole)]
    starts = np.flatnonzero(whole & (centre_power > np.median(power[voiced]))) if voiced.any() else []
    if len(starts) == 0 or not np.any(sung.f0_hz > 0):
        return None
    octaves = round(float(np.log2(np.median(spoken.f0_hz[voiced]) / np.median(sung.f0_hz[sung.f0_hz > 0]))))
    there = np.arange(_VOWEL_FRAMES)
    frames = rng.choice(starts) + np.resize(np.concatenate((there, there[-2:0:-1])), len(sung.f0_hz))
    louder = (sung.envelope.sum(axis=1) / power[frames])[:, None]
    return _Analysis(sung.f0_hz * 2.0**octaves, spoken.envelope[frames] * louder, spoken.aperiodicity[frames])


@dataclass(frozen=True)
class _Analysis:
    """What WORLD takes a sound apart into."""

    f0_hz: NDArray[np.float64]  # [T]
    envelope: NDArray[np.float64]  # [T, K] power
    aperiodicity: NDArray[np.float64]  # [T, K]


def _analyse(wave: MonoWave) -> _Analysis:
    pyworld = _pyworld()
    samples, rate_hz = wave.samples.astype(np.float64), wave.sample_rate_hz
    f0_hz, times_s = pyworld.harvest(samples, rate_hz, frame_period=1000 * _FRAME_S)
    envelope = pyworld.cheaptrick(samples, f0_hz, times_s, rate_hz)
    return _Analysis(f0_hz, envelope, pyworld.d4c(samples, f0_hz, times_s, rate_hz))


def _render(analysis: _Analysis, like: MonoWave) -> MonoWave:
    """Synthesise, as long as `like` and at its rate."""
    parts = (np.ascontiguousarray(part) for part in vars(analysis).values())
    output = _pyworld().synthesize(*parts, like.sample_rate_hz, 1000 * _FRAME_S)
    exact = np.zeros(len(like.samples), dtype=np.float32)
    n_samples = min(len(exact), len(output))
    exact[:n_samples] = output[:n_samples]
    return MonoWave(exact, like.sample_rate_hz)


def _synthesise(source: MonoWave, pitch_ratio: float, formant_ratio: float) -> MonoWave:
    heard = _analyse(source)
    warped = np.exp(_warp(np.log(heard.envelope), formant_ratio))
    return _render(_Analysis(heard.f0_hz * pitch_ratio, warped, heard.aperiodicity), source)


def _warp(frames: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """Stretch each row of [T, K] along frequency: bin k takes what was at k / ratio."""
    if ratio == 1.0:
        return frames
    bins = np.arange(frames.shape[1])
    return np.stack([np.interp(bins / ratio, bins, frame) for frame in frames])


def _median_f0_hz(wave: MonoWave) -> float:
    f0_hz, _ = _pyworld().dio(wave.samples.astype(np.float64), wave.sample_rate_hz)
    return float(np.median(f0_hz[f0_hz > 0])) if np.any(f0_hz > 0) else 150.0


def _pyworld() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports the retired pkg_resources
        import pyworld
    world: ModuleType = pyworld
    return world
