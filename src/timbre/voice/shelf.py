"""Where voices lie on this machine; needs no network library, so listing is quick."""

from __future__ import annotations

import difflib
import logging
import os
from pathlib import Path

from timbre.config.places import user_folder
from timbre.errors import VoiceError
from timbre.voice.card import CARD_FILE, VoiceCard

ASSETS = Path(__file__).parent.parent / "assets"
PHRASES_FILE = "phrases.opus"  # in ASSETS: speech to say while a voice is trained
VOICES_VARIABLE = "TIMBRE_VOICES"

logger = logging.getLogger(__name__)


def voice_folders() -> list[Path]:
    """Return the folders that hold voices: the packaged one, the user's own, then those in $TIMBRE_VOICES."""
    return [ASSETS / "voices", user_folder("data", "voices"), *_named_folders()]


def new_voice_folder(name: str) -> Path:
    """Return where a new voice belongs: the first folder in $TIMBRE_VOICES, or the user's own."""
    return next(iter(_named_folders()), user_folder("data", "voices")) / name


def _named_folders() -> list[Path]:
    return [Path(entry) for entry in os.environ.get(VOICES_VARIABLE, "").split(os.pathsep) if entry]


def list_voices() -> list[VoiceCard]:
    """Return the cards of all voices known by name, in order; a later folder's voice hides an earlier namesake.

    A damaged voice is left out with a logged warning: it must not keep the others from use.
    """
    cards, damaged = _read_cards()
    for error in damaged.values():
        logger.warning("%s", error)
    return [cards[name] for name in sorted(cards)]


def find_voice(name: str) -> VoiceCard:
    """Return the card of the voice `name`.

    Raises VoiceError where there is none, with the nearest name or the known ones, or where it is damaged.
    """
    cards, damaged = _read_cards()
    if name in cards:
        return cards[name]
    if name in damaged:
        raise damaged[name]
    near = difflib.get_close_matches(name, cards, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(cards)) or 'none'}"
    raise VoiceError(f"there is no voice {name!r}, nor a folder of that name with a {CARD_FILE}; {hint}")


def find_voice_or_folder(name_or_folder: str | Path) -> VoiceCard:
    """Return the card of a voice by name or in a folder, which comes first; errors as in `find_voice`."""
    folder = Path(name_or_folder)
    return VoiceCard.read(folder) if (folder / CARD_FILE).is_file() else find_voice(str(name_or_folder))


def _read_cards() -> tuple[dict[str, VoiceCard], dict[str, VoiceError]]:
    """Return all cards by the voice's name, and what is wrong with damaged ones by the name of their folder."""
    cards: dict[str, VoiceCard] = {}
    damaged: dict[str, VoiceError] = {}
    for folder in voice_folders():
        for card_file in sorted(folder.glob(f"*/{CARD_FILE}")):
            if card_file.parent.name.startswith("."):  # not finished
                continue
            try:
                card = VoiceCard.read(card_file.parent)
            except VoiceError as error:
                damaged[card_file.parent.name] = error
            else:
                cards[card.name] = card
    return cards, damaged
