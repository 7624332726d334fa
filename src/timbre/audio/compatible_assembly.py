"""Converts a whole recording as so-vits-svc 4.1 (2023) did, for old voices that must sound the same.

Zeros around a chunk, 16-bit rounding, a short result centred in its place, and overlaps counted in input samples
(pipeline spec 6.4). One quirk is left out: with no padding the original returned silence. `timbre.audio.assembly` is
the better way.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

import numpy as np
import soundfile

from timbre.audio.joining import centre_pad, crossfade
from timbre.audio.slicing import Piece, forced_pieces, slice_silence
from timbre.audio.sound import Samples, check_rate
from timbre.config.assembly import AssemblySettings
from timbre.config.slicing import SliceSettings
from timbre.errors import SettingsError


class ChunkConverter(Protocol):
    """Turns one chunk of sound into its conversion."""

    def __call__(self, samples: Samples, sample_rate_hz: int, first_frame: int) -> Samples:
        """Convert mono `samples` [N] at `sample_rate_hz` to [M] at the output rate, M up to a hop short of N's length.

        `first_frame` counts all frames handed out so far, padding and overlaps included, for what changes over time.
        """
        ...


def assemble_compatible(
    samples: Samples,
    sample_rate_hz: int,
    convert: ChunkConverter,
    output_rate_hz: int,
    hop_samples: int,
    slicing: SliceSettings,
    settings: AssemblySettings,
) -> Samples:
    """Convert a mono sound [N] chunk by chunk; returns [M] at `output_rate_hz`, digital silence where it is silent.

    `hop_samples` is the frame of the converter at the output rate. Raises SettingsError for an overlap that is longer
    than a clip, counted as it was.
    """
    pieces = _pieces(samples, sample_rate_hz, output_rate_hz, slicing)
    cutting = _Cutting(sample_rate_hz, output_rate_hz, hop_samples, settings)
    cutting.check(pieces)
    return _CompatibleAssembly(samples, convert, cutting).run(pieces)


def count_frames(
    samples: Samples,
    sample_rate_hz: int,
    output_rate_hz: int,
    hop_samples: int,
    slicing: SliceSettings,
    settings: AssemblySettings,
) -> int:
    """Return over how many frames `assemble_compatible` spreads what changes over time (pipeline spec 6.5).

    They are all that `first_frame` will count, and one more for each piece.
    """
    pieces = _pieces(samples, sample_rate_hz, output_rate_hz, slicing)
    cutting = _Cutting(sample_rate_hz, output_rate_hz, hop_samples, settings)
    return sum(cutting.n_frames(piece) + 1 for piece in pieces)


def _pieces(samples: Samples, rate: int, output_rate: int, slicing: SliceSettings) -> list[Piece]:
    check_rate(rate)
    check_rate(output_rate)
    pieces = slice_silence(samples, rate, slicing, compatible=True)
    return [piece for piece in pieces if piece.start < piece.end]


@dataclass(frozen=True)
class _Cutting:
    """Where clips begin and how long their results are."""

    rate: int
    output_rate: int
    hop: int
    settings: AssemblySettings

    @property
    def overlap(self) -> int:
        return int(self.settings.crossfade_s * self.rate) if self.settings.clip_s > 0 else 0

    @property
    def n_pad(self) -> int:
        return int(self.rate * self.settings.pad_s)

    @property
    def n_fade(self) -> int:
        return int(self.overlap * self.settings.crossfade_retain)

    @property
    def n_skipped(self) -> int:
        """Samples at the start of a clip that are left out before the fade."""
        return (self.overlap - self.n_fade) // 2

    def check(self, pieces: list[Piece]) -> None:
        """Raise SettingsError where a clip is too short for the fades at its ends."""
        for piece in pieces:
            lengths = [self.length(end - start) for start, end in self.clips(piece.end - piece.start)]
            is_short = min(lengths[1:], default=self.overlap) < self.n_skipped + self.n_fade
            if not piece.silent and len(lengths) > 1 and (is_short or lengths[0] < self.overlap - self.n_skipped):
                raise SettingsError(
                    f"an overlap of {self.overlap} samples at {self.rate} Hz, which so-vits-svc counted alike at "
                    f"{self.output_rate} Hz, is longer than a clip there; lower the overlap or leave compatible out"
                )

    def length(self, n_samples: int) -> int:
        return int(np.ceil(n_samples / self.rate * self.output_rate))  # floating point, as it was

    def clips(self, n_samples: int) -> list[tuple[int, int]]:
        """Return (start, end) of the clips of a piece."""
        if self.settings.clip_s == 0:
            return [(0, n_samples)]
        return forced_pieces(n_samples, max(1, int(self.settings.clip_s * self.rate)), self.overlap)

    def n_frames(self, piece: Piece) -> int:
        """Return the frames of a piece; the padding is counted in input samples, as it was."""
        n_samples = piece.end - piece.start
        if piece.silent:
            return self.length(n_samples) // self.hop
        return sum((self.length(end - start) + 2 * self.n_pad) // self.hop for start, end in self.clips(n_samples))


class _CompatibleAssembly:
    def __init__(self, samples: Samples, convert: ChunkConverter, cutting: _Cutting) -> None:
        self.samples, self.convert, self.cutting = samples, convert, cutting
        self.frame = 0  # frames handed out so far

    def run(self, pieces: list[Piece]) -> Samples:
        output = [np.zeros(0, dtype=np.float32)]
        for piece in pieces:
            data = self.samples[piece.start : piece.end]
            if piece.silent:
                output.append(np.zeros(self.cutting.length(len(data)), dtype=np.float32))
                self.frame += self.cutting.n_frames(piece)
            else:
                output.append(self._voiced(data))
        return np.concatenate(output)

    def _voiced(self, data: Samples) -> Samples:
        overlap, n_fade, skipped = self.cutting.overlap, self.cutting.n_fade, self.cutting.n_skipped
        replaced = overlap - skipped  # n_fade and what the old clip has after it
        voiced = np.zeros(0, dtype=np.float32)
        for start, end in self.cutting.clips(len(data)):
            clip = self._clip(data[start:end])
            if start > 0 and overlap:
                cut = len(voiced) - replaced
                blended = crossfade(voiced[cut : cut + n_fade], clip[skipped : skipped + n_fade])
                voiced, clip = np.concatenate([voiced[:cut], blended]), clip[skipped + n_fade :]
            voiced = np.concatenate([voiced, clip])
        return voiced

    def _clip(self, data: Samples) -> Samples:
        cutting = self.cutting
        n_pad_out = int(cutting.output_rate * cutting.settings.pad_s)
        chunk = _through_16_bit(np.pad(data, cutting.n_pad), cutting.rate)
        converted = self.convert(chunk, cutting.rate, self.frame)
        self.frame += len(converted) // cutting.hop
        return centre_pad(converted[n_pad_out : len(converted) - n_pad_out], cutting.length(len(data)))


def _through_16_bit(samples: Samples, rate: int) -> Samples:
    """Return the samples as a 16-bit wav holds them."""
    file = BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    file.seek(0)
    read, _ = soundfile.read(file, dtype="float32")
    return np.asarray(read, dtype=np.float32)
