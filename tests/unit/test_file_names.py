"""File names made from names that people gave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbre.config.file_names import safe_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Vers 1", "Vers 1"),
        ("  a \n\tb  ", "a b"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\x", "C__x"),
        ("..", "none"),
        ("", "none"),
        (".hidden", "hidden"),
        ("e\u0301", "é"),
        ("第一節", "第一節"),
        ("نمی\u200cخواهم", "نمی\u200cخواهم"),
        ("a\u202eb\x00c", "a_b_c"),
        ("nul", "_nul"),
        ("COM1.x", "_COM1.x"),
        ("é" * 300, "é" * 100),
    ],
)
def test_known_names(text: str, name: str) -> None:
    assert safe_name(text, "none") == name


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_any_text_becomes_a_name_that_stays_in_its_folder(text: str) -> None:
    name = safe_name(text, "none")
    assert name and len(os.fsencode(name)) <= 201 and Path(name).name == name
    assert safe_name(name, "none") == name
