"""Whole-file assembly with the stand-in converter of the golden README, against recorded results (1e-4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.golden_cases import read_arrays
from timbre.audio.compatible_assembly import assemble_compatible
from timbre.audio.sound import Samples
from timbre.config.assembly import AssemblySettings
from timbre.config.slicing import SliceSettings
from timbre.errors import SettingsError

TOLERANCE = 1e-4


class StandIn:
    """The stand-in converter: picks samples at the output rate and changes the gain from call to call."""

    def __init__(self, target: int, hop: int) -> None:
        self.target, self.hop = target, hop
        self.calls: list[dict[str, int]] = []

    def __call__(self, samples, sample_rate_hz, first_frame):
        n_frames = int(np.ceil(len(samples) / sample_rate_hz * self.target)) // self.hop
        picked = np.floor(np.arange(n_frames * self.hop) * sample_rate_hz / self.target).astype(int)
        gain = 1 + 0.25 * (len(self.calls) % 3 - 1)
        self.calls.append({"frame_arg": first_frame, "frames": n_frames, "n_in": len(samples)})
        return (samples[np.minimum(picked, len(samples) - 1)] * gain).astype(np.float32)


def load(folder: Path) -> tuple[list[dict[str, Any]], Samples, int]:
    """Return the cases, and the sound with its rate."""
    samples, rate = soundfile.read(folder / "asm_src.wav", dtype="float32")
    return json.loads((folder / "assembly.json").read_text()), samples, rate


def assembled(case: dict[str, Any], samples: Samples, rate: int) -> tuple[Samples, StandIn]:
    """Run one case; returns the result and what was asked of the converter."""
    chosen = AssemblySettings(
        clip_s=case["clip"], crossfade_s=case["lg"], crossfade_retain=case["lgr"], pad_s=case["pad"]
    )
    converter, slicing = StandIn(case["target"], case["hop"]), SliceSettings(threshold_db=case["slice_db"])
    return assemble_compatible(samples, rate, converter, case["target"], case["hop"], slicing, chosen), converter


def test_compatible_assembly(golden_dir: Path) -> None:
    cases, samples, rate = load(golden_dir)
    recorded = read_arrays(golden_dir / "assembly.npz")
    numbers = [number for number, case in enumerate(cases) if "error" not in case]
    assert numbers
    for number in numbers:
        output, converter = assembled(cases[number], samples, rate)
        keys, expected = ("frame_arg", "frames", "n_in"), recorded[f"out_{number}"]
        assert converter.calls == [{key: call[key] for key in keys} for call in cases[number]["calls"]], number
        assert len(output) == cases[number]["n_out"] == len(expected), number
        assert np.abs(output - expected).max() < TOLERANCE, number


def test_refused_assembly(golden_dir: Path) -> None:
    cases, samples, rate = load(golden_dir)
    for case in cases:
        if "error" in case:
            with pytest.raises(SettingsError):
                assembled(case, samples, rate)
