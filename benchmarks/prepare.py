"""Processor time of `timbre prepare`, and how it scales with workers.

    python -m benchmarks.prepare [--minutes 3]

Speech-like sound made here, in recordings of 15 s at 48 kHz stereo. Two ways of hearing: the packaged encoder with pm,
and the usual networks of so-vits-svc in full size with random weights (ContentVec's HuBERT and rmvpe, the encoder
reduced where the processor can). Each command runs in a process of its own; "per minute" is the difference between the
whole sound and its first minute, so that starting and loading, told apart, do not count; neither do they in "ratio", of
the wall time of one worker to that of two.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks.conditions import conditions
from benchmarks.conversion import speech_like
from benchmarks.full_size import make_weights
from timbre.dsp.spectrogram import linear_spectrogram

RATE_HZ, RECORDING_S = 48_000, 15
WAYS = {
    "timbre + pm": ("--pitch", "pm"),
    "HuBERT + rmvpe": ("--encoder", "vec768l12", "--pitch", "rmvpe"),
}
MAX_LOAD_TO_JUDGE = 0.5


@dataclass(frozen=True)
class Spent:
    """What one command took."""

    processor_s: float
    wall_s: float


def write_recordings(folder: Path, minutes: float) -> None:
    """Write recordings of one speaker, each of another level so that none is taken for a copy."""
    folder.mkdir(parents=True)
    wave = speech_like(RECORDING_S, RATE_HZ)
    for number in range(round(minutes * 60 / RECORDING_S)):
        stereo = np.stack((wave, wave), axis=1) * (0.9 - 0.01 * number)
        soundfile.write(folder / f"{number:03d}.wav", stereo, RATE_HZ)


def prepare(raw: Path, root: Path, words: tuple[str, ...], workers: int) -> Spent:
    """Run the command into a new folder; processor time is that of all its processes."""
    output = root / "dataset"
    shutil.rmtree(output, ignore_errors=True)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    line = [sys.executable, "-m", "timbre", "prepare", str(raw), "-o", str(output), "--workers", str(workers), *words]
    environment = {**os.environ, "XDG_CACHE_HOME": str(root / "cache"), "TIMBRE_WEIGHTS": str(root / "weights")}
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env=environment)
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall_s)


def measure(name: str, root: Path, minutes: float) -> None:
    """Print the row of one way of hearing."""
    words = WAYS[name]
    short, long = ([prepare(root / length, root, words, workers) for workers in (1, 2)] for length in ("short", "long"))
    per_minute = (long[0].processor_s - short[0].processor_s) / (minutes - 1)
    wall_s = [whole.wall_s - first.wall_s for whole, first in zip(long, short, strict=True)]
    print(
        f"{name:<16}{per_minute:>14.2f}{short[0].processor_s - per_minute:>14.1f}{long[0].wall_s:>14.1f}"
        f"{long[1].wall_s:>14.1f}{wall_s[0] / wall_s[1]:>14.2f}"
    )


def compare_spectrograms() -> None:
    """Print what a spectrogram costs when it is computed and when it is read."""
    from safetensors.torch import load_file, save_file

    wave = torch.from_numpy(speech_like(10))[None]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spectrogram.safetensors"
        save_file({"spectrogram": linear_spectrogram(wave, 2048, 512, 2048)}, path)
        times = []
        for work in (lambda: linear_spectrogram(wave, 2048, 512, 2048), lambda: load_file(path)["spectrogram"] + 0):
            started = time.perf_counter()
            for _ in range(20):
                work()
            times.append((time.perf_counter() - started) / 20)
        size_mb = path.stat().st_size / 1e6
    print(f"spectrogram of 10 s: {1e3 * times[0]:.1f} ms to compute, {1e3 * times[1]:.1f} ms to read {size_mb:.1f} MB")


def main() -> None:
    """Measure all ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(conditions())
    compare_spectrograms()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_recordings(root / "short", 1.0)
        write_recordings(root / "long", arguments.minutes)
        if "HuBERT + rmvpe" in arguments.ways:
            make_weights(root / "weights")
        headings = ("CPU s / min", "loading, s", "1 worker, s", "2 workers, s", "ratio")
        print(" " * 16 + "".join(f"{heading:>14}" for heading in headings))
        for name in arguments.ways:
            measure(name, root, arguments.minutes)
        if os.getloadavg()[0] > 2 + MAX_LOAD_TO_JUDGE or (os.cpu_count() or 1) < 2:
            print("other programs use the processor: the ratio of two workers to one cannot be judged here")


if __name__ == "__main__":
    main()
