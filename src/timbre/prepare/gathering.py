"""What is known about the recordings before and after they are cut, and the list of clips that follows from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from timbre.audio.source import FileSource
from timbre.config.cutting import CutSettings
from timbre.config.prepare import PrepareSettings
from timbre.dataset.manifest import ClipEntry, LeftOut, count_frames
from timbre.dataset.places import write_text
from timbre.errors import AudioError, DatasetError
from timbre.prepare.cut_records import OWN_FOLDER, CutClip, CutRecord, cut_key, read_record
from timbre.prepare.cutting_recordings import SAMPLE_RATE_HZ
from timbre.prepare.hearing import Hearing
from timbre.prepare.recordings import Recording, SpeakerNames
from timbre.prepare.splitting import choose_validation
from timbre.weights.digest import sha256_of

FEWEST_CLIPS = 2
LEAST_S = 10.0

_SOURCES_FILE = "sources.json"


@dataclass
class Job:
    """One recording on its way; `record` is there once it is cut, `fault` says why it never will be."""

    recording: Recording
    labels_sha256: str | None = None
    size_bytes: int = 0
    mtime_ns: int = 0
    seconds: float = 0.0  # as its header says
    sha256: str | None = None
    key: str | None = None
    record: CutRecord | None = None
    fault: str | None = None

    @property
    def needs_cutting(self) -> bool:
        """Say whether there is work to do."""
        return self.record is None and self.fault is None


def examine(
    recordings: Sequence[Recording], output: Path, settings: PrepareSettings, cutting: CutSettings
) -> list[Job]:
    """Look up what is known of each recording that has not changed, and at the header of each other one."""
    remembered = _read_sources(output)
    jobs = [Job(recording) for recording in recordings]
    for job in jobs:
        try:
            _recall(job, remembered.get(job.recording.inner), output, settings, cutting)
            if job.record is None:
                job.seconds = FileSource(job.recording.path).seconds
        except AudioError as error:
            job.fault = str(error).replace(str(job.recording.path), job.recording.path.name)
        except OSError as error:
            job.fault = f"it cannot be read ({error.strerror})"
    return jobs


def _recall(
    job: Job,
    remembered: tuple[int, int, str] | None,
    output: Path,
    settings: PrepareSettings,
    cutting: CutSettings,
) -> None:
    """Fill in the record of a recording that is the one it was: by size and time, or else by its hash."""
    path, labels = job.recording.path, job.recording.labels
    status = path.stat()
    job.size_bytes, job.mtime_ns = status.st_size, status.st_mtime_ns
    job.labels_sha256 = None if labels is None else sha256_of(labels)
    if remembered is None or remembered[0] != job.size_bytes:
        return
    sha256 = remembered[2] if remembered[1] == job.mtime_ns else sha256_of(path)
    key = cut_key(sha256, job.labels_sha256, settings, cutting)
    record = read_record(output, key)
    if record is not None:
        job.sha256, job.key, job.record = sha256, key, record
        job.seconds = sum(clip.end_s - clip.start_s for clip in record.clips)


def remember_sources(jobs: Sequence[Job], output: Path) -> None:
    """Keep size, time and hash of the recordings, so that the next run need not read them."""
    known = {
        job.recording.inner: (job.size_bytes, job.mtime_ns, job.sha256)
        for job in jobs
        if job.sha256 is not None and job.record is not None
    }
    text = json.dumps(known, indent=1, sort_keys=True)
    path = output / OWN_FOLDER / _SOURCES_FILE
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def list_clips(
    jobs: Sequence[Job], names: SpeakerNames, hearing: Hearing, settings: PrepareSettings
) -> tuple[list[ClipEntry], list[LeftOut]]:
    """Return the clips of all recordings that were cut, in their order, and what was left out of them.

    The same sound is taken once, where it was met first.
    """
    clips: list[ClipEntry] = []
    left_out: list[LeftOut] = []
    owners: dict[str, str] = {}  # source by clip id
    for job in jobs:
        source = job.recording.source
        if job.record is None:
            left_out.append(LeftOut(source, None, job.fault or "it was not cut"))
            continue
        left_out += [LeftOut(source, start_s, reason) for start_s, reason in job.record.left_out]
        copied = [clip for clip in job.record.clips if clip.id in owners]
        if copied and len(copied) == len(job.record.clips) and owners[copied[0].id] != source:
            left_out.append(LeftOut(source, None, f"it is the same recording as {owners[copied[0].id]}"))
            continue
        left_out += [LeftOut(source, clip.start_s, f"the same sound is in {owners[clip.id]}") for clip in copied]
        for number, clip in enumerate(job.record.clips, start=1):
            if clip.id not in owners:
                owners[clip.id] = source
                clips.append(_entry(clip, number, job.recording, names, hearing))
    chosen = choose_validation([(clip.speaker, clip.id) for clip in clips], settings.validation_share, settings.seed)
    return [_with_split(clip, chosen) for clip in clips], left_out


def check_trainable(clips: Sequence[ClipEntry], left_out: Sequence[LeftOut]) -> None:
    """Raise DatasetError where there is too little to train with, saying what is missing."""
    seconds = sum(clip.end_s - clip.start_s for clip in clips)
    if len(clips) >= FEWEST_CLIPS and seconds >= LEAST_S:
        return
    reasons = (
        [f"; left out were {len(left_out)}, such as {left_out[0].source}: {left_out[0].reason}"] if left_out else []
    )
    raise DatasetError(
        f"what can be used of the recordings is {seconds:.1f} s in {len(clips)} clip(s), and training needs at least "
        f"{FEWEST_CLIPS} clips and {LEAST_S:g} s (it becomes good from some minutes on); add recordings"
        f"{''.join(reasons)}"
    )


def _entry(clip: CutClip, number: int, recording: Recording, names: SpeakerNames, hearing: Hearing) -> ClipEntry:
    return ClipEntry(
        id=clip.id,
        speaker=names.of(clip.speaker) if clip.speaker else recording.speaker,
        source=recording.source,
        name=clip.name or f"{Path(recording.source).stem}_{number:03d}",
        start_s=clip.start_s,
        end_s=clip.end_s,
        n_samples=clip.n_samples,
        n_frames=count_frames(clip.n_samples, SAMPLE_RATE_HZ, hearing.frame_rate_hz, hearing.hop_samples),
        split="train",
        loudness_lufs=clip.loudness_lufs,
        gain_db=clip.gain_db,
        source_peak=clip.source_peak,
        source_rate_hz=clip.source_rate_hz,
    )


def _with_split(clip: ClipEntry, chosen: frozenset[str]) -> ClipEntry:
    return replace(clip, split="validation") if clip.id in chosen else clip


def _read_sources(output: Path) -> dict[str, tuple[int, int, str]]:
    """Return what `remember_sources` kept; nothing where it is not there or damaged."""
    try:
        content = json.loads((output / OWN_FOLDER / _SOURCES_FILE).read_text(encoding="utf-8"))
        return {inner: (int(size), int(mtime_ns), str(sha256)) for inner, (size, mtime_ns, sha256) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
