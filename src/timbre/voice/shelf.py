"""Where voices lie on this machine; needs no network library, so listing is quick."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from timbre.errors import VoiceError
from timbre.voice.card import CARD_FILE, VoiceCard

ASSETS = Path(__file__).parent.parent / "assets"
VOICES_VARIABLE = "TIMBRE_VOICES"

logger = logging.getLogger(__name__)


def voice_folders() -> list[Path]:
    """Return the folders that hold voices: the packaged one, then those in $TIMBRE_VOICES."""
    own = [Path(entry) for entry in os.environ.get(VOICES_VARIABLE, "").split(os.pathsep) if entry]
    return [ASSETS / "voices", *own]


def list_voices() -> list[VoiceCard]:
    """Return the cards of all voices known by name, in order; a later folder's voice hides an earlier namesake.

    A damaged voice is left out with a logged warning: it must not keep the others from use.
    """
    cards: dict[str, VoiceCard] = {}
    for folder in _candidates():
        try:
            card = VoiceCard.read(folder)
        except VoiceError as error:
            logger.warning("%s", error)
        else:
            cards[card.name] = card
    return [cards[name] for name in sorted(cards)]


def find_voice(name: str) -> VoiceCard:
    """Return the card of the voice `name`.

    Raises VoiceError where there is none, with the known names or the nearest of them, or where it is damaged.
    """
    for folder in reversed(list(_candidates())):
        if folder.name == name:
            VoiceCard.read(folder)  # tells what is damaged in just this voice
    cards = {card.name: card for card in list_voices()}
    if name in cards:
        return cards[name]
    near = difflib.get_close_matches(name, cards, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(cards) or 'none'}"
    raise VoiceError(f"there is no voice {name!r}, nor a folder of that name with a {CARD_FILE}; {hint}")


def _candidates() -> Iterator[Path]:
    """Yield each folder that holds a voice.json."""
    for folder in voice_folders():
        for card_file in sorted(folder.glob(f"*/{CARD_FILE}")):
            yield card_file.parent
