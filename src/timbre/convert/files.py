"""`timbre convert`: many files and folders into another voice, each written whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from timbre import __version__
from timbre.audio.listing import FileProgress
from timbre.audio.writer import AudioWriter
from timbre.config.convert import ConvertSettings
from timbre.config.speaker_mix import read_speaker_mix
from timbre.convert.pitch_shift import decide_shift
from timbre.convert.plan import Job, Target, becomes_file, find_sources, plan_jobs
from timbre.convert.render import render_chunks
from timbre.convert.scan import Scan, scan, scan_tracker
from timbre.files.writing import made_folder
from timbre.nn.device import check_device
from timbre.pitch.contract import PitchTracker
from timbre.pitch.trackers import resolve_tracker
from timbre.voice.catalog import Voice
from timbre.weights.search import weights_folders

LEAST_TOLD_DB = 0.05
MUCH_SILENT = 0.3  # of a recording, where its user should know what counts as silent


@dataclass(frozen=True)
class ConvertResult:
    """What became of one source."""

    source: Path
    output: Path
    seconds: float
    pitch_shift_semitones: float
    notes: tuple[str, ...]
    elapsed_s: float


def check_request(sources: Sequence[Path], output: Path, settings: ConvertSettings) -> None:
    """Raise what is wrong with a request that can be known before the voice is loaded; see `convert_files`."""
    check_device(settings.device)
    resolve_tracker(settings.pitch)
    if settings.speaker_mix is not None:
        read_speaker_mix(settings.speaker_mix)
    weights_folders(settings.weights_dir)
    find_sources(sources, output)


def plan_conversion(
    sources: Sequence[Path], output: Path, voice: Voice, settings: ConvertSettings, *, force: bool = False
) -> list[Job]:
    """Return what `convert_files` will do, once all is checked that can be known before it begins."""
    target = Target(output, voice.card.name, voice.sample_rate_hz, settings.format, force)
    to_file = becomes_file(sources, target)
    jobs = plan_jobs(find_sources(sources, output), to_file, target)
    use_threads(settings.threads)
    voice.check(settings)
    return jobs


def convert_files(
    sources: Sequence[Path],
    output: Path,
    voice: Voice,
    settings: ConvertSettings,
    *,
    force: bool = False,
    on_progress: Callable[[FileProgress], None] = lambda _: None,
) -> Iterator[ConvertResult]:
    """Convert files, and all sound files in folders, one after the other; yields each result as it is written.

    `output` is a file for a single source file whose output's name ends in a sound suffix, otherwise a folder (made
    where it is missing) that receives SOURCE_VOICE.FORMAT, in the same sub-folders as in a source folder. Before any
    work begins all sources are opened and all names checked. Raises AudioError for a source that cannot be read,
    OutputError for a target that exists without `force` or cannot be written, SettingsError where the suffix of
    `output` and the asked format differ. What fails leaves nothing behind; files finished before stay.
    """
    jobs = plan_conversion(sources, output, voice, settings, force=force)
    tracker = scan_tracker(voice, settings)
    for number, job in enumerate(jobs):

        def report(done_s: float, total_s: float, job: Job = job, number: int = number) -> None:
            on_progress(FileProgress(job.source.path, done_s, total_s, number, len(jobs)))

        result = _convert_file(job, voice, tracker, settings, force, report)
        # How it is computed is the same for all files, so it is told once.
        yield result if number else replace(result, notes=(*result.notes, *voice.computing(settings)))


def use_threads(threads: int) -> None:
    """Let PyTorch compute with that many threads; 0 leaves its own choice."""
    if threads:
        torch.set_num_threads(threads)


def _convert_file(
    job: Job,
    voice: Voice,
    tracker: PitchTracker | None,
    settings: ConvertSettings,
    force: bool,
    report: Callable[[float, float], None],
) -> ConvertResult:
    started = time.perf_counter()
    source, output = job.source, job.output
    report(0.0, source.seconds)
    scanned = scan(source, tracker, settings, rumble=voice.hears_rumble)
    shift = decide_shift(settings.pitch_shift, scanned.f0_hz, voice.card.median_f0_hz)
    tags = conversion_tags(voice, source.path.stem)
    limited_db = 0.0
    with (
        made_folder(output.parent),
        AudioWriter(output, voice.sample_rate_hz, 1, format=settings.format, tags=tags, force=force) as writer,
    ):
        for chunk in render_chunks(voice, source, scanned, shift.semitones, settings):
            writer.write(chunk.samples[None])
            limited_db = chunk.limited_db
            report(min(chunk.done_s, source.seconds), source.seconds)
    notes = [f"pitch shift: {shift.reason}", *_notes(scanned, source.is_cut_off, limited_db, settings)]
    elapsed_s = time.perf_counter() - started
    return ConvertResult(source.path, output, source.seconds, shift.semitones, tuple(notes), elapsed_s)


def conversion_tags(voice: Voice, title: str) -> dict[str, str]:
    """Return the tags that say what the file is: converted, by what, and from which voice."""
    made_with = voice.card.base or voice.card.family
    comment = f"voice converted by timbre {__version__} to the voice {voice.card.name!r} ({made_with})"
    return {"title": title, "comment": comment, "software": f"timbre {__version__}"}


def _notes(scanned: Scan, is_cut_off: bool, limited_db: float, settings: ConvertSettings) -> Iterator[str]:
    """Yield what the user should know about one conversion."""
    if is_cut_off:
        yield "the source ends before its header says so; it was converted as far as it goes"
    if scanned.f0_hz is not None and not (scanned.f0_hz > 0).any():
        yield "no voiced sound was found; the result is noise and silence only"
    silent = sum(piece.end - piece.start for piece in scanned.pieces if piece.silent)
    if silent and settings.silence == "mute":
        share = silent / max(1, scanned.n_samples)
        hint = (
            "; lower --slice-threshold-db or use --silence convert for quiet recordings" if share > MUCH_SILENT else ""
        )
        yield f"{share:.0%} was silent (below {settings.slice_threshold_db:g} dB) and is written as silence{hint}"
    if limited_db >= LEAST_TOLD_DB:
        yield f"peaks were turned down by up to {limited_db:.1f} dB to stay below full scale; a softer source avoids it"
