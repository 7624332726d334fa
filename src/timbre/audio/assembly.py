"""Converts a whole recording: cut at silences, convert each chunk, put together (pipeline spec 6.4).

Two ways behind `AssemblySettings.compatible`. The exact way keeps every sample at its time, in float, and gives the
converter the real sound around a chunk. The compatible way repeats so-vits-svc 4.1 (2023) with its quirks, for old
voices that must sound the same: zeros around a chunk, 16-bit rounding, a short result centred in its place, and
overlaps counted in input samples. One quirk is left out: with no padding the original returned silence.
"""

from __future__ import annotations

from io import BytesIO
from math import gcd
from typing import Protocol

import numpy as np
import soundfile

from timbre.audio.joining import centre_pad, crossfade, fade_edges
from timbre.audio.resample import resampled_length
from timbre.audio.slicing import Piece, forced_pieces, slice_silence
from timbre.audio.sound import Samples, check_rate
from timbre.config.assembly import AssemblySettings
from timbre.config.slicing import SliceSettings
from timbre.errors import AudioError


class ChunkConverter(Protocol):
    """Turns one chunk of sound into its conversion."""

    def __call__(self, samples: Samples, sample_rate_hz: int, first_frame: int) -> Samples:
        """Convert mono `samples` [N] at `sample_rate_hz` to [M] at the output rate, M up to a hop short of N's length.

        `first_frame` is the output frame at which the chunk begins, for what changes over time. In the exact way it
        is the true time, below 0 in the padding before the sound; in the compatible way it counts all frames handed
        out so far, padding and overlaps included.
        """
        ...


def assemble(
    samples: Samples,
    sample_rate_hz: int,
    convert: ChunkConverter,
    output_rate_hz: int,
    hop_samples: int,
    slicing: SliceSettings,
    settings: AssemblySettings,
) -> Samples:
    """Convert a mono sound [N] chunk by chunk; returns [M] at `output_rate_hz`, digital silence where it is silent.

    `hop_samples` is the frame of the converter at the output rate. In the exact way M is
    ceil(N * output_rate_hz / sample_rate_hz). Raises AudioError when the converter returns too little.
    """
    check_rate(sample_rate_hz)
    check_rate(output_rate_hz)
    kind = _CompatibleAssembly if settings.compatible else _ExactAssembly
    pieces = slice_silence(samples, sample_rate_hz, slicing, settings.compatible)
    return kind(samples, sample_rate_hz, convert, output_rate_hz, hop_samples, settings).run(pieces)


class _Assembly:
    """What both ways share: the arguments and the cutting of a voiced piece into clips."""

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

    def clips(self, n_samples: int) -> list[tuple[int, int]]:
        """Return (start, end) of the clips of a piece."""
        if self.settings.clip_s == 0:
            return [(0, n_samples)]
        return forced_pieces(n_samples, max(1, int(self.settings.clip_s * self.rate)), self.overlap)

    def run(self, pieces: list[Piece]) -> Samples:
        raise NotImplementedError


class _ExactAssembly(_Assembly):
    def run(self, pieces: list[Piece]) -> Samples:
        output = np.zeros(self._at(len(self.samples)), dtype=np.float32)
        n_fade = round(self.settings.edge_fade_s * self.output_rate)
        for index, piece in enumerate(pieces):
            if piece.silent:
                continue
            after_silence = index > 0 and pieces[index - 1].silent
            before_silence = index + 1 < len(pieces) and pieces[index + 1].silent
            voiced = fade_edges(self._voiced(piece), n_fade, start=after_silence, end=before_silence)
            output[self._at(piece.start) : self._at(piece.end)] = voiced
        return output

    def _at(self, sample: int) -> int:
        """Output sample of an input sample."""
        return resampled_length(sample, self.rate, self.output_rate)

    def _voiced(self, piece: Piece) -> Samples:
        """Convert one voiced piece; the next clip takes over within the middle of the overlap."""
        base = self._at(piece.start)
        voiced = np.zeros(self._at(piece.end) - base, dtype=np.float32)
        for start, end in self.clips(piece.end - piece.start):
            clip = self._clip(piece.start + start, piece.start + end)
            first = self._at(piece.start + start) - base
            n_overlap = 0 if start == 0 else self._at(piece.start + start + self.overlap) - base - first
            n_fade = int(n_overlap * self.settings.crossfade_retain)
            skipped = (n_overlap - n_fade) // 2
            fade = slice(first + skipped, first + skipped + n_fade)
            blended = crossfade(voiced[fade], clip[skipped : skipped + n_fade])
            voiced[fade.start : first + len(clip)] = np.concatenate([blended, clip[skipped + n_fade :]])
        return voiced

    def _clip(self, start: int, end: int) -> Samples:
        """Convert samples start..end with the sound around them, and cut the result to their exact time."""
        n_pad = int(self.rate * self.settings.pad_s)
        unit = self.rate // gcd(self.rate, self.output_rate)  # whole units of input are whole samples of output
        left = (start - n_pad) // unit * unit
        left_out = left * self.output_rate // self.rate
        n_extra = resampled_length(self.hop, self.output_rate, self.rate)  # the converter drops part of a hop
        right = end + n_pad + n_extra
        inside = self.samples[max(0, left) : right]
        padded = np.pad(inside, (max(0, -left), max(0, right - len(self.samples))))
        converted = self.convert(padded, self.rate, left_out // self.hop)
        first, last = self._at(start) - left_out, self._at(end) - left_out
        if len(converted) < last:
            raise AudioError(
                f"the converter returned {len(converted)} samples for a chunk; it must return at least {last}, "
                f"at {self.output_rate} Hz"
            )
        return converted[first:last]


class _CompatibleAssembly(_Assembly):
    frame = 0  # frames handed out so far

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
        for start, end in self.clips(len(data)):
            clip = self._clip(data[start:end])
            if start > 0 and self.overlap:
                cut = len(voiced) - replaced
                blended = crossfade(voiced[cut : cut + n_fade], clip[skipped : skipped + n_fade])
                voiced, clip = np.concatenate([voiced[:cut], blended]), clip[skipped + n_fade :]
            voiced = np.concatenate([voiced, clip])
        return voiced

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
