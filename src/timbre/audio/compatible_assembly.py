"""Converts a whole recording as so-vits-svc 4.1 (2023) did, for old voices that must sound the same.

Zeros around a chunk, 16-bit rounding, a short result centred in its place, and overlaps counted in input samples
(pipeline spec 6.4). One quirk is left out: with no padding the original returned silence. `timbre.audio.assembly` is
the better way.
"""

from __future__ import annotations

from io import BytesIO
from typing import Protocol

import numpy as np
import soundfile

from timbre.audio.joining import centre_pad, crossfade
from timbre.audio.slicing import Piece, forced_pieces, slice_silence
from timbre.audio.sound import Samples, check_rate
from timbre.config.assembly import AssemblySettings
from timbre.config.slicing import SliceSettings


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

    `hop_samples` is the frame of the converter at the output rate.
    """
    check_rate(sample_rate_hz)
    check_rate(output_rate_hz)
    pieces = slice_silence(samples, sample_rate_hz, slicing, compatible=True)
    return _CompatibleAssembly(samples, sample_rate_hz, convert, output_rate_hz, hop_samples, settings).run(pieces)


class _CompatibleAssembly:
    def __init__(
        self,
        samples: Samples,
        rate: int,
        convert: ChunkConverter,
        output_rate: int,
        hop: int,
        settings: AssemblySettings,
    ) -> None:
        self.samples, self.rate, self.output_rate, self.hop = samples, rate, output_rate, hop
        self.convert, self.settings = convert, settings
        self.overlap = int(settings.crossfade_s * rate) if settings.clip_s > 0 else 0
        self.frame = 0  # frames handed out so far

    def run(self, pieces: list[Piece]) -> Samples:
        output = [np.zeros(0, dtype=np.float32)]
        for piece in pieces:
            data = self.samples[piece.start : piece.end]
            if len(data) == 0:
                continue
            if piece.silent:
                output.append(np.zeros(self._length(len(data)), dtype=np.float32))
                self.frame += len(output[-1]) // self.hop
            else:
                output.append(self._voiced(data))
        return np.concatenate(output)

    def _length(self, n_samples: int) -> int:
        return int(np.ceil(n_samples / self.rate * self.output_rate))  # floating point, as it was

    def _voiced(self, data: Samples) -> Samples:
        n_fade = int(self.overlap * self.settings.crossfade_retain)
        skipped = (self.overlap - n_fade) // 2
        replaced = self.overlap - skipped  # n_fade and what the old clip has after it
        voiced = np.zeros(0, dtype=np.float32)
        for start, end in self._clips(len(data)):
            clip = self._clip(data[start:end])
            if start > 0 and self.overlap:
                cut = len(voiced) - replaced
                blended = crossfade(voiced[cut : cut + n_fade], clip[skipped : skipped + n_fade])
                voiced, clip = np.concatenate([voiced[:cut], blended]), clip[skipped + n_fade :]
            voiced = np.concatenate([voiced, clip])
        return voiced

    def _clips(self, n_samples: int) -> list[tuple[int, int]]:
        """Return (start, end) of the clips of a piece."""
        if self.settings.clip_s == 0:
            return [(0, n_samples)]
        return forced_pieces(n_samples, max(1, int(self.settings.clip_s * self.rate)), self.overlap)

    def _clip(self, data: Samples) -> Samples:
        n_pad = int(self.rate * self.settings.pad_s)
        n_pad_out = int(self.output_rate * self.settings.pad_s)
        chunk = _through_16_bit(np.pad(data, n_pad), self.rate)
        converted = self.convert(chunk, self.rate, self.frame)
        self.frame += len(converted) // self.hop
        return centre_pad(converted[n_pad_out : len(converted) - n_pad_out], self._length(len(data)))


def _through_16_bit(samples: Samples, rate: int) -> Samples:
    """Return the samples as a 16-bit wav holds them."""
    file = BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    file.seek(0)
    read, _ = soundfile.read(file, dtype="float32")
    return np.asarray(read, dtype=np.float32)
