"""A waveform together with its sample rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbre.errors import AudioError

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sound:
    """A waveform together with its sample rate; `samples` is float32 [channels, N], nominally within -1..1.

    Raises AudioError for another shape or type, or a rate below 1 Hz.
    """

    samples: Samples  # [C, N]
    sample_rate_hz: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.dtype != np.float32 or self.samples.shape[0] == 0:
            raise AudioError(
                f"a sound was given as {self.samples.dtype} of shape {self.samples.shape}; "
                "it must be float32 of shape [channels, samples]"
            )
        check_rate(self.sample_rate_hz)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[0])

    @property
    def n_samples(self) -> int:
        """Number of samples of each channel."""
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate_hz


@dataclass(frozen=True)
class SoundInfo:
    """What the header of a sound file says."""

    sample_rate_hz: int
    n_channels: int
    n_samples: int  # of each channel
    format: str  # container, lower case: wav, flac, ogg, mp3, ...
    encoding: str  # inside it, lower case: pcm_16, float, vorbis, opus, ...

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate_hz


def check_rate(sample_rate_hz: int) -> None:
    """Raise AudioError unless `sample_rate_hz` is at least 1."""
    if sample_rate_hz < 1:
        raise AudioError(f"the sample rate is {sample_rate_hz} Hz; it must be at least 1")


def check_finite(samples: Samples, sample_rate_hz: int, name: str, start_s: float = 0.0) -> None:
    """Raise AudioError, with the time of the first one, when `samples` [C, N] holds NaN or infinity."""
    with np.errstate(invalid="ignore"):  # inf - inf
        total = np.sum(samples, dtype=np.float64)  # one cheap pass: float32 values cannot overflow it
    if np.isfinite(total):
        return
    first = int(np.argmin(np.isfinite(samples).all(axis=0)))
    raise AudioError(
        f"{name} holds NaN or infinity at {start_s + first / sample_rate_hz:.3f} s; "
        "every sample must be a finite number: export the file again"
    )
