"""Writes sound files block by block; a file appears under its name only when it is complete."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from timbre.audio.decoder import library_path
from timbre.audio.formats import TAGS, check_fits, format_of
from timbre.audio.sound import Samples, Sound, check_rate
from timbre.errors import OutputError, SettingsError
from timbre.files.writing import part_name

_BLOCK_SAMPLES = 1 << 14  # the vorbis encoder of libsndfile needs stack for a whole block
_BYTES_PER_SAMPLE = {"pcm_16": 2, "pcm_24": 3, "float": 4}

logger = logging.getLogger(__name__)


class AudioWriter:
    """Writes one sound file in blocks; use it in a `with` statement.

    Blocks go to a temporary name beside `path`, which is renamed when the block of code ends well and removed when it
    ends in any exception. `format` is wav, flac, ogg (vorbis), opus or mp3, by default that of the suffix; `encoding`
    is pcm_24 (default), pcm_16 or float for wav, pcm_24 or pcm_16 for flac. Samples beyond +-1 are limited to it and
    counted in `clipped_samples`, except in float files, which keep them. `tags` are text by name: title, artist,
    comment, software, ...; libsndfile adds its own name to software. Limited samples are logged as a warning unless
    `quiet`.

    Raises OutputError when the target exists and `force` is false, its folder is missing, the format cannot hold the
    sound, nothing was written, or a sample is NaN or infinite; SettingsError for an unknown tag.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate_hz: int,
        n_channels: int,
        *,
        format: str | None = None,
        encoding: str | None = None,
        tags: Mapping[str, str] | None = None,
        force: bool = False,
        quiet: bool = False,
    ) -> None:
        check_rate(sample_rate_hz)
        self.path = Path(path).resolve() if Path(path).is_symlink() else Path(path)  # a link goes on pointing there
        self.clipped_samples = 0
        self.n_samples = 0  # of each channel, written so far
        self._format = format_of(self.path, format)
        self._spec = check_fits(self._format, encoding, sample_rate_hz, n_channels)
        self._encoding = encoding or self._spec.encodings[0]
        self._sample_rate_hz, self._n_channels, self._force, self._quiet = sample_rate_hz, n_channels, force, quiet
        self._tags = dict(tags or {})
        unknown = [key for key in self._tags if key not in TAGS]
        if unknown:
            raise SettingsError(f"unknown tag {unknown[0]!r}; known are: {', '.join(TAGS)}")
        self._check_target()
        self._temporary = part_name(self.path)
        self._file: soundfile.SoundFile | None = None

    def __enter__(self) -> AudioWriter:
        try:
            self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, samples: Samples) -> None:
        """Append a block [C, N]."""
        if self._file is None:
            raise OutputError(f"{self.path.name} is not open for writing; use the writer in a with statement")
        if samples.ndim != 2 or len(samples) != self._n_channels:
            raise OutputError(f"a block has the shape {samples.shape}; it must be [{self._n_channels}, samples]")
        for start in range(0, samples.shape[1], _BLOCK_SAMPLES):
            self._write_block(samples[:, start : start + _BLOCK_SAMPLES])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._discard()

    def _check_target(self) -> None:
        if self.path.is_dir():
            raise OutputError(f"{self.path} is a folder; give the name of a file in it")
        if self.path.exists() and not self.path.is_file():
            raise OutputError(f"{self.path} is no regular file and cannot be replaced; give another name")
        if self.path.exists() and not self._force:
            raise OutputError(f"{self.path} exists; allow overwriting with force, or choose another name")
        if not self.path.parent.is_dir():
            raise OutputError(f"the folder {self.path.parent} does not exist; create it first")

    def _open(self) -> None:
        try:
            self._file = soundfile.SoundFile(
                library_path(self._temporary),
                "w",
                samplerate=self._sample_rate_hz,
                channels=self._n_channels,
                format=self._spec.container,
                subtype=self._encoding.upper(),
                compression_level=self._spec.compression,
                bitrate_mode="VARIABLE" if self._format == "mp3" else None,
            )
        except soundfile.LibsndfileError as error:
            raise OutputError(
                f"{self.path} cannot be written as {self._format} of {self._sample_rate_hz} Hz "
                f"({error.error_string.rstrip('.')}); choose another place, format or rate"
            ) from error
        for key, text in self._tags.items():
            setattr(self._file, key, text.encode("utf-8", "replace").decode("utf-8"))  # a file name may be no text

    def _write_block(self, block: Samples) -> None:
        assert self._file is not None
        if not np.isfinite(block).all():
            raise OutputError(f"the sound for {self.path.name} holds NaN or infinity; it was not written")
        if self._encoding != "float":
            self.clipped_samples += int(np.count_nonzero(np.abs(block) > 1))
            block = np.clip(block, -1, 1)
        self.n_samples += block.shape[1]
        n_bytes = self.n_samples * self._n_channels * _BYTES_PER_SAMPLE.get(self._encoding, 0)
        if self._spec.max_bytes is not None and n_bytes > self._spec.max_bytes:
            raise OutputError(f"{self.path.name} passes 4 GiB, which {self._format} cannot hold; choose flac")
        try:
            self._file.write(np.ascontiguousarray(block.T, dtype=np.float32))
        except soundfile.LibsndfileError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: soundfile.LibsndfileError) -> OutputError:
        return OutputError(
            f"{self.path} cannot be written ({error.error_string.rstrip('.')}); check the space on the disk"
        )

    def _finish(self) -> None:
        if self.n_samples == 0:
            raise OutputError(f"{self.path.name} would hold no samples; write at least one block")
        assert self._file is not None
        try:
            self._file.close()  # writes what the encoder still holds
        except soundfile.LibsndfileError as error:
            raise self._refusal(error) from error
        if self.clipped_samples and not self._quiet:
            logger.warning("%s: %d samples were beyond full scale and limited", self.path.name, self.clipped_samples)
        self._check_target()  # another program may have made it meanwhile
        os.replace(self._temporary, self.path)

    def _discard(self) -> None:
        """Close the file and remove the temporary name where it is left."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._temporary.unlink(missing_ok=True)


def write_audio(
    path: str | os.PathLike[str],
    sound: Sound,
    *,
    format: str | None = None,
    encoding: str | None = None,
    tags: Mapping[str, str] | None = None,
    force: bool = False,
) -> int:
    """Write a whole sound, atomically; returns the number of samples beyond +-1 that were limited.

    Choices and errors as in `AudioWriter`.
    """
    with AudioWriter(
        path, sound.sample_rate_hz, sound.n_channels, format=format, encoding=encoding, tags=tags, force=force
    ) as writer:
        writer.write(sound.samples)
    return writer.clipped_samples
