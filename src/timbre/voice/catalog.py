"""The voices on this machine, by name, by folder, or made from reference recordings."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbre.audio.mixing import to_mono
from timbre.audio.reader import read_audio
from timbre.audio.resample import resample
from timbre.dsp.frontend import SAMPLE_RATE_HZ
from timbre.errors import AudioError, VoiceError
from timbre.pitch.trackers import load_tracker
from timbre.voice.base import BASE_NAME, load_base
from timbre.voice.card import CARD_FILE, VoiceCard
from timbre.voice.fast import FastVoice, read_voice
from timbre.voice.reference import MAX_REFERENCE_S, hear
from timbre.voice.shelf import list_voices

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".webm", ".aif", ".aiff")


def load_voice(name_or_folder: str | Path, *, device: str = "cpu") -> FastVoice:
    """Load a voice by name (see `list_voices`) or from its folder.

    Raises VoiceError where there is none, or it is damaged or made for another base.
    """
    folder = Path(name_or_folder)
    if not (folder / CARD_FILE).is_file():
        folder = _folder_of(str(name_or_folder))
    return read_voice(folder, load_base(device=device))


def voice_like(references: Sequence[Path], *, device: str = "cpu") -> FastVoice:
    """Make a voice from recordings of one person, 5 s to 30 min in all; folders are searched for sound files.

    Raises VoiceError where there is too little voice in them, AudioError where a file cannot be read.
    """
    paths = list(_sound_files(references))
    base = load_base(device=device)
    heard = hear(base, (_read(path) for path in paths), load_tracker("pm"))
    card = VoiceCard(
        name=paths[0].stem,
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


def _folder_of(name: str) -> Path:
    cards = {card.name: card for card in list_voices()}
    if name in cards:
        return Path(cards[name].path)
    near = difflib.get_close_matches(name, cards, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known are: {', '.join(cards) or 'none'}"
    raise VoiceError(f"there is no voice {name!r}, nor a folder of that name with a {CARD_FILE}{hint}")


def _sound_files(references: Sequence[Path]) -> Iterator[Path]:
    for path in references:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
        if not found:
            raise AudioError(f"{path} holds no sound files; give recordings of the wanted voice")
        yield from found


def _read(path: Path) -> NDArray[np.float32]:
    sound = read_audio(path, duration_s=MAX_REFERENCE_S)
    return resample(to_mono(sound.samples), sound.sample_rate_hz, SAMPLE_RATE_HZ)
