"""The names that `timbre` offers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import timbre
from timbre.config.convert import ConvertSettings
from timbre.errors import TimbreError


def test_list_of_public_names() -> None:
    assert timbre.__all__ == [
        "ConvertSettings",
        "TimbreError",
        "__version__",
        "list_voices",
        "load_sovits_voice",
        "load_voice",
        "voice_like",
    ]
    assert dir(timbre) == sorted(timbre.__all__)


@pytest.mark.parametrize("name", timbre.__all__)
def test_public_name_exists(name: str) -> None:
    assert getattr(timbre, name) is not None


def test_public_names_are_the_originals() -> None:
    assert timbre.ConvertSettings is ConvertSettings
    assert timbre.TimbreError is TimbreError


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = timbre.nonsense


def test_version_is_a_release_number() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", timbre.__version__)


def test_version_stands_only_once(repository: Path) -> None:
    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"]' in text
    assert re.search(r'^version = "', text, flags=re.MULTILINE) is None
