"""What a preparation will do, what it will cost, and whether it fits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from timbre.config.cutting import CutSettings
from timbre.errors import OutputError, SettingsError

_CLIP_BYTES_PER_S = 100_000  # flac of 24 bits: about three quarters of the samples
_FILE_BYTES = 4096  # what the end of a file takes beyond its content
_SPARE_BYTES = 1 << 26


@dataclass(frozen=True)
class Work:
    """What there is to do, counted in seconds of sound."""

    n_recordings: int
    n_speakers: int
    seconds: float  # of all recordings
    n_to_cut: int
    to_cut_s: float
    to_hear_s: Mapping[str, float]  # by kind of features
    expected_clips: int  # in all

    @property
    def is_nothing(self) -> bool:
        """Say whether all is there already."""
        return self.n_to_cut == 0 and not any(self.to_hear_s.values())

    @property
    def longest_hearing_s(self) -> float:
        """Seconds of sound of which at least one kind of features is missing, at least."""
        return max(self.to_hear_s.values(), default=0.0)


@dataclass(frozen=True)
class Cost:
    """What work will take, as measured on the first seconds of sound."""

    cutting_s: float  # processor time
    hearing_s: float
    memory_bytes: float  # of one worker
    disk_bytes: float
    free_disk_bytes: float
    n_workers: int

    @property
    def wall_s(self) -> float:
        """Time until the end."""
        return (self.cutting_s + self.hearing_s) / max(1, min(self.n_workers, os.cpu_count() or 1))


@dataclass(frozen=True)
class Plan:
    """Work and its cost; no cost where there is nothing to do."""

    work: Work
    cost: Cost | None


def disk_bytes(work: Work, bytes_per_s: Mapping[str, float]) -> float:
    """Return about how much the disk must take."""
    sound = work.to_cut_s * _CLIP_BYTES_PER_S + sum(bytes_per_s[kind] * work.to_hear_s[kind] for kind in bytes_per_s)
    return sound + _FILE_BYTES * work.expected_clips * (1 + len(bytes_per_s))


def free_disk_bytes(folder: Path) -> int:
    """Return what is free on the disk of a folder that may not be there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_fits(cost: Cost, folder: Path) -> None:
    """Raise OutputError where the disk, and SettingsError where the memory cannot hold what is needed."""
    if cost.disk_bytes + _SPARE_BYTES > cost.free_disk_bytes:
        raise OutputError(
            f"the dataset needs about {cost.disk_bytes / 1e6:.0f} MB in {folder}, but its disk has "
            f"{cost.free_disk_bytes / 1e6:.0f} MB left; make room or choose another disk"
        )
    free_bytes = free_memory_bytes()
    if cost.n_workers > 1 and free_bytes is not None and cost.n_workers * cost.memory_bytes > free_bytes:
        fitting = max(1, int(free_bytes // cost.memory_bytes))
        raise SettingsError(
            f"{cost.n_workers} workers need about {cost.n_workers * cost.memory_bytes / 1e9:.1f} GB of memory, and "
            f"{free_bytes / 1e9:.1f} GB are free; use --workers {fitting}"
        )


def free_memory_bytes() -> int | None:
    """Return the memory that programs can still get; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def typical_clip_s(cutting: CutSettings) -> float:
    """Return how long a clip will be, for estimates."""
    return (cutting.shortest_s + cutting.longest_s) / 2
