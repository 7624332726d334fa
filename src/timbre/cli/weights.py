"""`timbre weights`: list, find, add and fetch the weights files of content encoders, pitch trackers and vocoders."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from timbre.cli.tables import format_table, json_line

if TYPE_CHECKING:
    from timbre.weights.catalogue import WeightsEntry
    from timbre.weights.state import WeightsState

weights = typer.Typer(rich_markup_mode=None)

_NAME = typer.Argument(
    ..., help="name of weights (see: timbre weights list), or of a content encoder", show_default=False
)
_FORCE = typer.Option(False, "--force", help="replace what is there, and take a changed file to be right")
_WEIGHTS_DIR = typer.Option(None, "--weights-dir", help="folder to look in, before all others", show_default=False)


@weights.command("list")
def list_command(
    json: bool = typer.Option(False, "--json", help="print one JSON object per entry"),
    weights_dir: Path | None = _WEIGHTS_DIR,
) -> None:
    """List all weights that are known: whether they are on this machine, size, licence, and what they are for."""
    from timbre.weights.catalogue import CATALOGUE
    from timbre.weights.state import state_of

    states = [state_of(entry, weights_dir) for entry in CATALOGUE.values()]
    if json:
        for entry, state in zip(CATALOGUE.values(), states, strict=True):
            print(json_line(_record(entry, state)))
        return
    rows = [
        [entry.name, _where(entry, state), _megabytes(state.size_bytes), entry.licence or "unknown", entry.purpose]
        for entry, state in zip(CATALOGUE.values(), states, strict=True)
    ]
    print(format_table(["name", "on this machine", "size", "licence", "for"], rows))


@weights.command("where")
def where_command(name: str = _NAME, weights_dir: Path | None = _WEIGHTS_DIR) -> None:
    """Print where weights lie on this machine, or say how to get them."""
    from timbre.weights.finding import find_entry, missing
    from timbre.weights.search import weights_folders

    entry, folders = _entry(name), weights_folders(weights_dir)
    found = find_entry(entry, folders)
    if found is None:
        raise missing(entry, folders)
    print(found)


@weights.command("add")
def add_command(
    name: str = _NAME,
    file: Path = typer.Argument(..., help="the weights file, its folder, or a zip archive of it", show_default=False),
    force: bool = _FORCE,
) -> None:
    """Check that a file is what its name says, and keep a copy where it is always found."""
    from timbre.weights.adding import add_weights

    entry = _entry(name)
    _tell(entry, add_weights(entry, file, force=force))


@weights.command("fetch")
def fetch_command(
    name: str = _NAME,
    url: str | None = typer.Option(None, "--url", help="download from here instead", show_default=False),
    mirror: list[str] = typer.Option([], "--mirror", help="further address of the same file", show_default=False),
    sha256: str | None = typer.Option(None, "--sha256", help="what the file must have", show_default=False),
    force: bool = _FORCE,
) -> None:
    """Download weights from their public source; a download that was cut off goes on where it stopped."""
    from timbre.cli.progress import count_bar
    from timbre.weights.fetching import fetch_weights

    entry = _entry(name)
    with count_bar(entry.name) as move:
        path = fetch_weights(entry, url=url, mirrors=mirror, sha256=sha256, force=force, on_progress=move)
    _tell(entry, path)


def _entry(name: str) -> WeightsEntry:
    """Return the entry called `name`, or that of the content encoder of this name."""
    from timbre.content.encoders import ENCODERS
    from timbre.weights.catalogue import find_in_catalogue

    return find_in_catalogue(ENCODERS[name].weights if name in ENCODERS else name)


def _tell(entry: WeightsEntry, path: Path) -> None:
    """Print where weights lie now, with a note where other ones are found before them."""
    from timbre.weights.finding import find_entry
    from timbre.weights.search import weights_folders

    print(path)
    first = find_entry(entry, weights_folders())
    if first is not None and not first.samefile(path):
        typer.echo(f"note: {first} is found before it and used instead", err=True)


def _record(entry: WeightsEntry, state: WeightsState) -> dict[str, object]:
    facts = ("name", "purpose", "licence", "page_url", "names", "published", "packaged")
    return {fact: getattr(entry, fact) for fact in facts} | {"here": dataclasses.asdict(state)}


def _where(entry: WeightsEntry, state: WeightsState) -> str:
    if state.path is None:
        return "no"
    if state.packaged and entry.packaged is not None:
        return f"in the package {entry.packaged.package}"
    return "yes, as published" if state.as_published else "yes"


def _megabytes(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else f"{size_bytes / 1e6:.0f} MB"
