"""A long recording is streamed: the memory does not grow with its length."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.toys import glide

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="measures with the resource module"),
]

RATE = 8_000
MAX_GROWTH_MB = 60

PROGRAM = """
import pathlib, resource, sys
import timbre.voice.shelf as shelf
from timbre.cli.main import main
shelf.ASSETS = pathlib.Path(sys.argv[1])
code = main(["convert", sys.argv[2], "-o", sys.argv[3], "--voice", "ada"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10)))
sys.exit(code)
"""


def peak_mb(assets: Path, folder: Path, minutes: int) -> float:
    """Convert that many minutes in a process of its own; returns the most memory it held."""
    source, result = folder / f"{minutes}.wav", folder / f"{minutes}.flac"
    minute = np.concatenate((glide(50, RATE), np.zeros(10 * RATE, dtype=np.float32)))
    with soundfile.SoundFile(source, "w", RATE, 2) as file:
        for _ in range(minutes):
            file.write(np.stack((minute, minute), axis=1))
    words = [sys.executable, "-c", PROGRAM, str(assets), str(source), str(result)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(result).frames == minutes * 60 * 44_100
    return float(done.stdout.splitlines()[-1])


def test_memory_does_not_grow_with_the_length(toy_assets_folder: Path, tmp_path: Path) -> None:
    short, long = (peak_mb(toy_assets_folder, tmp_path, minutes) for minutes in (5, 20))
    assert long - short < MAX_GROWTH_MB, f"5 min: {short:.0f} MB, 20 min: {long:.0f} MB"
