"""Loudness envelope, trimming and peak limiting against recorded results."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from tests.golden_cases import read_arrays
from timbre.audio.loudness import match_loudness_envelope
from timbre.audio.peaks import limit_peak
from timbre.audio.trimming import trim_bounds

ENVELOPE_TOLERANCE = 1e-5
PEAK_TOLERANCE = 1e-6


def test_loudness_envelope(golden_dir):
    golden = read_arrays(golden_dir / "loudness_envelope.npz")
    numbers = [name.removesuffix("_meta") for name in golden if name.endswith("_meta")]
    assert numbers
    for number in numbers:
        source, output, expected = (golden[f"{number}_{key}"] for key in ("src", "out", "res"))
        source_rate, output_rate, ratio = golden[f"{number}_meta"]
        result = match_loudness_envelope(source, int(source_rate), output, int(output_rate), float(ratio))
        assert result.dtype == np.float32
        assert np.abs(result - expected).max() < ENVELOPE_TOLERANCE, number


@pytest.mark.parametrize(
    ("key", "file"), [("sing", "sing.wav"), ("speech", "speech.flac"), ("song", "slice_song.flac")]
)
def test_trim_bounds_are_exact(golden_dir, key, file):
    samples, _ = soundfile.read(golden_dir / file, dtype="float32")
    assert trim_bounds(samples) == tuple(read_arrays(golden_dir / "resample.npz")[f"{key}_trim"].tolist())


def test_digital_silence_is_kept_whole(golden_dir):
    expected = tuple(read_arrays(golden_dir / "resample.npz")["sil_trim"].tolist())
    assert trim_bounds(np.zeros(8000, dtype=np.float32)) == expected


def test_peak_limit(golden_dir):
    golden = read_arrays(golden_dir / "resample.npz")
    numbers = [name.removeprefix("peak_in") for name in golden if name.startswith("peak_in")]
    assert numbers
    for number in numbers:
        limited = limit_peak(golden[f"peak_in{number}"])
        assert np.abs(limited - golden[f"peak_out{number}"]).max() < PEAK_TOLERANCE
