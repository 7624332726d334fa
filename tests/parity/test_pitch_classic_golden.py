"""pm, dio, harvest and the moves between frame grids against recorded results: 0.02 Hz, voicing exact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.golden_cases import read_arrays
from timbre.pitch.gaps import bridge, fill_gaps, nearest_stretch, resize
from timbre.pitch.trackers import is_installed, load_tracker

TOLERANCE_HZ = 0.02
FILES = {"sing": "sing.wav", "speech": "speech.flac"}


@pytest.mark.parametrize(
    ("sound", "name"),
    [
        ("sing", "pm"),
        ("speech", "pm"),
        ("sing", "dio"),
        ("speech", "dio"),
        ("speech", "harvest"),
        pytest.param("sing", "harvest", marks=pytest.mark.slow),
    ],
)
def test_tracker(golden_dir: Path, sound: str, name: str) -> None:
    if not is_installed(name):
        pytest.skip(f"the package for {name} is not installed")
    facts = json.loads((golden_dir / "f0_inputs.json").read_text())[sound]
    recorded = read_arrays(golden_dir / "f0_classic.npz")
    wave, sample_rate_hz = soundfile.read(golden_dir / FILES[sound], dtype="float32")
    assert sample_rate_hz == facts["sr"]
    track = load_tracker(name).track(wave[: facts["n"]], sample_rate_hz, facts["hop"])
    np.testing.assert_array_equal(track.voiced, recorded[f"{sound}_{name}_uv"] > 0)
    np.testing.assert_allclose(fill_gaps(track), recorded[f"{sound}_{name}_f0"], atol=TOLERANCE_HZ)


def cases_of(recorded: dict[str, NDArray[np.float64]], start: str) -> list[str]:
    cases = [name.removesuffix("_in") for name in recorded if name.startswith(start) and name.endswith("_in")]
    assert cases
    return cases


def test_resize_and_gap_filling(golden_dir: Path) -> None:
    recorded = read_arrays(golden_dir / "f0_classic.npz")
    for case in cases_of(recorded, "rz"):
        resized = resize(recorded[f"{case}_in"], len(recorded[f"{case}_f0"]))
        np.testing.assert_allclose(resized, recorded[f"{case}_resized"], atol=1e-9, err_msg=case)
        np.testing.assert_array_equal(resized > 0, recorded[f"{case}_uv"] > 0, err_msg=case)
        # From one voiced frame the reference fills with the first frame, mostly 0; ours with the voiced value.
        expected = np.full_like(resized, resized.max()) if (resized > 0).sum() == 1 else recorded[f"{case}_f0"]
        np.testing.assert_allclose(bridge(resized), expected, atol=1e-4, err_msg=case)


def test_nearest_stretch_and_gap_filling(golden_dir: Path) -> None:
    recorded = read_arrays(golden_dir / "f0_rmvpe.npz")
    for case in cases_of(recorded, "pp"):
        stretched = nearest_stretch(recorded[f"{case}_in"], len(recorded[f"{case}_f0"]))
        np.testing.assert_array_equal(stretched > 0, recorded[f"{case}_uv"] > 0, err_msg=case)
        np.testing.assert_allclose(bridge(stretched), recorded[f"{case}_f0"], atol=1e-4, err_msg=case)
