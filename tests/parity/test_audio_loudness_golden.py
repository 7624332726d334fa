"""Loudness envelope, trimming and peak limiting against recorded results."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from timbre.audio.loudness import match_loudness_envelope
from timbre.audio.peaks import limit_peak
from timbre.audio.trimming import trim_bounds

ENVELOPE_TOLERANCE = 1e-5
PEAK_TOLERANCE = 1e-6


@pytest.mark.parametrize("number", range(5))
def test_loudness_envelope(golden_dir, number):
    with np.load(golden_dir / "loudness_envelope.npz") as golden:
        source, output, expected = (golden[f"{number}_{key}"] for key in ("src", "out", "res"))
        source_rate, output_rate, ratio = golden[f"{number}_meta"]
    result = match_loudness_envelope(source, int(source_rate), output, int(output_rate), float(ratio))
    assert result.dtype == np.float32
    assert np.abs(result - expected).max() < ENVELOPE_TOLERANCE


@pytest.mark.parametrize(
    ("key", "file"), [("sing", "sing.wav"), ("speech", "speech.flac"), ("song", "slice_song.flac")]
)
def test_trim_bounds_are_exact(golden_dir, key, file):
    samples, _ = soundfile.read(golden_dir / file, dtype="float32")
    with np.load(golden_dir / "resample.npz") as golden:
        assert trim_bounds(samples) == tuple(golden[f"{key}_trim"].tolist())


def test_digital_silence_is_kept_whole(golden_dir):
    with np.load(golden_dir / "resample.npz") as golden:
        assert trim_bounds(np.zeros(8000, dtype=np.float32)) == tuple(golden["sil_trim"].tolist())


def test_peak_limit(golden_dir):
    with np.load(golden_dir / "resample.npz") as golden:
        for number in ("", "2"):
            limited = limit_peak(golden[f"peak_in{number}"])
            assert np.abs(limited - golden[f"peak_out{number}"]).max() < PEAK_TOLERANCE
