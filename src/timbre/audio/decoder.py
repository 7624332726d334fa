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
_UNKNOWN_SAMPLES = 1 << 62  # what libsndfile counts, and more, where a header (of flac) tells no length
_FORMAT_NOT_RECOGNISED = 1  # libsndfile's SF_ERR_UNRECOGNISED_FORMAT
# Containers handed to ffmpeg. Playlists (hls, concat, dash) are left out: they can name other files and addresses.
_FFMPEG_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,asf,avi,flv,mpegts,ac3,ape,wv,amr,caf,mp3,ogg,flac,wav"


def source_name(source: AudioSource) -> str:
    """Name a source for a message: its file name, or 'the given sound' for bytes and file objects."""
    return Path(source).name if isinstance(source, (str, os.PathLike)) else "the given sound"


def library_path(path: Path) -> str | bytes:
    """Return the path as libsndfile takes it: on POSIX a name may be any bytes, also such as are no text."""
    return os.fsencode(path) if os.name == "posix" else str(path)


@contextmanager
def open_sound(source: AudioSource) -> Iterator[soundfile.SoundFile]:
    """Open a path, bytes or a binary file object (from its current position) as a sound file.

    Raises AudioError when it is missing, a folder, empty or in no readable format.
    """
    name = source_name(source)
    with ExitStack() as stack:
        opened = _checked_path(source) if isinstance(source, (str, os.PathLike)) else _seekable(source)
        begin = 0 if isinstance(opened, Path) else opened.tell()
        sound = _open_natively(opened, name)
        if sound is None or sound.frames > _UNKNOWN_SAMPLES:
            fault = "is in another format" if sound is None else "does not say its length, as if it came from a pipe,"
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="timbre-")))
            if not isinstance(opened, Path):
                opened.seek(begin)
            sound = soundfile.SoundFile(_transcode(opened, name, fault, folder))
        yield stack.enter_context(sound)


def _open_natively(opened: Path | BinaryIO, name: str) -> soundfile.SoundFile | None:
    """Open what libsndfile knows; None for another format. Raises AudioError for a damaged file."""
    try:
        return soundfile.SoundFile(library_path(opened) if isinstance(opened, Path) else opened)
    except soundfile.LibsndfileError as error:
        if error.code == _FORMAT_NOT_RECOGNISED:
            return None
        raise AudioError(
            f"{name} is damaged ({error.error_string.rstrip('.')}); it must be intact: export it again"
        ) from error


def _checked_path(source: str | os.PathLike[str]) -> Path:
    """Return the path when it is a readable file that can be a sound."""
    path = Path(source)
    if not path.exists():
        raise AudioError(f"{path} does not exist; give the path of a sound file")
    if path.is_dir():
        raise AudioError(f"{path} is a folder; give the path of one sound file")
    if not os.access(path, os.R_OK):
        raise AudioError(f"{path} may not be read by this user; change its permissions")
    if path.is_file() and path.stat().st_size == 0:
        raise AudioError(f"{path.name} is empty (0 bytes); give a file that holds sound")
    if path.suffix.lower() == ".raw":  # soundfile would ask for the rate, which the file does not hold
        raise AudioError(f"{path.name} is raw data without a sample rate; save it as wav first")
    return path


def _seekable(source: bytes | BinaryIO) -> BinaryIO:
    """Return a stream that can seek, so that the container's header and end can be found."""
    if not isinstance(source, bytes) and source.seekable():
        return source
    data = source if isinstance(source, bytes) else source.read()
    if not data:
        raise AudioError("the given sound is empty (0 bytes); give bytes that hold sound")
    return BytesIO(data)


def _transcode(opened: Path | BinaryIO, name: str, fault: str, folder: Path) -> Path:
    """Decode the sound with the ffmpeg program to a float file in `folder` and return its path."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise AudioError(
            f"{name} {fault} and cannot be read here; {_READABLE} can: "
            "convert it, or install the program ffmpeg for other containers"
        )
    if not isinstance(opened, Path):
        with (folder / "source").open("wb") as copy:
            shutil.copyfileobj(opened, copy)
        opened = folder / "source"
    target = folder / "decoded.w64"  # w64: float wav without its 4 GiB limit
    command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-format_whitelist", _FFMPEG_FORMATS]
    command += ["-i", f"file:{opened.absolute()}", "-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "w64", str(target)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0 or not target.exists():
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise AudioError(
            f"{name} holds no sound that can be decoded ({reason[-1] if reason else 'ffmpeg gave no reason'}); "
            f"give a sound file: {_READABLE} are read without ffmpeg"
        )
    return target
