"""Whole-file assembly with the stand-in converter of the golden README, against recorded results (1e-4)."""

from __future__ import annotations

import json

import numpy as np
import soundfile

from tests.golden_cases import read_arrays
from timbre.audio.compatible_assembly import assemble_compatible
from timbre.config.assembly import AssemblySettings
from timbre.config.slicing import SliceSettings

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


def test_compatible_assembly(golden_dir):
    cases, recorded = json.loads((golden_dir / "assembly.json").read_text()), read_arrays(golden_dir / "assembly.npz")
    samples, rate = soundfile.read(golden_dir / "asm_src.wav", dtype="float32")
    assert cases
    for number, case in enumerate(cases):
        chosen = AssemblySettings(
            clip_s=case["clip"],
            crossfade_s=case["lg"],
            crossfade_retain=case["lgr"],
            pad_s=case["pad"],
        )
        converter, slicing = StandIn(case["target"], case["hop"]), SliceSettings(threshold_db=case["slice_db"])
        output = assemble_compatible(samples, rate, converter, case["target"], case["hop"], slicing, chosen)
        keys, expected = ("frame_arg", "frames", "n_in"), recorded[f"out_{number}"]
        assert converter.calls == [{key: call[key] for key in keys} for call in case["calls"]], number
        assert len(output) == case["n_out"] == len(expected), number
        assert np.abs(output - expected).max() < TOLERANCE, number
