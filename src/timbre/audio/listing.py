"""Finds the sound files of a folder."""

from __future__ import annotations

from pathlib import Path

from timbre.errors import AudioError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".webm", ".aif", ".aiff")


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
