"""`timbre convert`: many files and folders into another voice, each written whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from timbre import __version__
from timbre.audio.writer import AudioWriter
from timbre.config.convert import ConvertSettings
from timbre.convert.pitch_shift import decide_shift
from timbre.convert.render import render_chunks
from timbre.convert.scan import Scan, open_tracker, scan
from timbre.convert.sound_source import FileSource
from timbre.errors import AudioError, OutputError
from timbre.pitch.contract import PitchTracker
from timbre.voice.catalog import AUDIO_SUFFIXES
from timbre.voice.fast import FastVoice

DEFAULT_FORMAT = "wav"


@dataclass(frozen=True)
class Progress:
    """How far the work is, in seconds of sound."""

    source: Path
    done_s: float
    total_s: float
    file_index: int
    n_files: int


@dataclass(frozen=True)
class ConvertResult:
    """What became of one source."""

    source: Path
    output: Path
    seconds: float
    pitch_shift_semitones: float
    notes: tuple[str, ...]
    elapsed_s: float


@dataclass(frozen=True)
class _Job:
    source: Path
    output: Path


def convert_files(
    sources: Sequence[Path],
    output: Path,
    voice: FastVoice,
    settings: ConvertSettings,
    *,
    force: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Iterator[ConvertResult]:
    """Convert files, and all sound files in folders, one after the other; yields each result as it is written.

    `output` is a file for a single source file whose name ends in a sound suffix, otherwise a folder (made where it is
    missing) that receives SOURCE_VOICE.FORMAT, in the same sub-folders as in a source folder. All names are checked
    before any work begins. Raises AudioError for a source that cannot be read, OutputError for a target that exists
    without `force`; files finished before stay.
    """
    jobs = _plan(sources, output, voice.card.name, settings.format, force)
    use_threads(settings.threads)
    tracker = open_tracker(settings)
    for number, job in enumerate(jobs):

        def report(done_s: float, total_s: float, job: _Job = job, number: int = number) -> None:
            on_progress(Progress(job.source, done_s, total_s, number, len(jobs)))

        yield _convert_file(job, voice, tracker, settings, force, report)


def use_threads(threads: int) -> None:
    """Let PyTorch compute with that many threads; 0 leaves its own choice."""
    if threads:
        torch.set_num_threads(threads)


def _convert_file(
    job: _Job,
    voice: FastVoice,
    tracker: PitchTracker,
    settings: ConvertSettings,
    force: bool,
    report: Callable[[float, float], None],
) -> ConvertResult:
    started = time.perf_counter()
    source = FileSource(job.source)
    report(0.0, source.n_samples / source.sample_rate_hz)
    scanned = scan(source, tracker, settings)
    seconds = source.n_samples / source.sample_rate_hz
    shift = decide_shift(settings.pitch_shift, scanned.f0_hz, voice.card.median_f0_hz)
    job.output.parent.mkdir(parents=True, exist_ok=True)
    tags = conversion_tags(voice, job.source.stem)
    with AudioWriter(job.output, voice.sample_rate_hz, 1, format=settings.format, tags=tags, force=force) as writer:
        for chunk in render_chunks(voice, source, scanned, shift.semitones, settings):
            writer.write(chunk.samples[None])
            report(min(chunk.done_s, seconds), seconds)
    notes = _notes(scanned, shift.reason, writer.clipped_samples, settings)
    elapsed_s = time.perf_counter() - started
    return ConvertResult(job.source, job.output, seconds, shift.semitones, notes, elapsed_s)


def conversion_tags(voice: FastVoice, title: str) -> dict[str, str]:
    """Return the tags that say what the file is: converted, by what, and from which voice."""
    comment = f"voice converted by timbre {__version__} to the voice {voice.card.name!r} ({voice.card.base})"
    return {"title": title, "comment": comment, "software": f"timbre {__version__}"}


def _notes(scanned: Scan, reason: str, clipped_samples: int, settings: ConvertSettings) -> tuple[str, ...]:
    notes = [f"pitch shift: {reason}"]
    if not (scanned.f0_hz > 0).any():
        notes.append("no voiced sound was found; the result is noise and silence only")
    silent = sum(piece.end - piece.start for piece in scanned.pieces if piece.silent)
    if silent and not settings.keep_silence:
        notes.append(f"{silent / max(1, scanned.n_samples):.0%} was silent and is written as silence")
    if clipped_samples:
        notes.append(
            f"{clipped_samples} samples were louder than full scale and limited to it; lower the source's level"
        )
    return tuple(notes)


def _plan(sources: Sequence[Path], output: Path, voice_name: str, format: str | None, force: bool) -> list[_Job]:
    """Decide all names and check them."""
    to_file = len(sources) == 1 and not sources[0].is_dir() and output.suffix.lower() in AUDIO_SUFFIXES
    if to_file and not output.is_dir():
        jobs = [_Job(sources[0], output)]
    else:
        if output.exists() and not output.is_dir():
            raise OutputError(f"{output} is a file; several recordings need a folder to go to")
        name = format or DEFAULT_FORMAT
        jobs = [
            _Job(file, output / file.relative_to(root).parent / f"{file.stem}_{voice_name}.{name}")
            for file, root in _source_files(sources)
        ]
    seen: dict[Path, Path] = {}
    for job in jobs:
        if not job.source.exists():
            raise AudioError(f"{job.source} does not exist; give a sound file or a folder of them")
        if job.output in seen:
            raise OutputError(f"{seen[job.output]} and {job.source} would both become {job.output}; convert them apart")
        if job.output.exists() and job.output.samefile(job.source):
            raise OutputError(f"{job.output} is the source itself; choose another name")
        if job.output.exists() and not force:
            raise OutputError(f"{job.output} exists; use --force to overwrite it, or choose another name")
        seen[job.output] = job.source
    return jobs


def _source_files(sources: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield each sound file and the folder its name is relative to."""
    for path in sources:
        if not path.is_dir():
            yield path, path.parent
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file())
        if not found:
            raise AudioError(f"{path} holds no sound files ({', '.join(AUDIO_SUFFIXES)})")
        for file in found:
            yield file, path
