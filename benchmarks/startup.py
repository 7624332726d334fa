"""Time from the command to its result: help, import, and a cold conversion of ten seconds.

    python -m benchmarks.startup [--voice ada] [--repeats 5]

Each line is the median of fresh processes; the bare interpreter stands beside them as the second variant.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.conditions import conditions
from benchmarks.conversion import speech_like


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", default="ada")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(conditions())
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "source.wav", Path(folder) / "out.wav"
        soundfile.write(source, speech_like(10.0), 44_100)
        timbre = [sys.executable, "-m", "timbre.cli"]
        convert = [*timbre, "convert", str(source), "-o", str(output), "--voice", arguments.voice, "--force"]
        commands = {
            "bare interpreter": [sys.executable, "-c", "pass"],
            "import timbre": [sys.executable, "-c", "import timbre"],
            "timbre --help": [*timbre, "--help"],
            "timbre convert, 10 s": convert,
        }
        base_s = None
        for name, command in commands.items():
            times = []
            for _ in range(arguments.repeats):
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                times.append(time.perf_counter() - started)
            median_s = float(np.median(times))
            base_s = base_s or median_s
            print(f"{name:<22} {median_s:6.2f} s  ({median_s / base_s:.0f} x the bare interpreter)")


if __name__ == "__main__":
    main()
