"""Both slicers and the forced split against recorded results (golden README: exact)."""

from __future__ import annotations

import json

import numpy as np
import soundfile

from timbre.audio.joining import centre_pad
from timbre.audio.slicing import forced_pieces, slice_segments, slice_silence
from timbre.config.slicing import SliceSettings

NAMES = {
    "min_length": "min_length_ms",
    "min_interval": "min_interval_ms",
    "hop_size": "hop_ms",
    "max_sil_kept": "max_silence_kept_ms",
}


def test_slicers_are_exact(golden_dir):
    cases = json.loads((golden_dir / "slicer.json").read_text())
    files = {case["file"] for case in cases}
    sounds = {file: soundfile.read(golden_dir / file, dtype="float32") for file in files}
    assert cases
    for case in cases:
        samples, rate = sounds[case["file"]]
        values = {NAMES[key]: value for key, value in case["args"].items()}
        chosen = SliceSettings(threshold_db=case["threshold"], **values)
        if case["slicer"] == "dataset":
            assert [list(span) for span in slice_segments(samples, rate, chosen)] == case["segments"], case
            continue
        historic = slice_silence(samples, rate, chosen, compatible=True)
        assert [[piece.silent, piece.start, piece.end] for piece in historic] == case["chunks"], case
        ours = slice_silence(samples, rate, chosen)  # the same, without its empty pieces
        full = [chunk for chunk in case["chunks"] if chunk[1] < chunk[2]]
        assert [[piece.silent, piece.start, piece.end] for piece in ours] == full, case


def test_forced_split_and_centred_padding_are_exact(golden_dir):
    cases = json.loads((golden_dir / "split_pad.json").read_text())
    assert cases["split"] and cases["pad"]
    for case in cases["split"]:
        assert [list(piece) for piece in forced_pieces(case["n"], case["size"], case["pre"])] == case["pieces"]
    for case in cases["pad"]:
        ramp = np.arange(1, case["n"] + 1, dtype=np.float32)
        assert centre_pad(ramp, case["target"]).tolist() == case["out"]
