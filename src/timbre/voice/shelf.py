"""Where voices lie on this machine; needs no network library, so listing is quick."""

from __future__ import annotations

import os
from pathlib import Path

from timbre.voice.card import CARD_FILE, VoiceCard

ASSETS = Path(__file__).parent.parent / "assets"
VOICES_VARIABLE = "TIMBRE_VOICES"


def voice_folders() -> list[Path]:
    """Return the folders that hold voices: the packaged one, then those in $TIMBRE_VOICES."""
    own = [Path(entry) for entry in os.environ.get(VOICES_VARIABLE, "").split(os.pathsep) if entry]
    return [ASSETS / "voices", *own]


def list_voices() -> list[VoiceCard]:
    """Return the cards of all voices known by name, in order; a later folder's voice hides an earlier namesake."""
    cards: dict[str, VoiceCard] = {}
    for folder in voice_folders():
        for card_file in sorted(folder.glob(f"*/{CARD_FILE}")):
            card = VoiceCard.read(card_file.parent)
            cards[card.name] = card
    return [cards[name] for name in sorted(cards)]
