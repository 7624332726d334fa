"""Cuts a recording at its silences (pipeline spec 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from timbre.audio.levels import RmsAccumulator
from timbre.audio.mixing import to_mono
from timbre.audio.sound import Samples, check_rate
from timbre.config.slicing import SliceSettings
from timbre.errors import AudioError, SettingsError


@dataclass(frozen=True)
class Piece:
    """A stretch of a recording, samples `start` to `end` (exclusive), voiced or silent."""

    silent: bool
    start: int
    end: int


@dataclass(frozen=True)
class _Grid:
    """Slice settings in samples and frames at one rate."""

    hop: int  # samples
    window: int  # samples
    min_length: int  # frames, as all below
    min_interval: int
    max_kept: int

    @classmethod
    def at_rate(cls, settings: SliceSettings, sample_rate_hz: int) -> _Grid:
        check_rate(sample_rate_hz)
        hop = round(sample_rate_hz * settings.hop_ms / 1000)
        if hop < 1:
            raise AudioError(
                f"the sample rate is {sample_rate_hz} Hz, too low to slice with hop_ms {settings.hop_ms:g}; "
                "resample the sound or raise hop_ms"
            )
        interval = sample_rate_hz * settings.min_interval_ms / 1000
        return cls(
            hop=hop,
            window=min(round(interval), 4 * hop),
            min_length=round(sample_rate_hz * settings.min_length_ms / 1000 / hop),
            min_interval=round(interval / hop),
            max_kept=round(sample_rate_hz * settings.max_silence_kept_ms / 1000 / hop),
        )


def slice_silence(
    samples: Samples, sample_rate_hz: int, settings: SliceSettings, compatible: bool = False
) -> list[Piece]:
    """Cut a sound [N] or [C, N] (mixed by `to_mono`) into voiced and silent pieces that cover it in order.

    Details, `compatible` and errors as in `pieces_from_rms`.
    """
    mono = to_mono(samples)
    meter = slice_meter(sample_rate_hz, settings)
    meter.push(mono)
    return pieces_from_rms(meter.finish(), len(mono), sample_rate_hz, settings, compatible)


def slice_segments(
    samples: Samples, sample_rate_hz: int, settings: SliceSettings, compatible: bool = False
) -> list[tuple[int, int]]:
    """Return (start, end) in samples of the voiced stretches only, for making a dataset (pipeline spec 3.3)."""
    pieces = slice_silence(samples, sample_rate_hz, settings, compatible)
    return [(piece.start, piece.end) for piece in pieces if not piece.silent]


def slice_meter(sample_rate_hz: int, settings: SliceSettings) -> RmsAccumulator:
    """Return the level meter that slicing needs; push mono blocks of a long file, then `finish()` gives the track."""
    grid = _Grid.at_rate(settings, sample_rate_hz)
    return RmsAccumulator(grid.window, grid.hop)


def pieces_from_rms(
    rms: Samples, n_samples: int, sample_rate_hz: int, settings: SliceSettings, compatible: bool = False
) -> list[Piece]:
    """Cut a sound of `n_samples` by its level track `rms` [T] from `slice_meter` (pipeline spec 3.1 and 3.2).

    Sound stays up to the quietest frame within max_silence_kept_ms of a voiced piece. A sound of fewer samples than
    min_length_ms has frames is one voiced piece, as it has always been. `compatible` repeats so-vits-svc 4.1 (2023)
    exactly: a cut without silence appears as a silent piece of length 0, and in a sound that is silent throughout the
    part before the quietest early frame counts as voiced. Otherwise there are no empty pieces and a silent sound is
    one silent piece. Raises AudioError for a rate too low for hop_ms.
    """
    grid = _Grid.at_rate(settings, sample_rate_hz)
    silent = rms < 10 ** (settings.threshold_db / 20)
    if n_samples == 0:
        return []
    if not compatible and silent.all():
        return [Piece(True, 0, n_samples)]
    if n_samples <= grid.min_length:  # historic: compares samples with frames
        return [Piece(False, 0, n_samples)]
    pieces: list[Piece] = []
    done = 0
    for first, last in _cuts(rms, silent, grid):
        start, end = first * grid.hop, min(last * grid.hop, n_samples)
        if start > done:
            pieces.append(Piece(False, done, start))
        if compatible or end > start:
            pieces.append(Piece(True, start, end))
        done = end
    if done < n_samples:
        pieces.append(Piece(False, done, n_samples))
    return pieces


def _cuts(rms: Samples, silent: np.ndarray[tuple[int], np.dtype[np.bool_]], grid: _Grid) -> Iterator[tuple[int, int]]:
    """Yield the frames (first, last) that are cut out; first == last cuts without removing anything."""
    n_frames, kept = len(rms), grid.max_kept
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]]).astype(np.int8)))
    clip_start = 0
    for run_start, run_end in edges.reshape(-1, 2).tolist():  # the frame run_end is loud again
        length = run_end - run_start
        if run_end == n_frames:
            if length >= grid.min_interval:
                yield _quietest(rms, run_start, run_start + kept), n_frames + 1
            return
        is_leading = run_start == 0 and run_end > kept
        is_middle = length >= grid.min_interval and run_end - clip_start >= grid.min_length
        if not (is_leading or is_middle):
            continue
        first, last = _cut_in_run(rms, run_start, run_end, kept)
        yield (0 if run_start == 0 else first), last
        clip_start = last


def _cut_in_run(rms: Samples, run_start: int, run_end: int, kept: int) -> tuple[int, int]:
    """Return the frames to cut out of one silent run, leaving at most `kept` frames of it on each side."""
    length = run_end - run_start
    if length <= kept:
        quietest = _quietest(rms, run_start, run_end)
        return quietest, quietest
    left = _quietest(rms, run_start, run_start + kept)
    right = _quietest(rms, run_end - kept, run_end)
    if length > 2 * kept:
        return left, right
    if run_start == 0:
        return 0, right
    middle = _quietest(rms, run_end - kept, run_start + kept)
    return min(left, middle), max(right, middle)


def _quietest(rms: Samples, first: int, last: int) -> int:
    """Return the first of the quietest frames among first..last, both included."""
    return first + int(np.argmin(rms[first : last + 1]))


def forced_pieces(n_samples: int, size: int, overlap: int = 0) -> list[tuple[int, int]]:
    """Split `n_samples` into (start, end) steps of `size`, each but the first begun `overlap` samples earlier.

    Historic (so-vits-svc 4.1, 2023): where the overlap would reach before the sound, it is left out.
    Raises SettingsError for a size below 1 or a negative overlap.
    """
    if size < 1 or overlap < 0:
        raise SettingsError(f"a split of size {size} and overlap {overlap} was asked; they must be at least 1 and 0")
    starts = range(0, n_samples, size)
    return [(start if overlap > start else start - overlap, min(start + size, n_samples)) for start in starts]
