"""What the tests of whole processes share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.command import Workplace


@pytest.fixture
def work(toy_assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Workplace:
    """An empty folder and the command line, with the toy voices `ada` and `björn`."""
    return Workplace(tmp_path, capsys)
