"""What the tests of whole processes share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.command import WorkFolder


@pytest.fixture
def work(toy_assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> WorkFolder:
    """An empty folder and the command line, with the toy voices `ada` and `björn`."""
    return WorkFolder(tmp_path, capsys)
