"""Decides, before any work begins, which file becomes which, and refuses what cannot work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from mimetypes import MimeTypes
from pathlib import Path

from timbre.audio.formats import check_fits, format_of
from timbre.audio.listing import AUDIO_SUFFIXES, list_sounds
from timbre.audio.source import FileSource
from timbre.errors import OutputError, SettingsError
from timbre.files.writing import MAX_FILE_NAME_BYTES, check_place

DEFAULT_FORMAT = "wav"


@dataclass(frozen=True)
class Found:
    """One sound file to convert and the sub-folder it lies in, below the folder that was given."""

    source: FileSource
    sub_folder: Path


@dataclass(frozen=True)
class Job:
    """One sound file to convert and the file it becomes."""

    source: FileSource
    output: Path


@dataclass(frozen=True)
class Target:
    """Where results go and what they are."""

    output: Path
    voice_name: str
    sample_rate_hz: int
    format: str | None  # None: that of the suffix of `output`, else wav
    force: bool


def find_sources(paths: Sequence[Path], output: Path) -> list[Found]:
    """Open the header of each file of `paths` and of each sound file in the folders among them.

    Results of earlier runs, in an `output` folder inside a source folder, are left out. Raises AudioError for the first
    file that cannot be read, and for a folder without sounds.
    """
    return [Found(FileSource(file), sub_folder) for file, sub_folder in list_sounds(paths, output)]


def plan_jobs(found: Sequence[Found], to_file: bool, target: Target) -> list[Job]:
    """Name the result of each source and check that it can be written.

    Raises OutputError where a target exists without `force`, is a source, would be written twice, or cannot be written
    in that place or format, and SettingsError where the suffix and the asked format differ.
    """
    jobs = [Job(each.source, target.output if to_file else _in_folder(each, target)) for each in found]
    sources = {(stat.st_dev, stat.st_ino): job.source for job in jobs for stat in [job.source.path.stat()]}
    seen: dict[Path, Path] = {}
    for job in jobs:
        name, path = job.output, job.source.path
        if name in seen:
            raise OutputError(f"{seen[name]} and {path} would both become {name}; convert them apart")
        seen[name] = path
        if len(os.fsencode(name.name)) > MAX_FILE_NAME_BYTES:
            raise OutputError(
                f"the name {name.name!r} is longer than the {MAX_FILE_NAME_BYTES} bytes that a file's may be; give a "
                "shorter one by --output, or rename the recording"
            )
        if name.exists():
            stat = name.stat()
            if (stat.st_dev, stat.st_ino) in sources:
                raise OutputError(f"{name} is itself a source; choose another name")
            if not target.force:
                raise OutputError(f"{name} exists; use --force to overwrite it, or choose another name")
        check_place(name.parent)
    return jobs


def becomes_file(paths: Sequence[Path], target: Target) -> bool:
    """Say whether the output is one file (else a folder), and check that its name fits.

    It is a file for a single source file whose output ends in a sound suffix and is no folder yet. Raises OutputError
    where several recordings would go to a file, or its suffix names a format that is not written, or no sound at all;
    SettingsError where the suffix and the asked format differ.
    """
    output, names_file = target.output, target.output.suffix.lower() in AUDIO_SUFFIXES
    if output.is_dir():
        return False
    if not (names_file or output.exists()):
        kind, _ = MimeTypes().guess_type(output.name)
        if kind is not None:
            raise OutputError(
                f"{output} has the name of a file ({kind}) that holds no sound; name one that ends in .wav, .flac, "
                ".ogg, .opus or .mp3, or a folder"
            )
        return False
    if len(paths) != 1 or paths[0].is_dir():
        raise OutputError(f"{output} names a file; several recordings need a folder to go to")
    if not names_file and target.format is None:
        raise OutputError(
            f"{output} is a file that does not say its sound format; choose another name or give --format"
        )
    if names_file and target.format not in (None, format_of(output, None)):
        raise SettingsError(f"the output is {output.name} but the format {target.format}; leave one of them out")
    check_fits(format_of(output, target.format), None, target.sample_rate_hz, 1)
    return True


def _in_folder(found: Found, target: Target) -> Path:
    name = f"{found.source.path.stem}_{target.voice_name}.{target.format or DEFAULT_FORMAT}"
    return target.output / found.sub_folder / name
