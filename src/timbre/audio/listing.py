"""Finds the sound files of a folder, and tells how far the work on them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from timbre.errors import AudioError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".webm", ".aif", ".aiff")


@dataclass(frozen=True)
class FileProgress:
    """How far the work on a list of files is, in seconds of sound to do for the file at hand."""

    source: Path
    done_s: float
    total_s: float
    file_index: int
    n_files: int


def find_sounds(folder: Path) -> list[Path]:
    """Return the sound files in `folder` and its sub-folders, by their suffix, in order.

    Names that begin with a dot are left out: they belong to programs. Raises AudioError where there is no sound file.
    """
    found = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in AUDIO_SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    if not found:
        raise AudioError(f"{folder} holds no sound files; give a folder that does ({', '.join(AUDIO_SUFFIXES)})")
    return found


def list_sounds(paths: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """Return each file of `paths`, and each sound file in the folders among them, with its sub-folder below that.

    Results of earlier runs, in an `output` folder inside a source folder, are left out. Raises AudioError for a folder
    without sounds, and where there are no paths.
    """
    if not paths:
        raise AudioError("no recordings were given; give at least one")
    listed = []
    for path in paths:
        if not path.is_dir():
            listed.append((path, Path()))
            continue
        files = [file for file in find_sounds(path) if not _is_result(file, path, output)]
        if not files:
            raise AudioError(f"{path} holds no sound files but those in {output}; give a folder that does")
        listed += [(file, file.relative_to(path).parent) for file in files]
    return listed


def _is_result(file: Path, folder: Path, output: Path) -> bool:
    """Say whether `file` lies in the output folder and that inside the source folder."""
    place = output.resolve()
    return folder.resolve() in place.parents and place in file.resolve().parents
