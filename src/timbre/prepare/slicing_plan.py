"""Decides, before a clip is written, which stretch of a recording becomes which file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbre.audio.cutting import Cuts
from timbre.audio.labels import Label
from timbre.audio.listing import AUDIO_SUFFIXES, list_sounds
from timbre.audio.resample import resampled_length
from timbre.audio.source import FileSource
from timbre.config.cutting import ClipFileSettings
from timbre.config.file_names import safe_name
from timbre.errors import OutputError
from timbre.files.writing import MAX_FILE_NAME_BYTES, check_place

_LEAST_DIGITS = 3


@dataclass(frozen=True)
class SliceJob:
    """One recording and the folder that its clips go to."""

    source: Path
    folder: Path


@dataclass(frozen=True)
class ClipFile:
    """One clip: where it lies in its recording, and what it is written to."""

    source: Path
    output: Path
    start_s: float  # in the recording
    end_s: float
    start: int  # in samples of the clip's rate
    n_samples: int
    speaker: str | None = None

    @property
    def end(self) -> int:
        """Sample after the last, at the clip's rate."""
        return self.start + self.n_samples


def plan_slicing(
    sources: Sequence[Path], output: Path, *, labelled: bool, files: ClipFileSettings, force: bool
) -> list[SliceJob]:
    """Find the recordings and check that their clips can be written.

    Raises AudioError for a folder without sounds, and OutputError where `output` is no folder, the clips of two
    recordings would have one name or too long a one, or (unless `labelled`) clips of an earlier run are there without
    `force`.
    """
    if output.suffix.lower() in AUDIO_SUFFIXES and not output.is_dir():
        raise OutputError(f"{output} names a file; the clips need a folder to go to")
    jobs = [SliceJob(file, output / sub_folder) for file, sub_folder in list_sounds(sources, output)]
    seen: dict[str, Path] = {}
    for job in jobs:
        check_place(job.folder)
        if labelled:
            continue
        name = _key(job.folder / job.source.stem)
        if name in seen:
            raise OutputError(f"the clips of {seen[name]} and {job.source} would have the same names; cut them apart")
        seen[name] = job.source
        longest = (job.folder / f"{job.source.stem}_00000.{files.format}").name
        if len(longest.encode(errors="surrogateescape")) > MAX_FILE_NAME_BYTES:
            raise OutputError(f"the name {job.source.stem!r} is too long to be that of clips; rename the recording")
        earlier = earlier_clips(job, files)
        if earlier and not force:
            raise OutputError(f"{earlier[0]} exists; use --force to overwrite it, or choose another folder")
    return jobs


def check_targets(clips: Iterable[ClipFile], sources: Iterable[Path], *, force: bool) -> None:
    """Raise OutputError where a clip would overwrite a recording, or any file without `force`."""
    taken = {(stat.st_dev, stat.st_ino) for source in sources if source.exists() for stat in [source.stat()]}
    for clip in clips:
        check_place(clip.output.parent)
        if not clip.output.exists():
            continue
        stat = clip.output.stat()
        if (stat.st_dev, stat.st_ino) in taken:
            raise OutputError(f"{clip.output} is itself a source; choose another folder")
        if not force:
            raise OutputError(f"{clip.output} exists; use --force to overwrite it, or choose another folder")


def earlier_clips(job: SliceJob, files: ClipFileSettings) -> list[Path]:
    """Return the numbered clips of this recording that are in its folder already, in order."""
    pattern = re.compile(rf"{re.escape(job.source.stem)}_\d{{{_LEAST_DIGITS},}}\.{files.format}")
    found = job.folder.iterdir() if job.folder.is_dir() else iter(())
    return sorted(path for path in found if pattern.fullmatch(path.name))


def clips_of_cuts(job: SliceJob, source: FileSource, cuts: Cuts, files: ClipFileSettings) -> list[ClipFile]:
    """Name the clips of a recording SOURCE_001, SOURCE_002 and so on."""
    digits = max(_LEAST_DIGITS, len(str(len(cuts.clips))))
    total, rate = _total_samples(source, files), source.sample_rate_hz
    clips = []
    for number, cut in enumerate(cuts.clips, start=1):
        start, end = (min(total, round(place * files.rate / rate)) for place in (cut.start, cut.end))
        output = job.folder / f"{job.source.stem}_{number:0{digits}d}.{files.format}"
        clips.append(ClipFile(job.source, output, cut.start / rate, cut.end / rate, start, end - start))
    return clips


def clips_of_labels(
    job: SliceJob, source: FileSource, labels: Sequence[Label], files: ClipFileSettings
) -> list[ClipFile]:
    """Name a clip after each label, in a folder for each speaker; each is as long as its label to the sample.

    A label that is shorter than half a sample gives a clip of no samples.
    """
    total, seconds = _total_samples(source, files), source.seconds
    clips = []
    for label, output in zip(labels, _label_outputs(job.folder, labels, files.format), strict=True):
        end_s = min(label.end_s, seconds)
        n_samples = min(total, round((end_s - label.start_s) * files.rate))
        start = min(total - n_samples, round(label.start_s * files.rate))
        clips.append(ClipFile(job.source, output, label.start_s, end_s, start, n_samples, label.speaker))
    return clips


def _label_outputs(folder: Path, labels: Sequence[Label], format: str) -> Iterator[Path]:
    """Yield a file for each label; of names that a file system may take for one, the later ones get a number."""
    taken: set[str] = set()
    for label in labels:
        place = folder / safe_name(label.speaker, "speaker") if label.speaker else folder
        stem = safe_name(label.name, "label")
        name, number = stem, 1
        while _key(place / name) in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(_key(place / name))
        yield place / f"{name}.{format}"


def _total_samples(source: FileSource, files: ClipFileSettings) -> int:
    return resampled_length(source.n_samples, source.sample_rate_hz, files.rate)


def _key(path: Path) -> str:
    """Return what is equal for paths that a file system may take for the same."""
    return unicodedata.normalize("NFC", str(path)).casefold()
