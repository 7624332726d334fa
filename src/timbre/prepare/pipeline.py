"""`timbre prepare`: from a folder of recordings to a dataset, of which only what is missing is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from timbre.config.cutting import CutSettings
from timbre.config.prepare import PrepareSettings
from timbre.dataset.manifest import ClipEntry, DatasetManifest, LeftOut, manifest_text
from timbre.dataset.places import (
    CLIPS_FOLDER,
    FEATURES_FOLDER,
    MANIFEST_FILE,
    clip_file,
    feature_file,
    write_manifest,
)
from timbre.errors import DatasetError, OutputError
from timbre.files.writing import remove_leftovers
from timbre.prepare.crew import Crew
from timbre.prepare.cut_records import OWN_FOLDER, CutRecord, record_file
from timbre.prepare.cutting_recordings import SAMPLE_RATE_HZ
from timbre.prepare.gathering import Job, check_trainable, examine, list_clips, remember_sources
from timbre.prepare.hearing import Hearing, choose_hearing
from timbre.prepare.plan import Cost, Plan, Work, check_fits, disk_bytes, free_disk_bytes, typical_clip_s
from timbre.prepare.recordings import SpeakerNames, find_recordings
from timbre.weights.storage import alone

_N_WARM_UP_TRIES = 5


@dataclass(frozen=True)
class Progress:
    """How far the work is, in seconds of the predicted processor time."""

    doing: str
    done: float
    total: float


@dataclass(frozen=True)
class PrepareResult:
    """What came of a preparation."""

    folder: Path
    manifest: DatasetManifest
    n_cut: int  # recordings
    n_heard: int  # clips of which features were made
    n_other_files: int
    notes: tuple[str, ...]


class Preparation:
    """Makes a dataset of recordings: `plan` it, then `make` it, in a `with` block.

    Construction raises what is wrong with the request before any work: AudioError for a folder without recordings,
    DatasetError where none can be read, OutputError for an output that is something else, and the errors of
    `choose_hearing`.
    """

    def __init__(self, raw: Path, output: Path, settings: PrepareSettings, cutting: CutSettings) -> None:
        check_output(raw, output)
        self._output, self._settings, self._cutting = output, settings, cutting
        self._names = SpeakerNames()
        labels = None if settings.labels is None else Path(settings.labels)
        self._found = find_recordings(raw, settings.speaker, labels, output, self._names)
        self._hearing: Hearing = choose_hearing(settings)
        self._jobs = examine(self._found.recordings, output, settings, cutting)
        if all(job.fault is not None for job in self._jobs):
            first = self._jobs[0]
            raise DatasetError(
                f"none of the {len(self._jobs)} recordings in {raw} can be used (such as {first.recording.source}: "
                f"{first.fault}); give recordings that can be read"
            )
        setup = {
            "folder": str(output),
            "settings": settings.to_mapping(),
            "cutting": cutting.to_mapping(),
            "hearing": asdict(self._hearing),
        }
        self._crew = Crew(setup, settings.workers or os.cpu_count() or 1)

    def __enter__(self) -> Preparation:
        return self

    def __exit__(self, *_: object) -> None:
        self._crew.close()

    def plan(self) -> Plan:
        """Find out what there is to do and what it will cost; the first seconds of sound are worked on for that.

        Raises OutputError or SettingsError where disk or memory cannot hold it. Nothing is written.
        """
        work = self._work()
        if work.is_nothing:
            return Plan(work, None)
        cost = self._cost(work)
        check_fits(cost, self._output)
        return Plan(work, cost)

    def make(self, plan: Plan, on_progress: Callable[[Progress], None] = lambda _: None) -> PrepareResult:
        """Do what is missing, write the manifest and remove what it does not name.

        Raises DatasetError where too little is left to train with, and OutputError where something cannot be written;
        what was made stays for the next time.
        """
        own = self._output / OWN_FOLDER
        try:
            own.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self._output} cannot be made ({error.strerror}); choose another output") from error
        with alone(own / "lock"):
            try:
                return self._make(_Meter(plan, on_progress))
            finally:
                self._crew.close()
                remove_leftovers(self._output)

    def _make(self, meter: _Meter) -> PrepareResult:
        n_cut = self._cut(meter)
        clips, left_out = list_clips(self._jobs, self._names, self._hearing, self._settings)
        left_out = [*self._found.left_out, *left_out]
        check_trainable(clips, left_out)
        n_heard, failures = self._hear(clips, meter)
        left_out += [LeftOut(clip.source, clip.start_s, failures[clip.id]) for clip in clips if clip.id in failures]
        clips = [clip for clip in clips if clip.id not in failures]
        check_trainable(clips, left_out)
        manifest = self._manifest(clips, left_out)
        _write_if_new(manifest, self._output)
        self._tidy(manifest)
        return PrepareResult(self._output, manifest, n_cut, n_heard, self._found.n_other_files, self._notes())

    def _work(self) -> Work:
        to_cut = [job for job in self._jobs if job.needs_cutting]
        to_cut_s = sum(job.seconds for job in to_cut)
        cut = [job.record for job in self._jobs if job.record is not None]
        known = {clip.id: clip.end_s - clip.start_s for record in cut for clip in record.clips}
        missing = self._missing_features(known)
        return Work(
            n_recordings=len(self._jobs),
            n_speakers=len({job.recording.speaker for job in self._jobs}),
            seconds=sum(job.seconds for job in self._jobs),
            n_to_cut=len(to_cut),
            to_cut_s=to_cut_s,
            to_hear_s={
                kind: to_cut_s + sum(known[clip_id] for clip_id, kinds in missing.items() if kind in kinds)
                for kind in self._hearing.folders
            },
            expected_clips=len(known) + round(to_cut_s / typical_clip_s(self._cutting) + len(to_cut) / 2),
        )

    def _cost(self, work: Work) -> Cost:
        """Let a worker hear the beginning of a recording."""
        self._crew.start(work.expected_clips)  # loading takes a while
        kinds = [kind for kind, seconds in work.to_hear_s.items() if seconds > 0]
        usable = sorted((job for job in self._jobs if job.fault is None), key=lambda job: not job.needs_cutting)
        failure = None
        for job in usable[:_N_WARM_UP_TRIES]:
            task = {"task": "warm up", "path": str(job.recording.path), "kinds": kinds}
            outcome = next(iter(self._crew.run([(None, task)])))
            failure = outcome.failure
            if failure is None:
                break
        else:
            raise DatasetError(f"the first recordings cannot be heard ({failure}); give others")
        measured = outcome.result
        return Cost(
            cutting_s=measured["cutting"] * work.to_cut_s,
            hearing_s=measured["hearing"] * max(work.to_hear_s.values()),
            memory_bytes=measured["memory_bytes"],
            disk_bytes=disk_bytes(work, self._hearing.bytes_per_s),
            free_disk_bytes=free_disk_bytes(self._output),
            n_workers=self._crew.n_workers,
        )

    def _cut(self, meter: _Meter) -> int:
        """Cut the recordings that need it; returns how many those were."""
        jobs = sorted((job for job in self._jobs if job.needs_cutting), key=lambda job: -job.seconds)
        tasks = [
            (
                job,
                {
                    "task": "cut",
                    "path": str(job.recording.path),
                    "labels": None if job.recording.labels is None else str(job.recording.labels),
                    "labels_sha256": job.labels_sha256,
                },
            )
            for job in jobs
        ]
        for outcome in self._crew.run(tasks):
            job: Job = outcome.key
            if outcome.failure is None:
                job.sha256, job.key = outcome.result["sha256"], outcome.result["key"]
                job.record = CutRecord.from_mapping(outcome.result["record"])
            else:
                job.fault = outcome.failure.replace(str(job.recording.path), job.recording.path.name)
            meter.cut(job.recording.source, job.seconds)
        remember_sources(self._jobs, self._output)
        return len(jobs)

    def _hear(self, clips: Sequence[ClipEntry], meter: _Meter) -> tuple[int, dict[str, str]]:
        """Make the features that are missing; returns of how many clips, and why some have none."""
        missing = self._missing_features([clip.id for clip in clips])
        tasks = [
            (clip, {"task": "hear", "clip": clip.id, "kinds": missing[clip.id]}) for clip in clips if missing[clip.id]
        ]
        failures = {}
        meter.expect(sum(clip.end_s - clip.start_s for clip, _ in tasks))
        for outcome in self._crew.run(tasks):
            clip: ClipEntry = outcome.key
            if outcome.failure is not None:
                failures[clip.id] = outcome.failure.replace(str(self._output), self._output.name)
            meter.heard(clip.name, clip.end_s - clip.start_s)
        return len(tasks), failures

    def _missing_features(self, clip_ids: Iterable[str]) -> dict[str, list[str]]:
        """Return for each clip the kinds of features that are not there."""
        there = {}
        for kind, folder in self._hearing.folders.items():
            place = feature_file(self._output, folder, "any").parent
            there[kind] = {entry.name for entry in os.scandir(place)} if place.is_dir() else set()
        names = {clip_id: feature_file(self._output, "any", clip_id).name for clip_id in clip_ids}
        return {clip_id: [kind for kind in there if name not in there[kind]] for clip_id, name in names.items()}

    def _manifest(self, clips: Sequence[ClipEntry], left_out: Sequence[LeftOut]) -> DatasetManifest:
        hearing = self._hearing
        speakers = sorted({clip.speaker for clip in clips})
        settings = {
            **self._settings.content_settings,
            "pitch": hearing.pitch,
            "precision": hearing.precision,
            "cutting": self._cutting.to_mapping(),
        }
        return DatasetManifest(
            sample_rate_hz=SAMPLE_RATE_HZ,
            frame_rate_hz=hearing.frame_rate_hz,
            hop_samples=hearing.hop_samples,
            encoder=hearing.encoder,
            content_width=hearing.content_width,
            pitch=hearing.pitch,
            settings=settings,
            speakers={name: number for number, name in enumerate(speakers)},
            features=hearing.folders,
            clips=tuple(clips),
            left_out=tuple(sorted(left_out, key=lambda each: (each.source, each.start_s or 0.0))),
            diffusion=self._settings.diffusion,
        )

    def _tidy(self, manifest: DatasetManifest) -> None:
        """Remove what earlier settings and interrupted runs have left in the folders of the dataset."""
        kept = {clip_file(self._output, clip.id) for clip in manifest.clips}
        kept |= {
            feature_file(self._output, folder, clip.id)
            for folder in manifest.features.values()
            for clip in manifest.clips
        }
        kept |= {record_file(self._output, job.key) for job in self._jobs if job.key is not None}
        for place in (CLIPS_FOLDER, FEATURES_FOLDER, f"{OWN_FOLDER}/cuts"):
            for path in sorted((self._output / place).rglob("*"), reverse=True):
                if path.is_dir() and not path.is_symlink():
                    with suppress(OSError):  # it holds something that is kept
                        path.rmdir()
                elif path not in kept:
                    path.unlink()

    def _notes(self) -> tuple[str, ...]:
        notes = [*self._found.notes, *self._names.notes()]
        notes += [f"{job.recording.source}: {note}" for job in self._jobs if job.record for note in job.record.notes]
        if self._crew.n_died:
            notes.append(f"{self._crew.n_died} times a process died and was replaced")
        return tuple(notes)


def check_output(raw: Path, output: Path) -> None:
    """Raise OutputError where `output` is a file, or a folder that holds something else than a dataset."""
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output} is a file; give the name of a folder")
    if output.is_dir() and output.resolve() in (raw.resolve(), *raw.resolve().parents):
        raise OutputError(f"{output} holds the recordings; give another folder for the dataset")
    is_ours = (output / MANIFEST_FILE).is_file() or (output / OWN_FOLDER).is_dir()
    if output.is_dir() and not is_ours and any(output.iterdir()):
        raise OutputError(f"{output} is no dataset and is not empty; give an empty or a new folder")


class _Meter:
    """Turns seconds of sound that are done into the share of the predicted time."""

    def __init__(self, plan: Plan, on_progress: Callable[[Progress], None]) -> None:
        work, cost = plan.work, plan.cost
        self._on_progress = on_progress
        self._done = 0.0
        self._cutting_s = cost.cutting_s if cost else 0.0
        self._cutting_rate = self._cutting_s / work.to_cut_s if work.to_cut_s else 0.0
        self._hearing_rate = cost.hearing_s / work.longest_hearing_s if cost and work.longest_hearing_s else 0.0
        self._total = self._cutting_s + (cost.hearing_s if cost else 0.0)

    def cut(self, name: str, seconds: float) -> None:
        """Count a recording that was cut."""
        self._move(f"cutting {name}", seconds * self._cutting_rate)

    def expect(self, seconds: float) -> None:
        """Correct the total, now that it is known how much sound is to be heard."""
        self._done, self._total = self._cutting_s, self._cutting_s + seconds * self._hearing_rate

    def heard(self, name: str, seconds: float) -> None:
        """Count a clip whose features were made."""
        self._move(f"hearing {name}", seconds * self._hearing_rate)

    def _move(self, doing: str, work_s: float) -> None:
        self._done += work_s
        self._on_progress(Progress(doing, min(self._done, self._total), self._total))


def _write_if_new(manifest: DatasetManifest, folder: Path) -> None:
    file = folder / MANIFEST_FILE
    if not file.is_file() or file.read_bytes() != manifest_text(manifest).encode():
        write_manifest(folder, manifest)
