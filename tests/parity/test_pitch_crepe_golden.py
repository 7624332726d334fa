"""CREPE against recorded results: salience 2e-3, f0 0.05 Hz."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden_cases import read_arrays
from timbre.dsp.kaiser_resample import kaiser_resample
from timbre.pitch.contract import PitchTracker
from timbre.pitch.crepe import CrepeTracker
from timbre.pitch.crepe_decode import DECODERS, mask_range
from timbre.pitch.crepe_filter import a_weighted_loudness, mean_of_three, median_of_three
from timbre.pitch.gaps import fill_gaps
from timbre.pitch.trackers import is_installed, load_tracker

SALIENCE_TOLERANCE = 2e-3
TOLERANCE_HZ = 0.05
Recorded = dict[str, np.ndarray]

needs_crepe = pytest.mark.skipif(not is_installed("crepe"), reason="the package torchcrepe is not installed")


@pytest.fixture
def recorded(golden_dir: Path) -> Recorded:
    """The arrays, with those of the json file beside them: rate and hop of each sound."""
    facts = json.loads((golden_dir / "f0_crepe.json").read_text())
    rates = {f"{sound}_{key}": np.array(each[key]) for sound, each in facts.items() for key in ("sr", "hop")}
    return read_arrays(golden_dir / "f0_crepe.npz") | rates


def at_16_khz(recorded: Recorded, sound: str) -> tuple[torch.Tensor, int]:
    """Return the sound and its hop at 16 kHz."""
    rate = int(recorded[f"{sound}_sr"])
    wave16 = kaiser_resample(torch.from_numpy(recorded[f"{sound}_x"]), rate, 16_000)
    return wave16, int(recorded[f"{sound}_hop"] * 16_000 / rate)


def check_salience(tracker: PitchTracker, recorded: Recorded, sound: str, size: str, n_16k: int) -> None:
    """Compare the frames that lie within the first `n_16k` samples at 16 kHz, and their decoding when that is all."""
    assert isinstance(tracker, CrepeTracker)
    wave16, hop16 = at_16_khz(recorded, sound)
    salience = tracker.salience(wave16[:n_16k], hop16)
    whole = n_16k >= len(wave16)
    n_frames = len(salience) if whole else (n_16k - 512) // hop16
    assert n_frames >= 3
    expected = recorded[f"{sound}_{size}_prob"].astype(np.float32)
    np.testing.assert_allclose(salience[:n_frames], expected[:n_frames], atol=SALIENCE_TOLERANCE)
    if not whole:
        return
    assert salience.shape == expected.shape
    for name, decode in DECODERS.items():
        key = f"{sound}_{size}_{name.replace('-', '_')}"
        f0, periodicity = decode(mask_range(salience))
        np.testing.assert_allclose(f0, recorded[f"{key}_f0"], atol=TOLERANCE_HZ, err_msg=key)
        np.testing.assert_allclose(periodicity, recorded[f"{key}_pd"], atol=SALIENCE_TOLERANCE, err_msg=key)


def check_track(recorded: Recorded, sound: str, threshold: float, name: str = "crepe") -> None:
    rate, hop = (int(recorded[f"{sound}_{key}"]) for key in ("sr", "hop"))
    track = load_tracker(name, voiced_threshold=threshold).track(recorded[f"{sound}_x"], rate, hop)
    np.testing.assert_array_equal(track.voiced, recorded[f"{sound}_ref{threshold}_uv"] > 0)
    np.testing.assert_allclose(fill_gaps(track), recorded[f"{sound}_ref{threshold}_f0"], atol=TOLERANCE_HZ)


@needs_crepe
def test_tiny_network_and_decoders(recorded: Recorded) -> None:
    check_salience(load_tracker("crepe-tiny"), recorded, "speech", "tiny", 32_000)


@needs_crepe
def test_full_network_on_the_first_frames(recorded: Recorded) -> None:
    check_salience(load_tracker("crepe"), recorded, "speech", "full", 1800)
    check_salience(load_tracker("crepe"), recorded, "sing", "full", 1800)


@needs_crepe
@pytest.mark.slow
@pytest.mark.parametrize("sound", ["sing", "speech"])
def test_full_network_and_decoders(recorded: Recorded, sound: str) -> None:
    check_salience(load_tracker("crepe"), recorded, sound, "full", 10**6)


@needs_crepe
@pytest.mark.slow
@pytest.mark.parametrize("sound", ["sing", "speech"])
@pytest.mark.parametrize("threshold", [0.05, 0.5])
def test_whole_tracker(recorded: Recorded, sound: str, threshold: float) -> None:
    check_track(recorded, sound, threshold)


@needs_crepe
@pytest.mark.parametrize("sound", ["sing", "speech"])
@pytest.mark.parametrize("threshold", [0.05, 0.5])
def test_everything_after_the_network(
    recorded: Recorded, sound: str, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    salience = recorded[f"{sound}_full_prob"].astype(np.float32)
    monkeypatch.setattr(CrepeTracker, "salience", lambda self, wave16, hop_samples: salience)
    check_track(recorded, sound, threshold, "crepe-tiny")  # whose own network is not asked


@pytest.mark.parametrize("sound", ["sing", "speech"])
def test_loudness(recorded: Recorded, sound: str) -> None:
    wave16, hop16 = at_16_khz(recorded, sound)
    np.testing.assert_allclose(a_weighted_loudness(wave16, hop16), recorded[f"{sound}_loudness"], atol=2e-3)


def test_filters_skip_missing_values(recorded: Recorded) -> None:
    values = recorded["filt_in"]
    np.testing.assert_allclose(median_of_three(values), recorded["filt_median"], atol=1e-6)
    np.testing.assert_allclose(mean_of_three(values), recorded["filt_mean"], atol=1e-6)
