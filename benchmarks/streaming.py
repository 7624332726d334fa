"""Time of one live step, and the algorithmic delay.

    python -m benchmarks.streaming [--voice ada] [--block-ms 20]

One thread. Two variants in the same run: stateful steps (what ships), and the same blocks each converted with the
context they need, from scratch, as programs without state must.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

import timbre
from benchmarks.conditions import conditions
from benchmarks.conversion import speech_like
from timbre.audio.resample import resample
from timbre.stream.engine import StreamConverter

RATE_HZ = 16_000
CONTEXT_S = 0.7


def main() -> None:
    """Measure both variants over ten seconds of sound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", default="ada")
    parser.add_argument("--block-ms", type=float, default=20.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    voice = timbre.load_voice(arguments.voice).voice
    settings = timbre.ConvertSettings(pitch_shift=0.0)
    wave = resample(speech_like(10.0), 44_100, RATE_HZ)
    block = round(arguments.block_ms * RATE_HZ / 1000)
    blocks = [wave[start : start + block] for start in range(0, len(wave) - block, block)]
    engine = StreamConverter(voice, settings)
    stateful_ms = []
    for each in blocks:
        started = time.perf_counter()
        engine.push(each)
        stateful_ms.append(1000 * (time.perf_counter() - started))
    stateless_ms = []
    for number in range(len(blocks) // 2, len(blocks) // 2 + 40):
        end = number * block
        started = time.perf_counter()
        StreamConverter(voice, settings).push(wave[max(0, end - int(CONTEXT_S * RATE_HZ)) : end], last=True)
        stateless_ms.append(1000 * (time.perf_counter() - started))
    print(conditions())
    print(f"algorithmic delay {1000 * engine.delay_s:.1f} ms; blocks of {arguments.block_ms:g} ms")
    for name, times in (("stateful", stateful_ms[20:]), ("from scratch", stateless_ms)):
        print(f"{name:<13} median {np.median(times):6.2f} ms, slowest 5 % {np.percentile(times, 95):6.2f} ms")
    print(f"ratio {np.median(stateless_ms) / np.median(stateful_ms[20:]):.1f}")


if __name__ == "__main__":
    main()
