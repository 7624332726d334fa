"""`timbre convert`: give recordings another voice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from timbre.cli.progress import conversion_bar
from timbre.cli.settings_options import with_settings
from timbre.cli.tables import json_line
from timbre.config.convert import ConvertSettings
from timbre.config.sovits import SovitsFiles
from timbre.errors import SettingsError

if TYPE_CHECKING:
    from timbre.convert.files import ConvertResult
    from timbre.voice.catalog import Voice


@with_settings(ConvertSettings)
@with_settings(SovitsFiles, keyword="files")
def convert(
    *,
    context: typer.Context,
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
    check: bool = typer.Option(False, "--check", help="only check that all is there and can be done"),
    json: bool = typer.Option(False, "--json", help="print one JSON object per converted file"),
    files: SovitsFiles,
    settings: ConvertSettings,
) -> None:
    """Give recordings another voice: same melody, words and expression.

    The voice is a known one (--voice), that of reference recordings (--like), or that of so-vits-svc files (--model).
    The words of the so-vits-svc tutorial (-m, -c, -n, -t, -s and so on) are understood as well.
    """
    _check_target(voice, like, files)
    from timbre.convert.files import check_request, convert_files, use_threads

    check_request(source, output, settings)
    use_threads(settings.threads)
    asked = (voice, *like, files, settings.weights_dir, settings.device)
    if asked not in context.obj:
        context.obj[asked] = _target(voice, like, files, settings)
    target = context.obj[asked]
    if check:
        from timbre.convert.files import plan_conversion

        plan_conversion(source, output, target, settings, force=force)
        return
    with conversion_bar() as bar:
        for result in convert_files(source, output, target, settings, force=force, on_progress=bar.move):
            bar.say(json_line(result) if json else _sentence(result))


def _check_target(name: str | None, references: list[Path], files: SovitsFiles) -> None:
    """Raise SettingsError unless exactly one way of naming the target voice was used."""
    ways = {"--voice": name is not None, "--like": bool(references), "--model": files.names_voice}
    used = [way for way, is_used in ways.items() if is_used]
    if len(used) > 1:
        raise SettingsError(f"{used[0]} and {used[1]} were both given; use one of them")
    if not used:
        raise SettingsError(
            "no target voice was given; use --voice NAME (see: timbre voice list), --like RECORDING or --model G_*.pth"
        )
    stray = next((role for role, given in files.to_mapping().items() if given is not None), None)
    if not files.names_voice and stray is not None:
        raise SettingsError(f"--{stray.replace('_', '-')} belongs to --model; leave it out with {used[0]}")


def _target(name: str | None, references: list[Path], files: SovitsFiles, settings: ConvertSettings) -> Voice:
    """Load or make the voice that was asked for."""
    from timbre.voice.catalog import load_voice, sovits_voice, voice_like

    if name is not None:
        return load_voice(name, device=settings.device)
    if references:
        return voice_like(references, device=settings.device)
    target, notes = sovits_voice(files, weights_dir=settings.weights_dir, device=settings.device)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    return target


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
