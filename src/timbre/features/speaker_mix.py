"""The weights of mixed speakers for each frame (pipeline spec 6.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.config.speaker_mix import Track

Weights = NDArray[np.float64]


class SpeakerTimeline(Protocol):
    """Knows how the speakers mix along a sound."""

    def weights(self, first_frame: int, n_frames: int) -> Tensor:
        """Return the weights of the speakers numbered 0 to S - 1 from `first_frame` on: [n_frames, S], rows of sum 1.

        Frames before and after the sound have the weights of its ends.
        """
        ...


@dataclass(frozen=True)
class TimedMix:
    """Each frame has the weights of its own time."""

    tracks: Mapping[int, Track]  # by speaker number
    frame_length: float  # as a share of the whole sound

    def weights(self, first_frame: int, n_frames: int) -> Tensor:
        """See `SpeakerTimeline`."""
        times = np.clip(self.frame_length * np.arange(first_frame, first_frame + n_frames), 0, 1)
        return _shares({number: _values_at(track, times) for number, track in self.tracks.items()})


class CountedMix:
    """The weights as so-vits-svc gave them out: spread over all frames it rendered, padding and overlaps included.

    `n_frames` is what `timbre.audio.compatible_assembly.count_frames` says.
    """

    def __init__(self, tracks: Mapping[int, Track], n_frames: int) -> None:
        self._table = _shares({number: _values_counted(track, n_frames) for number, track in tracks.items()})

    def weights(self, first_frame: int, n_frames: int) -> Tensor:
        """See `SpeakerTimeline`."""
        frames = torch.arange(first_frame, first_frame + n_frames)
        return self._table[frames.clamp(0, len(self._table) - 1)]


def _values_at(track: Track, times: Weights) -> Weights:
    """Return the weight of one speaker at `times` [T]; where two stretches meet, the later one counts."""
    ramps = np.array([(ramp.start, ramp.end, ramp.first, ramp.last) for ramp in track])
    at = np.searchsorted(ramps[1:, 0], times, side="right")
    start, end, first, last = ramps[at].T
    values: Weights = first + (last - first) * np.clip((times - start) / (end - start), 0, 1)
    return values


def _values_counted(track: Track, n_frames: int) -> Weights:
    """Return the weight of one speaker for each of `n_frames`; a stretch does not reach its last value."""
    values = np.zeros(n_frames)
    for ramp in track:
        start, end = int(n_frames * ramp.start), int(n_frames * ramp.end)
        shares = np.arange(end - start) / max(1, end - start)
        values[start:end] = ramp.first + (ramp.last - ramp.first) * shares
    return values


def _shares(values: Mapping[int, Weights]) -> Tensor:
    """Return the values of each speaker, by number, as shares [T, S] of sum 1; all alike where all are 0."""
    table = np.stack(list(values.values()), axis=1)
    peak = table.max(axis=1, keepdims=True)
    relative = np.where(peak > 0, table / np.where(peak > 0, peak, 1), 1)  # no sum of huge weights overflows
    shares = np.zeros((len(table), max(values) + 1))
    shares[:, list(values)] = relative / relative.sum(axis=1, keepdims=True)
    return torch.from_numpy(shares.astype(np.float32))
