"""`timbre convert`: give recordings another voice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from timbre.cli.progress import conversion_bar
from timbre.cli.settings_options import with_settings
from timbre.cli.tables import json_line
from timbre.config.convert import ConvertSettings
from timbre.errors import SettingsError

if TYPE_CHECKING:
    from timbre.convert.files import ConvertResult


@with_settings(ConvertSettings)
def convert(
    *,
    source: list[Path] = typer.Argument(
        ..., help="recordings to convert, or folders of them: wav, flac, ogg, opus or mp3", show_default=False
    ),
    output: Path = typer.Option(
        ..., "--output", "-o", help="file to write, or a folder for several recordings", show_default=False
    ),
    voice: str | None = typer.Option(
        None, "--voice", help="name of a voice (see: timbre voice list), or its folder", show_default=False
    ),
    like: list[Path] = typer.Option(
        [],
        "--like",
        help="recordings of the wanted voice, or a folder of them, 5 s to 30 min in all; ends at the next option",
        show_default=False,
    ),
    force: bool = typer.Option(False, "--force", help="overwrite existing files"),
    json: bool = typer.Option(False, "--json", help="print one JSON object per converted file"),
    settings: ConvertSettings,
) -> None:
    """Give recordings another voice: same melody, words and expression.

    The voice is a known one (--voice) or that of reference recordings (--like).
    """
    _check_target(voice, like)
    from timbre.convert.files import check_request, convert_files, use_threads
    from timbre.voice.catalog import load_voice, voice_like

    check_request(source, output, settings)
    use_threads(settings.threads)
    device = settings.device
    target = load_voice(voice, device=device) if voice is not None else voice_like(like, device=device)
    with conversion_bar() as bar:
        for result in convert_files(source, output, target, settings, force=force, on_progress=bar.move):
            bar.say(json_line(result) if json else _sentence(result))


def _check_target(name: str | None, references: list[Path]) -> None:
    """Raise SettingsError unless exactly one way of naming the target voice was used."""
    if name is not None and references:
        raise SettingsError("--voice and --like were both given; use one of them")
    if name is None and not references:
        raise SettingsError("no target voice was given; use --voice NAME (see: timbre voice list) or --like RECORDING")


def _sentence(result: ConvertResult) -> str:
    """Tell in one line what came out, with the notes of the conversion below it."""
    speed = f" ({result.seconds / result.elapsed_s:.1f} times real time)" if result.elapsed_s > 0 else ""
    facts = (
        f"{result.seconds:.1f} s",
        f"pitch {result.pitch_shift_semitones:+.1f} semitones",
        f"took {result.elapsed_s:.1f} s{speed}",
    )
    lines = [f"{result.source} -> {result.output}: {', '.join(facts)}", *(f"  note: {note}" for note in result.notes)]
    return "\n".join(lines)
