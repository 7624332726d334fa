"""Both slicers and the forced split against recorded results (golden README: exact)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from timbre.audio.joining import centre_pad
from timbre.audio.slicing import forced_pieces, slice_segments, slice_silence
from timbre.config.slicing import SliceSettings

FILES = ["song", "lead_long", "no_silence", "all_silence", "noise_only", "short", "tail_short_sil"]
NAMES = {
    "min_length": "min_length_ms",
    "min_interval": "min_interval_ms",
    "hop_size": "hop_ms",
    "max_sil_kept": "max_silence_kept_ms",
}


@pytest.mark.parametrize("name", FILES)
def test_slicers_are_exact(golden_dir, name):
    file = f"slice_{name}.flac"
    cases = [case for case in json.loads((golden_dir / "slicer.json").read_text()) if case["file"] == file]
    samples, rate = soundfile.read(golden_dir / file, dtype="float32")
    assert len(cases) == 17
    for case in cases:
        values = {NAMES[key]: value for key, value in case["args"].items()}
        chosen = SliceSettings(threshold_db=case["threshold"], **values)
        if case["slicer"] == "dataset":
            assert [list(span) for span in slice_segments(samples, rate, chosen)] == case["segments"]
            continue
        historic = slice_silence(samples, rate, chosen, compatible=True)
        assert [[piece.silent, piece.start, piece.end] for piece in historic] == case["chunks"]
        ours = slice_silence(samples, rate, chosen)  # the same, without its empty pieces
        assert [[piece.silent, piece.start, piece.end] for piece in ours] == [c for c in case["chunks"] if c[1] < c[2]]


def test_forced_split_and_centred_padding_are_exact(golden_dir):
    cases = json.loads((golden_dir / "split_pad.json").read_text())
    assert len(cases["split"]) == 7 and len(cases["pad"]) == 5
    for case in cases["split"]:
        assert [list(piece) for piece in forced_pieces(case["n"], case["size"], case["pre"])] == case["pieces"]
    for case in cases["pad"]:
        ramp = np.arange(1, case["n"] + 1, dtype=np.float32)
        assert centre_pad(ramp, case["target"]).tolist() == case["out"]
