"""The documented table of the tutorial's options is complete and true."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from timbre.cli.main import build_app
from timbre.cli.tutorial import OLD_OPTIONS


def test_the_documented_table_is_the_programs(repository: Path) -> None:
    text = (repository / "docs" / "SOVITS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`-.*?) \| `(.*?)` \| (.*?) \|$", text, flags=re.MULTILINE)
    names = [(", ".join(f"`{name}`" for name in old.names), old.new, old.meaning) for old in OLD_OPTIONS]
    assert rows == names


def test_every_new_option_exists() -> None:
    command = typer.main.get_command(build_app("convert")).commands["convert"]  # type: ignore[attr-defined]
    known = {spelling for parameter in command.params for spelling in parameter.opts}
    assert {old.new for old in OLD_OPTIONS} - {"SOURCE"} <= known
