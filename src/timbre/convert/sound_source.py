"""Where the sound to convert comes from: a file read in blocks, or an array in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from timbre.audio.mixing import MixMeter, to_mono
from timbre.audio.reader import probe_audio, read_blocks
from timbre.audio.resample import StreamResampler
from timbre.audio.sound import Samples, Sound, check_finite
from timbre.errors import AudioError

BLOCK_S = 10.0


class SoundSource(Protocol):
    """A sound that can be read in blocks, more than once."""

    name: str
    sample_rate_hz: int
    n_channels: int
    n_samples: int

    def blocks(self) -> Iterator[Samples]:
        """Yield the sound [C, N] in order, never all of it at once where it is long."""
        ...


class FileSource:
    """A sound file, read block by block; `n_samples` is the header's until it has been read through once."""

    def __init__(self, path: Path) -> None:
        info = probe_audio(path)
        self.path, self.name = path, path.name
        self.sample_rate_hz, self.n_channels, self.n_samples = info.sample_rate_hz, info.n_channels, info.n_samples

    def blocks(self) -> Iterator[Samples]:
        """Yield the file [C, N] in blocks of ten seconds."""
        counted = 0
        for sound in read_blocks(self.path, BLOCK_S):
            counted += sound.n_samples
            yield sound.samples
        self.n_samples = counted  # a cut-off file holds less than its header says


class ArraySource:
    """A sound in memory, [N] or [C, N]; raises AudioError for an empty, NaN or infinite one."""

    def __init__(self, samples: NDArray[np.float32], sample_rate_hz: int) -> None:
        self._sound = Sound(np.atleast_2d(np.asarray(samples, dtype=np.float32)), sample_rate_hz)
        self.name, self.sample_rate_hz = "the array", sample_rate_hz
        self.n_channels, self.n_samples = self._sound.n_channels, self._sound.n_samples
        if self.n_samples == 0:
            raise AudioError("the array holds no samples; give at least one")
        check_finite(self._sound.samples, sample_rate_hz, self.name)

    def blocks(self) -> Iterator[Samples]:
        """Yield the whole sound [C, N]."""
        yield self._sound.samples


def mix_weights(source: SoundSource) -> NDArray[np.float32] | None:
    """Decide once how the channels of `source` mix to mono; None for a mono sound."""
    if source.n_channels == 1:
        return None
    meter = MixMeter()
    for block in source.blocks():
        meter.push(block)
    return meter.weights()


def mono_blocks(
    source: SoundSource, weights: NDArray[np.float32] | None, sample_rate_hz: int
) -> Iterator[NDArray[np.float32]]:
    """Yield `source` as mono blocks [N] at another rate."""
    resampler = StreamResampler(source.sample_rate_hz, sample_rate_hz, 1)
    for block in source.blocks():
        yield resampler.push(to_mono(block, weights)[None])[0]
    yield resampler.flush()[0]
