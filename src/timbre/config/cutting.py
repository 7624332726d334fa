"""How a recording is cut into clips for a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from timbre.config.options import Settings, option
from timbre.config.slicing import SliceSettings
from timbre.errors import SettingsError

LEAST_ROOM_S = 0.1  # between twice the shortest and the longest clip, so that every long stretch can be split


@dataclass(frozen=True, kw_only=True)
class CutSettings(SliceSettings):
    """How a recording is cut into clips: at its silences, then into the window shortest_s to longest_s.

    Less silence stays at the ends of a clip than in a conversion, because a model learns nothing from it. Raises
    SettingsError as `SliceSettings`, and unless longest_s leaves room for two clips.
    """

    max_silence_kept_ms: float = option(500.0, "how much silence may stay at each end of a clip", low=1)
    shortest_s: float = option(4.0, "a shorter clip is joined to its neighbour where it can be", low=0, high=600)
    longest_s: float = option(15.0, "a longer stretch is split at its quietest places", low=0.2, high=86400)
    least_s: float = option(0.5, "what stays shorter than this is left out", low=0, high=600)

    def __post_init__(self) -> None:
        super().__post_init__()
        part_s = self.shortest_part_s
        if self.longest_s < 2 * part_s + LEAST_ROOM_S:
            raise SettingsError(
                f"longest_s is {self.longest_s:g} and the larger of shortest_s and least_s {part_s:g}; raise longest_s "
                f"to at least {2 * part_s + LEAST_ROOM_S:g}, so that a long stretch can always be split"
            )

    @property
    def shortest_part_s(self) -> float:
        """The shortest that a long stretch may be split into."""
        return max(self.shortest_s, self.least_s)


@dataclass(frozen=True, kw_only=True)
class ClipFileSettings(Settings):
    """What the files are that clips are written to."""

    rate: int = option(44100, "sample rate of the clips in Hz", low=1000, high=384_000)
    format: str = option("wav", "file format of the clips, 24 bit", choices=("wav", "flac"))
    keep_channels: bool = option(False, "keep the channels of the recording instead of mixing them to one")
