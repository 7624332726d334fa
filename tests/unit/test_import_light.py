"""Nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "numpy", "scipy", "soundfile", "parselmouth", "rich")


def heavy_modules_after(code: str) -> list[str]:
    """Run the code in a fresh interpreter and return which heavy modules it has loaded."""
    program = f"import sys\n{code}\nprint('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    source = Path(__file__).resolve().parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    return done.stdout.rpartition("LOADED")[2].split()


@pytest.mark.parametrize(
    "code",
    [
        "import timbre",
        "import timbre; timbre.ConvertSettings(); timbre.TimbreError",
        "from timbre.cli.main import main; assert main(['--help']) == 0",
        "from timbre.cli.main import main; assert main(['convert', '--help']) == 0",
        "from timbre.cli.main import main; assert main(['convert', '--nonsense']) == 2",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert heavy_modules_after(code) == []


def test_heavy_import_would_be_seen() -> None:
    assert heavy_modules_after("import numpy") == ["numpy"]
