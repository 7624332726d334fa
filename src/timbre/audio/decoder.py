"""Opens any sound file or stream for reading: libsndfile first, an ffmpeg program for other containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeAlias

import soundfile

from timbre.errors import AudioError

AudioSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO

_READABLE = "wav, flac, ogg, opus, mp3 and aiff"
_FORMAT_NOT_RECOGNISED = 1  # libsndfile's SF_ERR_UNRECOGNISED_FORMAT
# Containers handed to ffmpeg. Playlists (hls, concat, dash) are left out: they can name other files and addresses.
_FFMPEG_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,asf,avi,flv,mpegts,ac3,ape,wv,amr,caf,mp3,ogg,flac,wav"


def source_name(source: AudioSource) -> str:
    """Name a source for a message: its file name, or 'the given sound' for bytes and file objects."""
    return "the given sound" if isinstance(source, bytes) or hasattr(source, "read") else Path(os.fspath(source)).name


@contextmanager
def open_sound(source: AudioSource) -> Iterator[soundfile.SoundFile]:
    """Open a path, bytes or binary file object (read from its current position) as a sound file.

    Raises AudioError when it is missing, a folder, empty or in no readable format.
    """
    name = source_name(source)
    with ExitStack() as stack:
        opened = _readable(source, name, stack)
        begin = opened.tell()
        _check_not_empty(opened, name)
        try:
            sound = soundfile.SoundFile(opened)
        except soundfile.LibsndfileError as error:
            if error.code != _FORMAT_NOT_RECOGNISED:
                raise AudioError(
                    f"{name} cannot be read ({error.error_string}); it must be an intact sound file: export it again"
                ) from error
            opened.seek(begin)
            sound = soundfile.SoundFile(_transcode(opened, name, stack))
        yield stack.enter_context(sound)


def _readable(source: AudioSource, name: str, stack: ExitStack) -> BinaryIO:
    """Return a seekable binary stream over `source`."""
    if isinstance(source, bytes):
        return BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise AudioError(f"{path} does not exist; give the path of a sound file")
        if path.is_dir():
            raise AudioError(f"{path} is a folder; give the path of one sound file")
        try:
            return _Unnamed(stack.enter_context(path.open("rb")))
        except OSError as error:
            raise AudioError(f"{path} cannot be opened ({error.strerror}); check its permissions") from error
    if not source.seekable():
        return BytesIO(source.read())
    return _Unnamed(source)


class _Unnamed(BytesIO):
    """A view of a binary stream without its name, so that no format is guessed from a suffix such as .raw."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self.seek = stream.seek  # type: ignore[method-assign]
        self.tell = stream.tell  # type: ignore[method-assign]
        self.read = stream.read  # type: ignore[method-assign]
        self.readinto = stream.readinto  # type: ignore
