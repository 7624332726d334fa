"""Time of `import timbre` and `timbre --help`, cold processes, next to an empty Python.

python benchmarks/startup.py [--runs 10] [--json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time

CASES = {
    "empty python": ["-c", "pass"],
    "import timbre": ["-c", "import timbre"],
    "timbre --help": ["-m", "timbre.cli", "--help"],
    "timbre convert --help": ["-m", "timbre.cli", "convert", "--help"],
}


def measure(arguments: list[str], runs: int) -> list[float]:
    """Return the wall time in seconds of each of `runs` fresh processes."""
    times_s = []
    for _ in range(runs):
        start_s = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times_s.append(time.perf_counter() - start_s)
    return times_s


def main() -> None:
    """Measure every case in turn and print median and worst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.json:
        print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {options.runs} runs each")
    for name, arguments in CASES.items():
        times_s = measure(arguments, options.runs)
        row = {"case": name, "median_s": round(statistics.median(times_s), 4), "worst_s": round(max(times_s), 4)}
        print(
            json.dumps(row)
            if options.json
            else f"{name:<24} median {row['median_s']:.3f} s  worst {row['worst_s']:.3f} s"
        )


if __name__ == "__main__":
    main()
