"""The table of commands, readable without importing any of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CommandSpec:
    """One command of `timbre`: its help line and where its function or group stands."""

    help: str
    target: str  # "module:name" of a function or a typer.Typer


COMMANDS: dict[str, CommandSpec] = {
    "convert": CommandSpec("Give recordings another voice.", "timbre.cli.convert:convert"),
    "slice": CommandSpec("Cut recordings into clips.", "timbre.cli.slice:slice_command"),
    "prepare": CommandSpec("Make a dataset of recordings.", "timbre.cli.prepare:prepare"),
    "dataset": CommandSpec("Show what a dataset holds and what it is worth.", "timbre.cli.dataset:dataset"),
    "index": CommandSpec("Make what conversion retrieves from.", "timbre.cli.index:index"),
    "train": CommandSpec("Train a voice on a dataset.", "timbre.cli.train:train"),
    "voice": CommandSpec("List and show the voices on this machine.", "timbre.cli.voice:voice"),
    "weights": CommandSpec("List, find, add and fetch weights files.", "timbre.cli.weights:weights"),
    "evaluate": CommandSpec("Measure how good a conversion is.", "timbre.cli.evaluate:evaluate"),
    "doctor": CommandSpec("Check this installation and report on it.", "timbre.cli.doctor:doctor"),
}

# Options that take several values after one name, as in `--like a.wav b.wav`.
LIST_OPTIONS = frozenset({"--like", "--probe"})
