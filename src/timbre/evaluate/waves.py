"""The mono sound that every measure takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbre.errors import AudioError


@dataclass(frozen=True)
class MonoWave:
    """A mono sound and its rate.

    Raises AudioError when the samples are not one non-empty row or the rate is not positive.
    """

    samples: NDArray[np.float32]  # [N], within -1..1
    sample_rate_hz: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.size == 0:
            raise AudioError(
                f"a sound of shape {self.samples.shape} was given; a measure needs mono samples [N], N > 0"
            )
        if self.sample_rate_hz <= 0:
            raise AudioError(f"the sample rate is {self.sample_rate_hz} Hz; it must be positive")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate_hz

    def at(self, sample_rate_hz: int) -> MonoWave:
        """Return the same sound at another rate (itself when the rate is already right)."""
        if sample_rate_hz == self.sample_rate_hz:
            return self
        from timbre.audio.resample import resample

        resampled = resample(self.samples, self.sample_rate_hz, sample_rate_hz)
        return MonoWave(np.asarray(resampled, dtype=np.float32).reshape(-1), sample_rate_hz)

    def finite(self) -> MonoWave:
        """Return the sound with NaN and infinite samples muted (itself when there are none)."""
        bad = ~np.isfinite(self.samples)
        if not bad.any():
            return self
        return MonoWave(np.where(bad, np.float32(0), self.samples), self.sample_rate_hz)


def read_mono_wave(path: Path) -> MonoWave:
    """Read a sound file as mono; raises AudioError when it cannot be read."""
    from timbre.audio.mixing import to_mono
    from timbre.audio.reader import read_audio

    sound = read_audio(path)
    return MonoWave(np.asarray(to_mono(sound.samples), dtype=np.float32).reshape(-1), sound.sample_rate_hz)


def frame_level_db(samples: NDArray[np.float32], window_samples: int, hop_samples: int) -> NDArray[np.float64]:
    """Return the RMS level of each frame in dB full scale [T], at least -120.

    Frame t covers `window_samples` samples from t * hop_samples on; T = max(1, 1 + (N - window) // hop), and a sound
    shorter than one window is one frame.
    """
    power = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    window = min(window_samples, len(samples))
    starts = np.arange(0, len(samples) - window + 1, hop_samples)
    mean_power = np.maximum((power[starts + window] - power[starts]) / window, 0.0)
    level_db: NDArray[np.float64] = 10.0 * np.log10(np.maximum(mean_power, 1e-12))
    return level_db
