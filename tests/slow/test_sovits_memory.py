"""Unbroken singing of any length in bounded memory, by full-size networks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.full_size import make_weights, save_model

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="measures through /proc")]

MAX_MB = 1200
MAX_MB_PER_S = 1.0  # the sound itself takes 0.18 MB for each second, several times over


def test_memory_grows_slowly_with_the_length(tmp_path: Path, repository: Path) -> None:
    make_weights(tmp_path)
    save_model(tmp_path, {})

    def peak_mb(seconds: int) -> float:
        """Convert in a process of its own; returns the memory beyond what it held when the voice was ready."""
        words = [sys.executable, "-m", "benchmarks.compat", "--one", str(tmp_path), str(seconds), "auto"]
        done = subprocess.run(words, cwd=repository, capture_output=True, text=True, check=True)
        return float(done.stdout.split()[1])

    peaks = {seconds: peak_mb(seconds) for seconds in (60, 120, 300)}
    assert max(peaks.values()) < MAX_MB, peaks
    assert (peaks[300] - peaks[60]) / 240 < MAX_MB_PER_S, peaks
