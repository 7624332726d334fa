"""`timbre voice` against a stand-in catalog."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from types import ModuleType

import pytest

from timbre.cli.main import main


@dataclass(frozen=True)
class _Card:
    name: str
    description: str
    languages: tuple[str, ...]
    median_f0_hz: float | None
    licence: str
    path: str
    family: str = "fast"


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> list[_Card]:
    """Replace the catalog by a list of cards that the test may change."""
    cards = [
        _Card("nora", "a calm reader", ("en", "de"), 201.4, "CC0-1.0", "voices/nora"),
        _Card("sólveig", "", (), None, "CC-BY-4.0", "voices/sólveig"),
    ]
    module = ModuleType("timbre.voice.shelf")
    module.__dict__.update(
        list_voices=lambda: cards, find_voice_or_folder=lambda name: {card.name: card for card in cards}[name]
    )
    monkeypatch.setitem(sys.modules, "timbre.voice.shelf", module)
    return cards


def test_list_is_an_aligned_table(catalog: list[_Card], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["voice", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name     family  pitch   languages  licence    description",
        "nora     fast    201 Hz  en, de     CC0-1.0    a calm reader",
        "sólveig  fast    -                  CC-BY-4.0",
    ]


def test_list_as_json(catalog: list[_Card], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["voice", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == ["nora", "sólveig"]
    assert rows[0]["path"] == "voices/nora"


def test_empty_list_says_so(catalog: list[_Card], capsys: pytest.CaptureFixture[str]) -> None:
    catalog.clear()
    assert main(["voice", "list"]) == 0
    assert capsys.readouterr().out == "no voices are on this machine\n"


def test_show_tells_all_facts(catalog: list[_Card], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["voice", "show", "nora"]) == 0
    out = capsys.readouterr().out
    assert "median f0 hz  201.4" in out
    assert "languages     en, de" in out
    assert main(["voice", "show", "sólveig"]) == 0
    assert "description   -" in capsys.readouterr().out


def test_show_as_json(catalog: list[_Card], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["voice", "show", "nora", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["licence"] == "CC0-1.0"


def test_show_of_an_unknown_voice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["voice", "show", "norah"]) == 2
    assert capsys.readouterr().err.startswith("timbre: there is no voice 'norah', nor a folder of that name")


def test_missing_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["voice"]) == 2
    assert capsys.readouterr().err == "timbre: missing command; see: timbre voice --help\n"
