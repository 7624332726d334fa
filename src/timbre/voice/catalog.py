"""The voices on this machine, by name, by folder, or made from reference recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbre.audio.listing import find_sounds
from timbre.audio.source import FileSource, mix_weights, mono_blocks
from timbre.config.sovits import SovitsFiles
from timbre.dsp.frontend import SAMPLE_RATE_HZ
from timbre.errors import VoiceError
from timbre.pitch.trackers import load_tracker
from timbre.voice.base import BASE_NAME, Base, load_base
from timbre.voice.card import VoiceCard, safe_name
from timbre.voice.fast import FastVoice, read_voice
from timbre.voice.reference import MAX_REFERENCE_S, hear
from timbre.voice.shelf import find_voice_or_folder
from timbre.voice.sovits.folder import read_parts
from timbre.voice.sovits.importing import open_sovits_files, sovits_folders
from timbre.voice.sovits.voice import FAMILY as SOVITS
from timbre.voice.sovits.voice import SovitsVoice

Voice = FastVoice | SovitsVoice
"""A voice of any family. All say `sample_rate_hz` and `card`, and `check` what settings ask of them."""


def load_voice(name_or_folder: str | Path, *, device: str = "cpu") -> Voice:
    """Load a voice by name (see `list_voices`) or from its folder.

    Raises VoiceError where there is none, it is damaged, or its base is another or its family unknown.
    """
    card = find_voice_or_folder(name_or_folder)
    folder = Path(card.path)
    if card.family == "fast":
        return read_voice(folder, load_base(device=device))
    if card.family == SOVITS:
        return SovitsVoice(card, read_parts(folder), device)
    raise VoiceError(f"the voice in {folder} is of the unknown family {card.family!r}; a newer timbre may read it")


def sovits_voice(
    files: SovitsFiles, *, weights_dir: str | Path | None = None, device: str = "cpu"
) -> tuple[SovitsVoice, tuple[str, ...]]:
    """Make a voice from files of so-vits-svc without keeping it; returns it and notes for its user.

    A vocoder is looked for in `weights_dir`, in the usual folders, and in the tree that the model lies in. Errors as
    in `timbre.voice.sovits.importing.open_sovits_files`.
    """
    return open_sovits_files(files, sovits_folders(files, weights_dir), device=device)


def voice_like(references: Sequence[Path], *, device: str = "cpu", base: Base | None = None) -> FastVoice:
    """Make a voice from recordings of one person, 5 s to 30 min in all; folders are searched for sound files.

    `base` is the base model to use, the packaged one by default.

    Raises VoiceError where there is too little voice in them, AudioError where a file cannot be read.
    """
    paths = [file for path in references for file in (find_sounds(path) if path.is_dir() else [path])]
    if not paths:
        raise VoiceError("no reference recordings were given; give at least one")
    sources = [FileSource(path) for path in paths]  # a bad one is named before any is listened to
    base = base or load_base(device=device)
    heard = hear(base, _waves(sources), load_tracker("pm"))
    card = VoiceCard(
        name=safe_name(paths[0].stem),
        description=f"made from {len(paths)} recording{'s' if len(paths) > 1 else ''}",
        languages=(),
        median_f0_hz=round(heard.median_f0_hz, 1),
        licence="unknown",
        attribution="",
        base=BASE_NAME,
        base_sha256=base.sha256,
        reference_s=round(heard.seconds, 1),
    )
    return FastVoice(card, base, heard.reference)


def _waves(sources: Sequence[FileSource]) -> Iterator[NDArray[np.float32]]:
    """Yield the sources as mono sound at 16 kHz, no more of it than a voice is made from."""
    n_left = MAX_REFERENCE_S * SAMPLE_RATE_HZ
    for source in sources:
        blocks = [np.zeros(0, dtype=np.float32)]
        for block in mono_blocks(source, mix_weights(source), SAMPLE_RATE_HZ):
            blocks.append(block[:n_left])
            n_left -= len(blocks[-1])
            if n_left == 0:
                break
        yield np.concatenate(blocks)
        if n_left == 0:
            return
