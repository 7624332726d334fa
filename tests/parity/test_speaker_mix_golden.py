"""Speaker mixes over time against what was handed to the model (golden README: 1e-4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.golden_cases import read_arrays
from timbre.audio.compatible_assembly import assemble_compatible, count_frames
from timbre.config.assembly import AssemblySettings
from timbre.config.slicing import SliceSettings
from timbre.config.speaker_mix import Track, read_speaker_mix
from timbre.errors import SettingsError
from timbre.features.speaker_mix import CountedMix

TOLERANCE = 1e-4
RATE_HZ, HOP_SAMPLES = 8000, 64  # golden README
SLICING = SliceSettings(threshold_db=-40)
OUR_WORDS = {
    "higer Than zero": "at least 0",
    "Must lower Than": "start must be before",
    "Must Equal": "where the one before it ends",
}


def load_cases(folder: Path, *, failing: bool) -> dict[str, dict[str, Any]]:
    cases = json.loads((folder / "spk_mix.json").read_text(encoding="utf-8"))
    return {name: case for name, case in cases.items() if ("error" in case) == failing}


def read_tracks(case: dict[str, Any], folder: Path, n_more_speakers: int = 0) -> dict[int, Track]:
    """Write the tracks as a file, and read them for the speakers that it names and more."""
    file = folder / "tracks.json"
    file.write_text(json.dumps(case["tracks"]), encoding="utf-8")
    speakers = {f"speaker {number}": number for number in range(len(case["tracks"]) + n_more_speakers)}
    return read_speaker_mix(str(file)).by_number(speakers)


def test_weights_of_the_whole_sound(golden_pipeline: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(golden_pipeline / "asm_src.wav", dtype="float32")
    expected = read_arrays(golden_pipeline / "spk_mix.npz")
    for name, case in load_cases(golden_pipeline, failing=False).items():
        settings = AssemblySettings(clip_s=case["clip"], crossfade_s=case["lg"], pad_s=0.5)
        n_frames = count_frames(samples, rate, RATE_HZ, HOP_SAMPLES, SLICING, settings)
        assert n_frames == case["frames"], name
        mix = CountedMix(read_tracks(case, tmp_path), n_frames)
        np.testing.assert_allclose(mix.weights(0, n_frames).T, expected[name], rtol=0, atol=TOLERANCE, err_msg=name)


def test_frames_of_each_call(golden_pipeline: Path) -> None:
    samples, rate = soundfile.read(golden_pipeline / "asm_src.wav", dtype="float32")
    for name, case in load_cases(golden_pipeline, failing=False).items():
        calls = []

        def convert(chunk, sample_rate_hz, first_frame, calls=calls):
            n_frames = int(np.ceil(len(chunk) / sample_rate_hz * RATE_HZ)) // HOP_SAMPLES
            calls.append({"frame_arg": first_frame, "frames": n_frames, "n_in": len(chunk)})
            return np.zeros(n_frames * HOP_SAMPLES, dtype=np.float32)

        settings = AssemblySettings(clip_s=case["clip"], crossfade_s=case["lg"], pad_s=0.5)
        assemble_compatible(samples, rate, convert, RATE_HZ, HOP_SAMPLES, SLICING, settings)
        assert calls == [{key: call[key] for key in ("frame_arg", "frames", "n_in")} for call in case["calls"]], name


def test_refused_tracks(golden_pipeline: Path, tmp_path: Path) -> None:
    for name, case in load_cases(golden_pipeline, failing=True).items():
        words = [ours for theirs, ours in OUR_WORDS.items() if theirs in case["error"]]
        with pytest.raises(SettingsError) as caught:  # tracks without a fault are too few for the model
            read_tracks(case, tmp_path, n_more_speakers=0 if words else 1)
        assert all(word in str(caught.value) for word in words), (name, str(caught.value))
