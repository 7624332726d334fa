"""Cuts a recording into clips of a wanted length: at silences first, then at the quietest places."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from timbre.audio.levels import RmsAccumulator
from timbre.audio.slicing import pieces_from_rms, slice_meter
from timbre.audio.sound import Samples
from timbre.config.cutting import CutSettings
from timbre.errors import AudioError

LEAST_RATE_HZ = 1000
_SPLIT_WINDOW_S = 0.05
_SPLIT_HOP_S = 0.01
# What a cut costs beside the level it cuts through (that of -60 dB): digital silence is no reason to cut twice.
_LEVEL_OF_ANY_CUT = 1e-3


@dataclass(frozen=True)
class Stretch:
    """Samples `start` to `end` (exclusive) of a recording."""

    start: int
    end: int

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return self.end - self.start


@dataclass(frozen=True)
class Cuts:
    """How a recording is cut; all stretches are in order and disjoint, and what is in none is silence."""

    n_samples: int  # of the recording
    clips: tuple[Stretch, ...]
    left_out: tuple[tuple[Stretch, str], ...]  # sounding stretches that make no clip, with the reason


class CutMeter:
    """Listens to a mono recording in blocks of any size and then says how it is cut.

    It holds levels only, about 2 MB for each hour. Raises AudioError for a rate below 1000 Hz, or too low for hop_ms.
    """

    def __init__(self, sample_rate_hz: int, settings: CutSettings) -> None:
        if sample_rate_hz < LEAST_RATE_HZ:
            raise AudioError(
                f"the sample rate is {sample_rate_hz} Hz; it must be at least {LEAST_RATE_HZ} to be cut: resample it"
            )
        self._sample_rate_hz, self._settings = sample_rate_hz, settings
        self._slicing = slice_meter(sample_rate_hz, settings)
        self._hop = round(_SPLIT_HOP_S * sample_rate_hz)
        self._splitting = RmsAccumulator(2 * round(_SPLIT_WINDOW_S * sample_rate_hz / 2), self._hop)

    def push(self, block: Samples) -> None:
        """Take the next samples [N]."""
        self._slicing.push(block)
        self._splitting.push(block)

    def finish(self) -> Cuts:
        """End the recording and return its cuts.

        The sounding pieces of `pieces_from_rms` are brought into the window: what is longer than longest_s is split
        where the sum of the levels cut through is least; of what is shorter than shortest_s, neighbours are joined
        when no more than max_silence_kept_ms was cut out between them and the whole stays within longest_s; what is
        still shorter than least_s is left out.
        """
        n_samples, rate, settings = self._slicing.n_samples, self._sample_rate_hz, self._settings
        levels = self._splitting.finish()
        pieces = pieces_from_rms(self._slicing.finish(), n_samples, rate, settings)
        sounding = [Stretch(piece.start, piece.end) for piece in pieces if not piece.silent]
        shortest_part, longest = round(settings.shortest_part_s * rate), round(settings.longest_s * rate)
        split = [part for piece in sounding for part in _split(piece, levels, self._hop, shortest_part, longest)]
        longest_pause = round(settings.max_silence_kept_ms / 1000 * rate)
        joined = _join(split, round(settings.shortest_s * rate), longest, longest_pause)
        least = settings.least_s * rate
        left_out = [(clip, self._too_short(clip)) for clip in joined if clip.n_samples < least]
        if pieces and not sounding:
            left_out = [(Stretch(0, n_samples), self._silent(levels))]
        return Cuts(n_samples, tuple(clip for clip in joined if clip.n_samples >= least), tuple(left_out))

    def _too_short(self, clip: Stretch) -> str:
        seconds = clip.n_samples / self._sample_rate_hz
        return f"{seconds:.2f} s are less than least_s, {self._settings.least_s:g} s"

    def _silent(self, levels: Samples) -> str:
        peak = float(levels.max(initial=0.0))
        loudest = f"its loudest place has {20 * np.log10(peak):.0f} dB" if peak > 0 else "it is digital silence"
        return f"nothing is above threshold_db, {self._settings.threshold_db:g} dB: {loudest}"


def cut_into_clips(blocks: Iterable[Samples], sample_rate_hz: int, settings: CutSettings) -> Cuts:
    """Cut a mono recording that comes in blocks [N]; details and errors as in `CutMeter`."""
    meter = CutMeter(sample_rate_hz, settings)
    for block in blocks:
        meter.push(block)
    return meter.finish()


def _split(piece: Stretch, levels: Samples, hop: int, shortest: int, longest: int) -> list[Stretch]:
    """Split a piece longer than `longest` samples into parts of `shortest` to `longest`; frames of `levels` each `hop`.

    A piece that fits is returned as it is.
    """
    if piece.n_samples <= longest:
        return [piece]
    frames = np.arange(-(-(piece.start + shortest) // hop), (piece.end - shortest) // hop + 1)
    places = np.concatenate([[piece.start], frames * hop, [piece.end]])
    costs = np.concatenate([[0.0], levels[frames] + _LEVEL_OF_ANY_CUT, [0.0]])
    borders = [int(places[index]) for index in _cheapest_path(places, costs, max(1, shortest), longest)]
    return [Stretch(start, end) for start, end in pairwise(borders)]


def _cheapest_path(places: NDArray[np.int64], costs: NDArray[np.float64], shortest: int, longest: int) -> list[int]:
    """Return indices from the first place to the last, in steps of `shortest` to `longest`, of the least sum of costs.

    `places` [P] rise. The best way to each place continues the best way to one of those that a step reaches it from;
    these form a moving window, whose least is kept in a queue of rising totals.
    """
    at, cost = places.tolist(), costs.tolist()
    total = [0.0] + [np.inf] * (len(at) - 1)
    previous = [0] * len(at)
    queue: deque[int] = deque()
    entering = 0
    for index in range(1, len(at)):
        while at[entering] <= at[index] - shortest:
            while queue and total[queue[-1]] > total[entering]:
                queue.pop()
            queue.append(entering)
            entering += 1
        while queue and at[queue[0]] < at[index] - longest:
            queue.popleft()
        if queue:
            previous[index] = queue[0]
            total[index] = total[queue[0]] + cost[index]
    path = [len(at) - 1]
    while path[-1] != 0:
        path.append(previous[path[-1]])
    return path[::-1]


def _join(parts: list[Stretch], shortest: int, longest: int, longest_pause: int) -> list[Stretch]:
    """Join a part shorter than `shortest` to the one before or else after it, where pause and length allow."""
    joined: list[Stretch] = []
    for part in parts:
        last = joined[-1] if joined else None
        if (
            last is not None
            and min(last.n_samples, part.n_samples) < shortest
            and part.start - last.end <= longest_pause
            and part.end - last.start <= longest
        ):
            joined[-1] = Stretch(last.start, part.end)
        else:
            joined.append(part)
    return joined
