"""What conversion without learning reaches: WORLD (Morise et al. 2016) with a pitch shift and a formant warp."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from timbre.evaluate.waves import MonoWave

_WARP_PER_OCTAVE = 1 / 3  # a voice an octave higher has formants about a quarter higher
_WARP_LIMIT = 1.25


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


def _synthesise(source: MonoWave, pitch_ratio: float, formant_ratio: float) -> MonoWave:
    pyworld = _pyworld()
    samples = source.samples.astype(np.float64)
    f0_hz, times_s = pyworld.harvest(samples, source.sample_rate_hz)
    envelope = pyworld.cheaptrick(samples, f0_hz, times_s, source.sample_rate_hz)  # [T, K] power
    aperiodicity = pyworld.d4c(samples, f0_hz, times_s, source.sample_rate_hz)
    warped = np.exp(_warp(np.log(envelope), formant_ratio))
    output = pyworld.synthesize(f0_hz * pitch_ratio, warped, aperiodicity, source.sample_rate_hz)
    exact = np.zeros(len(samples), dtype=np.float32)
    n_samples = min(len(samples), len(output))
    exact[:n_samples] = output[:n_samples]
    return MonoWave(exact, source.sample_rate_hz)


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
