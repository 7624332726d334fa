"""`timbre voice`: list and show the voices on this machine."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import typer

from timbre.cli.tables import format_table, json_line

if TYPE_CHECKING:
    from timbre.voice.card import VoiceCard

voice = typer.Typer(rich_markup_mode=None)


@voice.command("list")
def list_command(json: bool = typer.Option(False, "--json", help="print one JSON object per voice")) -> None:
    """List the voices that `timbre convert --voice` knows by name."""
    from timbre.voice.shelf import list_voices

    cards = list_voices()
    if json:
        for card in cards:
            print(json_line(card))
    elif cards:
        rows = [[card.name, _pitch(card), ", ".join(card.languages), card.licence, card.description] for card in cards]
        print(format_table(["name", "pitch", "languages", "licence", "description"], rows))
    else:
        print("no voices are on this machine")


@voice.command("show")
def show_command(
    name: str = typer.Argument(..., help="name of a voice", show_default=False),
    json: bool = typer.Option(False, "--json", help="print one JSON object"),
) -> None:
    """Show all that is known about one voice: origin, licence, attribution, pitch."""
    from timbre.voice.shelf import find_voice

    card = find_voice(name)
    if json:
        print(json_line(card))
        return
    facts = {field.name: getattr(card, field.name) for field in dataclasses.fields(card)}
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else value
        print(f"{key.replace('_', ' '):<{width}}  {'-' if shown is None or shown == '' else shown}")


def _pitch(card: VoiceCard) -> str:
    return f"{card.median_f0_hz:.0f} Hz" if card.median_f0_hz else "-"
