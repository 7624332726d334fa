"""Finding files inside installed packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from timbre.errors import MissingExtraError, MissingWeightsError
from timbre.weights.locate import packaged_asset


def test_an_asset_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from timbre.weights.locate import packaged_asset; "
        "path = packaged_asset('json', 'decoder.py'); "
        "other = packaged_asset('unittest', 'mock.py'); "
        "sys.exit(not (path.is_file() and other.is_file() and 'unittest' not in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"pitch tracker x needs .*'no_such_package'.*timbre\[pitch\]"):
        packaged_asset("no_such_package", "a.pth", extra="pitch", needed_for="pitch tracker x")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(MissingWeightsError, match=r"'json' has no file 'a\.pth'"):
        packaged_asset("json", "a.pth")
