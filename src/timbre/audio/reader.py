"""Reads sound files, whole or block by block."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import soundfile

from timbre.audio.decoder import AudioSource, open_sound, source_name
from timbre.audio.sound import Sound, SoundInfo, check_finite
from timbre.errors import AudioError

_BLOCK_SAMPLES = 1 << 18  # bounds the interleaved copy while a whole file is read

logger = logging.getLogger(__name__)


def probe_audio(source: AudioSource) -> SoundInfo:
    """Read the facts in the header of a sound file, without decoding it.

    `source` is a path, bytes or a binary file object. Raises AudioError when it is not a readable sound.
    """
    with open_sound(source) as file:
        return SoundInfo(file.samplerate, file.channels, file.frames, file.format.lower(), file.subtype.lower())


def read_tags(source: AudioSource) -> dict[str, str]:
    """Read the text tags of a sound file: title, artist, comment, software, ... as far as it holds them."""
    with open_sound(source) as file:
        return dict(file.copy_metadata())


def read_audio(source: AudioSource, start_s: float = 0.0, duration_s: float | None = None) -> Sound:
    """Read a sound, or the stretch of `duration_s` from `start_s` (to its end when None), at its own rate.

    `source` is a path, bytes or a binary file object of any width and channel count: wav, flac, ogg, opus, mp3, aiff,
    and what an ffmpeg program on PATH can decode. Float files may pass +-1. A file that ends before its header says so
    is read as far as it goes, with a logged warning. Raises AudioError when it is missing, unreadable, without samples,
    or holds NaN or infinity.
    """
    with open_sound(source) as file:
        rate = file.samplerate
        name = source_name(source)
        wanted = _asked_range(file, name, start_s, duration_s)[1]
        blocks = [sound.samples for sound in _blocks(file, name, _BLOCK_SAMPLES, start_s, duration_s)]
    whole = Sound(np.concatenate(blocks, axis=1), rate)
    if whole.n_samples < wanted:
        logger.warning("%s ends %.2f s before its header says so", name, (wanted - whole.n_samples) / rate)
    return whole


def read_blocks(
    source: AudioSource, block_s: float = 10.0, start_s: float = 0.0, duration_s: float | None = None
) -> Iterator[Sound]:
    """Read a sound of any length in blocks of `block_s` seconds (the last one shorter), never holding more.

    Sources and errors as in `read_audio`; a fault is met when its block is reached. A file that ends before its header
    says so just ends: count the samples where that matters.
    """
    if block_s <= 0:
        raise AudioError(f"block_s is {block_s:g}; a block must be longer than 0 seconds")
    with open_sound(source) as file:
        block_samples = max(1, round(block_s * file.samplerate))
        yield from _blocks(file, source_name(source), block_samples, start_s, duration_s)


def _blocks(
    file: soundfile.SoundFile, name: str, block_samples: int, start_s: float, duration_s: float | None
) -> Iterator[Sound]:
    """Yield the asked stretch of an open file in blocks, checked."""
    first, wanted = _asked_range(file, name, start_s, duration_s)
    got = 0
    while got < wanted:
        n_samples = min(block_samples, wanted - got)
        try:
            if got == 0:
                file.seek(first)
            read = file.read(n_samples, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            at_s = (first + got) / file.samplerate
            raise AudioError(f"{name} is damaged or cut off somewhere after {at_s:.1f} s; export it again") from error
        samples = np.ascontiguousarray(read.T)  # [N, C] -> [C, N]
        if samples.shape[1]:
            check_finite(samples, file.samplerate, name, (first + got) / file.samplerate)
            yield Sound(samples, file.samplerate)
        got += samples.shape[1]
        if samples.shape[1] < n_samples:
            break
    if got == 0:
        raise AudioError(f"{name} holds no samples there; its header promises some: export it again")


def _asked_range(file: soundfile.SoundFile, name: str, start_s: float, duration_s: float | None) -> tuple[int, int]:
    """Return the first sample and the number of samples asked for."""
    if file.frames == 0:
        raise AudioError(f"{name} holds 0 samples; give a file that holds sound")
    first = round(start_s * file.samplerate)
    if not 0 <= first < file.frames:
        length_s = file.frames / file.samplerate
        raise AudioError(f"start_s is {start_s:g}; {name} is {length_s:.2f} s long: ask for a start within it")
    left = file.frames - first
    if duration_s is None:
        return first, left
    if duration_s <= 0:
        raise AudioError(f"duration_s is {duration_s:g}; a stretch must be longer than 0 seconds")
    return first, min(left, max(1, round(duration_s * file.samplerate)))
