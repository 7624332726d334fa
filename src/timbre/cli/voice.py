"""`timbre voice`: list, show, import, change and export the voices on this machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from timbre.cli.settings_options import with_settings
from timbre.cli.tables import format_table, json_line
from timbre.config.sovits import SovitsFiles, VoiceFacts
from timbre.errors import SettingsError, VoiceError

if TYPE_CHECKING:
    from timbre.voice.card import VoiceCard

voice = typer.Typer(rich_markup_mode=None)

_FORCE = typer.Option(False, "--force", help="replace an existing voice or file of that name")
_HALF = typer.Option(False, "--half", help="keep numbers in half precision")


@voice.command("list")
def list_command(json: bool = typer.Option(False, "--json", help="print one JSON object per voice")) -> None:
    """List the voices that `timbre convert --voice` knows by name."""
    from timbre.voice.shelf import list_voices

    cards = list_voices()
    if json:
        for card in cards:
            print(json_line(card))
    elif cards:
        columns = ["name", "family", "pitch", "languages", "licence", "description"]
        rows = [
            [card.name, card.family, _pitch(card), ", ".join(card.languages), card.licence, card.description]
            for card in cards
        ]
        print(format_table(columns, rows))
    else:
        print("no voices are on this machine")


@voice.command("show")
def show_command(
    name: str = typer.Argument(..., help="name of a voice, or its folder", show_default=False),
    json: bool = typer.Option(False, "--json", help="print one JSON object"),
    verify: bool = typer.Option(False, "--verify", help="check that no part has changed since it was made"),
) -> None:
    """Show all that is known about one voice: origin, licence, attribution, pitch."""
    from timbre.voice.shelf import find_voice_or_folder

    card = find_voice_or_folder(name)
    facts = {field.name: getattr(card, field.name) for field in dataclasses.fields(card)}
    if card.family == "sovits":
        facts |= _sovits_facts(Path(card.path), verify)
    elif verify:
        from timbre.voice.catalog import load_voice

        load_voice(name)  # which compares all parts
        facts["verified"] = "yes"
    if json:
        print(json_line(facts))
        return
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else value
        print(f"{key.replace('_', ' '):<{width}}  {'-' if shown in (None, '', 0) else shown}")


@voice.command("import")
@with_settings(VoiceFacts, keyword="facts")
@with_settings(SovitsFiles, keyword="files")
def import_command(
    *,
    name: str = typer.Option(..., "--name", help="what to call the voice", show_default=False),
    to: Path | None = typer.Option(
        None, "--to", help="folder to keep it in, by default among the voices of this user", show_default=False
    ),
    weights_dir: Path | None = typer.Option(
        None, "--weights-dir", help="folder to look for the vocoder in, before all others", show_default=False
    ),
    force: bool = _FORCE,
    json: bool = typer.Option(False, "--json", help="print one JSON object"),
    files: SovitsFiles,
    facts: VoiceFacts,
) -> None:
    """Keep a so-vits-svc voice: its files become one folder that needs nothing else but its content encoder."""
    from timbre.voice.shelf import new_voice_folder
    from timbre.voice.sovits.importing import import_sovits_voice, sovits_folders

    folder = new_voice_folder(name) if to is None else to
    card, notes = import_sovits_voice(files, name, facts, folder, sovits_folders(files, weights_dir), force=force)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    print(json_line(card) if json else f"{card.name} is in {card.path}")


@voice.command("remove")
def remove_command(
    name: str = typer.Argument(..., help="name of a voice", show_default=False),
    yes: bool = typer.Option(False, "--yes", help="do not ask"),
) -> None:
    """Delete a voice from this machine; packaged ones stay."""
    import shutil

    from timbre.voice.shelf import ASSETS, find_voice

    card = find_voice(name)
    folder = Path(card.path)
    if ASSETS in folder.parents:
        raise VoiceError(f"voice {name!r} is part of the package and stays; remove one of your own")
    if not yes:
        typer.confirm(f"delete {folder}?", abort=True, err=True)
    shutil.rmtree(folder)
    print(f"{name} is removed")


@voice.command("slim")
def slim_command(
    name: str = typer.Argument(..., help="name of a so-vits-svc voice, or a G_*.pth", show_default=False),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="for a file: the smaller one, by default *_release.pth", show_default=False
    ),
    half: bool = _HALF,
    force: bool = _FORCE,
) -> None:
    """Leave out what only training needs; the voice sounds the same and cannot be trained on."""
    from timbre.voice.sovits.workshop import is_model_file, slim_file, slim_voice

    if is_model_file(name):
        output, sizes = slim_file(Path(name), output, half=half, force=force)
    elif output is not None:
        raise SettingsError("--output is for files; a voice is made smaller in its place")
    else:
        sizes = slim_voice(name, half=half)
    print(f"{output or name}: {sizes.before / 1e6:.1f} MB became {sizes.after / 1e6:.1f} MB")


@voice.command("mix")
def mix_command(
    names: list[str] = typer.Argument(..., help="voices, or files G_*.pth", show_default=False),
    weights: str = typer.Option(
        ..., "--weights", help="how much of each, as in 0.7,0.3", metavar="NUMBERS", show_default=False
    ),
    rule: str = typer.Option(
        "normalised",
        "--rule",
        help="normalised: to a sum of 1; or so-vits-svc's softmax (its convex, nearly even) or linear (as given); its "
        "70 percent is 0.7 here",
    ),
    name: str | None = typer.Option(None, "--name", help="what to call the mixed voice", show_default=False),
    output: Path | None = typer.Option(None, "--output", "-o", help="for files: the mixed G_*.pth", show_default=False),
    force: bool = _FORCE,
) -> None:
    """Mix the models of several voices of one config into one, and show what each counts for."""
    from timbre.voice.shelf import new_voice_folder
    from timbre.voice.sovits.workshop import is_model_file, mix_files, mix_voices

    if len(names) < 2:
        raise SettingsError(f"only {names[0]} was given; a mix needs two voices or more")
    numbers = _weights(weights, len(names))
    of_files = [is_model_file(each) for each in names]
    if any(of_files) != all(of_files):
        raise SettingsError("voices and files were both given; mix one kind at a time")
    if all(of_files):
        if output is None or name is not None:
            raise SettingsError("a mix of files needs --output and no --name; give the G_*.pth to write")
        shares = mix_files([Path(each) for each in names], numbers, rule, output, force=force)
    else:
        if name is None or output is not None:
            raise SettingsError("a mix of voices needs --name and no --output; say what to call it")
        _, shares = mix_voices(names, numbers, rule, name, new_voice_folder(name), force=force)
    print(f"{output or name}: " + ", ".join(f"{share:.3f} {each}" for share, each in zip(shares, names, strict=True)))


@voice.command("export-sovits")
def export_command(
    name: str = typer.Argument(..., help="name of a so-vits-svc voice", show_default=False),
    output: Path = typer.Option(..., "--output", "-o", help="new folder for the files", show_default=False),
) -> None:
    """Write a voice back as the files that so-vits-svc reads: G_*.pth, config.json and what else it has."""
    from timbre.voice.sovits.export import export_sovits
    from timbre.voice.sovits.workshop import find_sovits_voice

    for path in export_sovits(find_sovits_voice(name)[1], output):
        print(path)


def _weights(text: str, n_voices: int) -> list[float]:
    """Take `0.7,0.3` apart."""
    try:
        weights = [float(word) for word in text.split(",")]
    except ValueError as error:
        raise SettingsError(f"the weights are {text!r}; they must be numbers, as in --weights 0.7,0.3") from error
    if len(weights) != n_voices:
        raise SettingsError(f"{len(weights)} weights were given for {n_voices} voices; give one for each")
    return weights


def _sovits_facts(folder: Path, verify: bool) -> dict[str, object]:
    """Return what the manifest of a so-vits-svc voice tells; with `verify` also which parts have changed."""
    from timbre.voice.sovits.folder import find_damage, read_manifest

    manifest = read_manifest(folder)
    facts: dict[str, object] = {"release": manifest.release, "parts": manifest.parts}
    facts |= {f"{role}_file": origin.file for role, origin in manifest.origins.items()}
    facts |= {f"{role}_sha256": origin.sha256 for role, origin in manifest.origins.items()}
    if verify:
        damaged = find_damage(folder)
        if damaged:
            raise VoiceError(f"{', '.join(damaged)} of the voice in {folder} has changed; import it again")
        facts["verified"] = "yes"
    return facts


def _pitch(card: VoiceCard) -> str:
    return f"{card.median_f0_hz:.0f} Hz" if card.median_f0_hz else "-"
