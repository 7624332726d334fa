"""The commands in the documents exist: each `timbre ...` line parses, each `make ...` target is there."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from timbre.cli import main as cli

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def shell_lines(document: Path) -> list[str]:
    """Return the lines of all ```sh blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def lines_of(program: str) -> list[str]:
    """Return all documented command lines of one program."""
    return [line for document in DOCUMENTS for line in shell_lines(document) if line.split()[0] == program]


def take_effect_off(app: typer.Typer, monkeypatch: pytest.MonkeyPatch, reached: list[str]) -> None:
    """Replace every command of the application by one that only notes its name."""
    for info in app.registered_commands:
        note = functools.partial(_note, reached, info.name or "")
        monkeypatch.setattr(info, "callback", functools.wraps(info.callback)(lambda note=note, **_: note()))
    for group in app.registered_groups:
        take_effect_off(group.typer_instance, monkeypatch, reached)


def _note(reached: list[str], name: str) -> None:
    reached.append(name)


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[int, list[str]]]:
    """Run a command line without its effect; returns the exit code and the commands that it reached."""

    def run(line: str) -> tuple[int, list[str]]:
        reached: list[str] = []
        build = cli.build_app

        def build_harmless(command: str | None = None) -> typer.Typer:
            app = build(command)
            take_effect_off(app, monkeypatch, reached)
            return app

        with monkeypatch.context() as patch:
            patch.setattr(cli, "build_app", build_harmless)
            return cli.main(shlex.split(line)[1:]), reached

    return run


@pytest.mark.parametrize("line", lines_of("timbre"))
def test_documented_command_parses(line: str, parse: Callable[[str], tuple[int, list[str]]]) -> None:
    code, reached = parse(line)
    assert code == 0
    words = shlex.split(line)
    assert "--help" in words or (len(reached) == 1 and reached[0] in words)


@pytest.mark.parametrize("line", lines_of("make"))
def test_documented_target_exists(line: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in line.split()[1:]:
        assert re.search(rf"^{re.escape(target)}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize(
    "line", ["timbre convert a.wav -o b.wav --nonsense", "timbre sing", "timbre voice lost", "timbre convert a.wav"]
)
def test_wrong_command_would_be_seen(line: str, parse: Callable[[str], tuple[int, list[str]]]) -> None:
    assert parse(line) == (2, [])


def test_documents_have_commands() -> None:
    assert len(lines_of("timbre")) >= 8
    assert {"make demo", "make test"} <= set(lines_of("make"))
