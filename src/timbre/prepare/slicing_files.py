"""`timbre slice`: recordings cut into clips, at silences or by labels, each clip written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbre.audio.cutting import CutMeter, Cuts
from timbre.audio.labels import Label, check_labels, overlapping, read_labels
from timbre.audio.listing import FileProgress
from timbre.audio.mixing import to_mono
from timbre.audio.resample import StreamResampler
from timbre.audio.sound import Samples
from timbre.audio.source import FileSource, mix_weights, mono_blocks
from timbre.config.cutting import ClipFileSettings, CutSettings
from timbre.errors import AudioError, SettingsError
from timbre.prepare.clip_writing import write_clips
from timbre.prepare.slicing_plan import (
    ClipFile,
    SliceJob,
    check_targets,
    clips_of_cuts,
    clips_of_labels,
    earlier_clips,
    plan_slicing,
)

OnProgress = Callable[[FileProgress], None]  # a recording is heard once to find its cuts and once to write them


@dataclass(frozen=True)
class LeftOutStretch:
    """A stretch of a recording that became no clip, or with None for its times a whole one, with the reason."""

    source: Path
    start_s: float | None
    end_s: float | None
    reason: str


@dataclass(frozen=True)
class SourceCuts:
    """What became of one recording."""

    source: Path
    clips: tuple[ClipFile, ...]
    left_out: tuple[LeftOutStretch, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelFile:
    """The labels of one recording, and the tier to take where it is a TextGrid of several."""

    path: Path
    tier: str | None = None


def slice_files(
    sources: Sequence[Path],
    output: Path,
    settings: CutSettings,
    files: ClipFileSettings,
    *,
    labels: LabelFile | None = None,
    force: bool = False,
    dry_run: bool = False,
    on_progress: OnProgress = lambda _: None,
) -> Iterator[SourceCuts]:
    """Cut files, and all sound files in folders, into clips in the folder `output`; yields each when it is done.

    Without `labels` a clip is SOURCE_001 and so on, in the same sub-folders as in a source folder; with them it has
    the label's name, in a folder for each speaker, and is as long as its label to the sample. With `dry_run` nothing
    is written. A recording that cannot be read does not stop the others. Raises SettingsError where `labels` meet
    several recordings, DatasetError where they do not fit, OutputError as `plan_slicing` and `check_targets`, and in
    the end AudioError where a recording could not be read or no clip was found at all.
    """
    jobs = plan_slicing(sources, output, labelled=labels is not None, files=files, force=force)
    if labels is not None and len(jobs) != 1:
        raise SettingsError(f"labels belong to one recording, but {len(jobs)} were given; cut each with its own")
    read = [] if labels is None else read_labels(labels.path, labels.tier)
    done: list[SourceCuts] = []
    unread: list[str] = []
    for index, job in enumerate(jobs):

        def report(done_s: float, total_s: float, job: SliceJob = job, index: int = index) -> None:
            on_progress(FileProgress(job.source, done_s, total_s, index, len(jobs)))

        try:
            cutter = _Cutter(job, settings, files, report)
            found = cutter.find_cuts() if labels is None else cutter.find_labels(read, labels.path)
            check_targets(found.clips, [each.source for each in jobs], force=force)
            if not dry_run:
                notes = cutter.write(found.clips, force=force)
                found = replace(found, notes=(*found.notes, *notes))
        except AudioError as error:
            if len(jobs) == 1:
                raise
            unread.append(str(error))
            found = SourceCuts(job.source, (), (LeftOutStretch(job.source, None, None, str(error)),))
        done.append(found)
        yield found
    if unread:
        raise AudioError(f"{len(unread)} of {len(jobs)} recordings could not be cut, the first because {unread[0]}")
    if not any(found.clips for found in done):
        reason = next((each.reason for found in done for each in found.left_out), "they are silent")
        raise AudioError(f"no clips were found ({reason}); change the settings, or give other recordings")


class _Cutter:
    """Hears one recording once to find its clips, and once more to write them."""

    def __init__(
        self, job: SliceJob, settings: CutSettings, files: ClipFileSettings, report: Callable[[float, float], None]
    ) -> None:
        self._job, self._settings, self._files, self._report = job, settings, files, report
        self._source = FileSource(job.source)
        self._weights: NDArray[np.float32] | None = None

    def find_cuts(self) -> SourceCuts:
        """Find clips at silences and quiet places."""
        rate = self._source.sample_rate_hz
        self._weights = mix_weights(self._source)
        meter = CutMeter(rate, self._settings)
        for block in self._heard(mono_blocks(self._source, self._weights, rate)):
            meter.push(block)
        cuts = meter.finish()
        clips = clips_of_cuts(self._job, self._source, cuts, self._files)
        return SourceCuts(self._job.source, tuple(clips), tuple(self._left_out(cuts)), tuple(self._notes(clips)))

    def find_labels(self, labels: Sequence[Label], path: Path) -> SourceCuts:
        """Find the clips of the labels of the file `path`."""
        if not self._files.keep_channels:
            self._weights = mix_weights(self._source)
        for _ in self._heard(self._source.blocks()):  # its length is known for certain only now
            pass
        check_labels(labels, path, self._source.name, self._source.seconds)
        clips = clips_of_labels(self._job, self._source, labels, self._files)
        left_out = [
            LeftOutStretch(clip.source, clip.start_s, clip.end_s, "the label is shorter than a sample")
            for clip in clips
            if not clip.n_samples
        ]
        notes = [*_overlap_notes(labels), *self._cut_off_notes()]
        return SourceCuts(
            self._job.source, tuple(clip for clip in clips if clip.n_samples), tuple(left_out), tuple(notes)
        )

    def write(self, clips: Sequence[ClipFile], *, force: bool) -> list[str]:
        """Write the clips that were found; returns notes about them."""
        n_channels = self._source.n_channels if self._files.keep_channels else 1
        limited = write_clips(self._blocks(n_channels), clips, self._files.rate, n_channels, force=force)
        told = f"samples beyond full scale were limited: {sum(limited)} in {len(limited)} of {len(clips)} clips"
        return [told] if limited else []

    def _left_out(self, cuts: Cuts) -> Iterator[LeftOutStretch]:
        rate = self._source.sample_rate_hz
        for stretch, reason in cuts.left_out:
            yield LeftOutStretch(self._job.source, stretch.start / rate, stretch.end / rate, reason)

    def _notes(self, clips: Sequence[ClipFile]) -> Iterator[str]:
        yield from self._cut_off_notes()
        stale = sorted(set(earlier_clips(self._job, self._files)) - {clip.output for clip in clips})
        if stale:
            yield f"of an earlier run, {stale[0].name} is left" + (f", and {len(stale) - 1} more" if stale[1:] else "")

    def _cut_off_notes(self) -> Iterator[str]:
        if self._source.is_cut_off:
            yield "the recording ends before its header says so; it was cut as far as it goes"

    def _heard(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        """Pass on blocks [..., N] at the recording's rate and report the first half of the work."""
        n_done = 0
        for block in blocks:
            yield block
            n_done += block.shape[-1]
            self._report(n_done / self._source.sample_rate_hz, 2 * self._source.seconds)

    def _blocks(self, n_channels: int) -> Iterator[Samples]:
        """Yield the recording [C, N] at the clips' rate and report the second half of the work."""
        resampler = StreamResampler(self._source.sample_rate_hz, self._files.rate, n_channels)
        seconds, n_done = self._source.seconds, 0
        for block in self._source.blocks():
            yield resampler.push(block if self._files.keep_channels else to_mono(block, self._weights)[None])
            n_done += block.shape[1]
            self._report(seconds + n_done / self._source.sample_rate_hz, 2 * seconds)
        yield resampler.flush()


def _overlap_notes(labels: Sequence[Label]) -> Iterator[str]:
    """Tell of labels that share sound, the first by name."""
    pairs = overlapping(labels)
    if pairs:
        one, other = pairs[0]
        more = f", and {len(pairs) - 1} more do" if pairs[1:] else ""
        yield f"the labels {one.name!r} (line {one.line}) and {other.name!r} (line {other.line}) overlap{more}"
