"""Both slicers and the forced split against recorded results (golden README: exact)."""

from __future__ import annotations

import json

import numpy as np
import soundfile

from timbre.audio.joining import centre_pad
from timbre.audio.mixing import to_mono
from timbre.audio.slicing import forced_pieces, slice_meter, slice_segments, slice_silence
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
            assert [list(span) for span in slice_segments(samples.T, rate, chosen, compatible=True)] == case["segments"]
            continue
        historic = slice_silence(samples.T, rate, chosen, compatible=True)
        assert [[piece.silent, piece.start, piece.end] for piece in historic] == case["chunks"], case
        # Ours is the same without its empty pieces, and takes a silent sound as one silent piece.
        ours = [[piece.silent, piece.start, piece.end] for piece in slice_silence(samples.T, rate, chosen)]
        full = [chunk for chunk in case["chunks"] if chunk[1] < chunk[2]]
        assert ours == ([[True, 0, len(samples)]] if is_silent(samples, rate, chosen) else full), case


def is_silent(samples: np.ndarray, rate: int, chosen: SliceSettings) -> bool:
    """Say whether no frame reaches the threshold."""
    meter = slice_meter(rate, chosen)
    meter.push(to_mono(samples.T))
    return bool((meter.finish() < 10 ** (chosen.threshold_db / 20)).all())


def test_forced_split_and_centred_padding_are_exact(golden_dir):
    cases = json.loads((golden_dir / "split_pad.json").read_text())
    assert cases["split"] and cases["pad"]
    for case in cases["split"]:
        assert [list(piece) for piece in forced_pieces(case["n"], case["size"], case["pre"])] == case["pieces"]
    for case in cases["pad"]:
        ramp = np.arange(1, case["n"] + 1, dtype=np.float32)
        assert centre_pad(ramp, case["target"]).tolist() == case["out"]
