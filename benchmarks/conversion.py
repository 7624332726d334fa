"""Processor time and memory of a whole conversion.

    python -m benchmarks.conversion [--voice ada] [--seconds 10 60 300]

One thread, after loading. Four variants in the same run: the defaults (chunks of 8 s, precision auto), float32,
and float32 in chunks of 30 s and in one.
The source is speech-like sound made here (a gliding voiced tone with pauses), so no recording is needed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

VARIANTS: dict[str, dict[str, object]] = {
    "defaults": {},
    "float32": {"precision": "exact"},
    "float32, 30 s": {"precision": "exact", "max_chunk_s": 30.0},
    "float32, one chunk": {"precision": "exact", "max_chunk_s": 600.0},
}


def speech_like(seconds: float, sample_rate_hz: int = 44_100) -> np.ndarray:
    """Return harmonics of a wandering pitch with a syllable rhythm and pauses [N]."""
    time_s = np.arange(int(seconds * sample_rate_hz)) / sample_rate_hz
    frequency = 150 * 2 ** (0.4 * np.sin(2 * np.pi * 0.31 * time_s) + 0.1 * np.sin(2 * np.pi * 2.3 * time_s))
    phase = 2 * np.pi * np.cumsum(frequency) / sample_rate_hz
    wave = sum(np.sin(k * phase) / k for k in range(1, 16))
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * time_s) + 0.4, 0, 1) * (np.sin(2 * np.pi * 0.2 * time_s) > -0.8)
    noise = 0.003 * np.random.default_rng(0).standard_normal(len(time_s))
    return np.asarray(0.15 * wave * syllables + noise, dtype=np.float32)


def memory_mb(field: str) -> float:
    """Return a field of this process's status in MB: VmRSS now, VmHWM at its peak (Linux only)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def measure(voice_name: str, seconds: float, options: dict[str, object]) -> None:
    """Print processor seconds per second of sound and the memory above the loaded process (run in its own process)."""
    import torch

    import timbre

    torch.set_num_threads(1)
    voice = timbre.load_voice(voice_name)
    settings = timbre.ConvertSettings.from_mapping(options)
    voice.convert(speech_like(2.0), 44_100, settings)  # warm: all code loaded, all buffers touched once
    wave = speech_like(seconds)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak, which making the source has raised
    loaded_mb = memory_mb("VmRSS")
    started = time.process_time()
    voice.convert(wave, 44_100, settings)
    spent = time.process_time() - started
    print(f"{spent / seconds:.4f} {memory_mb('VmHWM') - loaded_mb:.0f}")


def main() -> None:
    """Measure all lengths and variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", default="ada")
    parser.add_argument("--pitch", default="auto")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0, 300.0])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments.voice, float(arguments.one[0]), json.loads(arguments.one[1]))
        return
    from benchmarks.conditions import conditions

    print(conditions())
    print(f"{'length':>8}  {'variant':<18} {'CPU s per s':>12} {'ratio':>6} {'memory above loaded':>20}")
    command = [sys.executable, "-m", "benchmarks.conversion", "--voice", arguments.voice, "--one"]
    for seconds in arguments.seconds:
        first = 0.0
        for name, variant in VARIANTS.items():
            options = json.dumps({"pitch": arguments.pitch, **variant})
            answer = subprocess.run([*command, str(seconds), options], capture_output=True, text=True, check=True)
            spent, megabytes = answer.stdout.split()
            first = first or float(spent)
            print(
                f"{seconds:>6.0f} s  {name:<18} {float(spent):>12.4f} {float(spent) / first:>6.2f} {megabytes:>17} MB"
            )


if __name__ == "__main__":
    main()
