"""Accuracy and cost of every pitch tracker that is installed.

    python -m benchmarks.pitch [--seconds 4]

A synthetic voice glides from 110 to 440 Hz, clean and with noise 20 dB below it; the error is the median of its frames.
All trackers run on the same sound in one process with one thread, pm first: the ratio is to pm.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.conditions import conditions
from timbre.errors import TimbreError
from timbre.pitch.trackers import PITCH_TRACKERS, load_tracker

RATE_HZ, HOP_SAMPLES = 16_000, 160
LOW_HZ, HIGH_HZ = 110.0, 440.0


@dataclass(frozen=True)
class Row:
    """What one tracker did."""

    clean_cents: float
    noisy_cents: float
    cpu_s_per_s: float


def glide(seconds: float) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return harmonics of a rising pitch [N] and that pitch per frame [T]."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    frequency = LOW_HZ * (HIGH_HZ / LOW_HZ) ** (time_s / seconds)
    phase = 2 * np.pi * np.cumsum(frequency) / RATE_HZ
    wave = sum(np.sin(k * phase) / k for k in range(1, 12))
    return np.asarray(0.15 * wave, dtype=np.float32), frequency[::HOP_SAMPLES]


def judge(name: str, seconds: float) -> Row:
    """Run one tracker on the clean and on the noisy glide."""
    tracker = load_tracker(name)
    wave, truth = glide(seconds)
    noise = np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32)
    errors = []
    started = time.process_time()
    for sound in (wave, wave + 0.1 * wave.std() * noise):
        track = tracker.track(sound, RATE_HZ, HOP_SAMPLES)
        inner = slice(20, len(track.f0_hz) - 20)
        voiced = track.voiced[inner]
        cents = 1200 * np.log2(track.f0_hz[inner][voiced] / truth[: len(track.f0_hz)][inner][voiced])
        errors.append(float(np.median(np.abs(cents))))
    return Row(errors[0], errors[1], (time.process_time() - started) / (2 * seconds))


def main() -> None:
    """Judge all trackers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(conditions())
    print(f"{'tracker':<12}{'clean, cents':>14}{'noisy, cents':>14}{'CPU s per s':>13}{'x pm':>8}")
    reference = None
    for name in PITCH_TRACKERS:
        try:
            row = judge(name, arguments.seconds)
        except TimbreError as error:
            print(f"{name:<12}{error}")
            continue
        reference = reference or row.cpu_s_per_s
        ratio = row.cpu_s_per_s / reference
        print(f"{name:<12}{row.clean_cents:>14.1f}{row.noisy_cents:>14.1f}{row.cpu_s_per_s:>13.3f}{ratio:>8.0f}")


if __name__ == "__main__":
    main()
