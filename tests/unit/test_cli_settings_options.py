"""Command line options made from a settings class."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import typer

from timbre.cli.settings_options import with_settings
from timbre.config.options import Settings, option
from timbre.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Toy(Settings):
    """One field of each kind."""

    pitch_shift: float | str = option("auto", "semitones", low=-48, high=48, choices=("auto",))
    seed: int = option(0, "a seed", low=0, high=100)
    ratio: float = option(0.5, "a ratio", low=0, high=1)
    kind: str = option("wav", "a kind", choices=("wav", "flac"))
    loud: bool = option(False, "a flag")
    title: str | None = option(None, "a title")
    hidden: int = option(7, "not offered")


def run_toy(arguments: list[str]) -> list[Toy]:
    """Parse the arguments and return the settings that the command got."""
    got: list[Toy] = []
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)

    @app.command()
    @with_settings(Toy, leave_out=["hidden"])
    def command(*, word: str = typer.Argument("none"), settings: Toy) -> None:
        """Do nothing."""
        got.append(settings)

    app(args=arguments, standalone_mode=False)
    return got


def test_nothing_typed_gives_the_defaults() -> None:
    assert run_toy([]) == [Toy()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--pitch-shift", "-5"], Toy(pitch_shift=-5.0)),
        (["--pitch-shift=2.5"], Toy(pitch_shift=2.5)),
        (["--pitch-shift", "auto"], Toy(pitch_shift="auto")),
        (["--seed", "12", "word"], Toy(seed=12)),
        (["--ratio", "1"], Toy(ratio=1.0)),
        (["--kind", "flac"], Toy(kind="flac")),
        (["--title", "12"], Toy(title="12")),
        (["--loud"], Toy(loud=True)),
        (["--no-loud"], Toy(loud=False)),
    ],
)
def test_typed_value_reaches_the_settings(arguments: list[str], expected: Toy) -> None:
    assert run_toy(arguments) == [expected]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--pitch-shift", "up"], "pitch_shift is 'up'; it must be a number or one of: auto"),
        (["--pitch-shift", "49"], "pitch_shift is 49.0; it must be from -48 to 48"),
        (["--seed", "1.5"], "seed is '1.5'; it must be a whole number"),
        (["--seed", "101"], "seed is 101; it must be from 0 to 100"),
        (["--ratio", "nan"], "ratio is nan; it must be from 0 to 1"),
        (["--kind", "aiff"], "kind is 'aiff'; it must be one of: wav, flac"),
    ],
)
def test_refusal_comes_from_the_settings(arguments: list[str], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        run_toy(arguments)
    assert str(caught.value) == sentence


def test_help_tells_range_choices_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    run_toy(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--pitch-shift NUMBER|auto semitones [-48 to 48; default: auto]" in text
    assert "--seed INTEGER a seed [0 to 100; default: 0]" in text
    assert "--kind wav|flac a kind [default: wav]" in text
    assert "--loud / --no-loud a flag [default: no]" in text
    assert "--title TEXT a title --help" in text
    assert "hidden" not in text
    assert "--settings" not in text
