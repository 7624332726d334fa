"""A sound that is heard block by block, more than once: a file, or an array in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from timbre.audio.mixing import MixMeter, to_mono
from timbre.audio.reader import probe_audio, read_blocks
from timbre.audio.resample import StreamResampler
from timbre.audio.sound import Samples, Sound, check_finite
from timbre.errors import AudioError

BLOCK_S = 10.0
MAX_CHANNELS = 64
LEAST_RATE_HZ = 1000
MAX_LEVEL = 1e6  # 120 dB above full scale; beyond it float32 sums of squares lose their meaning
_RIFF_OF_UNKNOWN_SIZE = 0x7FFF_0000  # programs that write to a pipe put a size beyond this into the header


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
    """A sound file, read block by block; `n_samples` is the header's until it has been read through once.

    Raises AudioError where it is missing, unreadable, empty, or no file that can be read twice; what is wrong further
    on in the file is met when it is read.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir() and not path.is_file():
            raise AudioError(f"{path} cannot be read more than once; save the sound to a file and give that")
        info = probe_audio(path)
        if info.n_samples == 0:
            raise AudioError(f"{path.name} holds 0 samples; give a file that holds sound")
        _check_rate(info.sample_rate_hz, path.name)
        self.path, self.name = path, path.name
        self.sample_rate_hz, self.n_channels, self.n_samples = info.sample_rate_hz, info.n_channels, info.n_samples
        self.is_cut_off = info.format == "wav" and _is_cut_off(path)

    @property
    def seconds(self) -> float:
        """Length in seconds, as far as it is known."""
        return self.n_samples / self.sample_rate_hz

    def blocks(self) -> Iterator[Samples]:
        """Yield the file [C, N] in blocks of ten seconds."""
        counted = 0
        for sound in read_blocks(self.path, BLOCK_S):
            _check_level(sound.samples, self.name)
            counted += sound.n_samples
            yield sound.samples
        self.is_cut_off = self.is_cut_off or counted < self.n_samples
        self.n_samples = counted


class ArraySource:
    """A sound in memory, [N] or [C, N] of floating point numbers.

    Raises AudioError for whole numbers, more than 64 channels, and an empty, NaN or infinite sound.
    """

    def __init__(self, samples: NDArray[Any], sample_rate_hz: int) -> None:
        samples = np.atleast_2d(samples)
        if not np.issubdtype(samples.dtype, np.floating):
            raise AudioError(
                f"the array holds {samples.dtype} numbers; they must be floating point within -1..1: "
                "divide whole numbers by the largest of their type"
            )
        if samples.ndim == 2 and len(samples) > MAX_CHANNELS:
            raise AudioError(
                f"the array has the shape {samples.shape}; it must be [channels, samples] with at most "
                f"{MAX_CHANNELS} channels: transpose it"
            )
        if int(sample_rate_hz) != sample_rate_hz:
            raise AudioError(f"the sample rate is {sample_rate_hz} Hz; it must be a whole number")
        _check_rate(int(sample_rate_hz), "the array")
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinity, which is refused below
            self._sound = Sound(samples.astype(np.float32, copy=False), int(sample_rate_hz))
        self.name, self.sample_rate_hz = "the array", int(sample_rate_hz)
        self.n_channels, self.n_samples = self._sound.n_channels, self._sound.n_samples
        if self.n_samples == 0:
            raise AudioError("the array holds no samples; give at least one")
        check_finite(self._sound.samples, self.sample_rate_hz, self.name)
        _check_level(self._sound.samples, self.name)

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


def _check_rate(sample_rate_hz: int, name: str) -> None:
    """Raise AudioError for rates that no recording of a voice has."""
    if sample_rate_hz < LEAST_RATE_HZ:
        raise AudioError(
            f"{name} has a sample rate of {sample_rate_hz} Hz, and voices need at least {LEAST_RATE_HZ}; give the rate "
            "in Hz, or record again"
        )


def _check_level(samples: Samples, name: str) -> None:
    """Raise AudioError for samples that no recording can hold."""
    largest = max(float(samples.max()), -float(samples.min()))
    if largest > MAX_LEVEL:
        raise AudioError(
            f"{name} holds samples of {largest:.3g} where full scale is 1; export it again at a sane level"
        )


def _is_cut_off(path: Path) -> bool:
    """Say whether a wav file is shorter than its header promises (libsndfile reads such a file without a word)."""
    with path.open("rb") as file:
        header = file.read(8)
    promised = int.from_bytes(header[4:8], "little")
    return header[:4] == b"RIFF" and promised < _RIFF_OF_UNKNOWN_SIZE and promised + 8 > path.stat().st_size + 1
