"""RMVPE against recorded results: salience 3e-3 (small network 1e-5), f0 0.5 Hz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.rule_weights import rmvpe_rule_state
from timbre.dsp.sinc_resample import sinc_resample
from timbre.pitch.gaps import fill_gaps
from timbre.pitch.rmvpe import RmvpeTracker, load, rmvpe_log_mel
from timbre.pitch.rmvpe_network import RmvpeNetwork, RmvpeSizes, build_rmvpe
from timbre.pitch.salience import local_average_hz

SALIENCE_TOLERANCE = 3e-3
SMALL_TOLERANCE = 1e-5
TOLERANCE_HZ = 0.5
THRESHOLDS = (0.05, 0.9, 0.95)


@pytest.fixture
def recorded(golden_dir: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden_dir / "f0_rmvpe.npz"))


@pytest.fixture(scope="module")
def full_network(golden_dir: Path) -> RmvpeNetwork:
    return build_rmvpe(rmvpe_rule_state(golden_dir / "rmvpe_full_manifest.json", seed=4))


def test_small_network_stored_as_half(golden_dir: Path, recorded: dict[str, np.ndarray]) -> None:
    tracker = load(0.05, "cpu", golden_dir / "rmvpe_small.pt")
    salience = tracker.salience(torch.from_numpy(recorded["small_mel"])[0])
    np.testing.assert_allclose(salience, recorded["small_hidden"][0], atol=SMALL_TOLERANCE)


@pytest.mark.parametrize("sound", ["speech", "sing"])
def test_spectrogram(recorded: dict[str, np.ndarray], sound: str) -> None:
    wave16 = sinc_resample(torch.from_numpy(recorded[f"{sound}_x"]), int(recorded[f"{sound}_sr"]), 16_000, 128)
    # Where there is next to no sound the logarithm magnifies the rounding of the resampler.
    np.testing.assert_allclose(rmvpe_log_mel(wave16).numpy(), recorded[f"{sound}_mel"], atol=2e-3)


@pytest.mark.parametrize("threshold", [0.03, 0.05, 0.5])
def test_decoder(recorded: dict[str, np.ndarray], threshold: float) -> None:
    f0, expected = local_average_hz(recorded["dec_sal"], threshold), recorded[f"dec_f0_{threshold}"]
    np.testing.assert_array_equal(f0 > 0, expected > 0)
    np.testing.assert_allclose(f0, expected, atol=0.01)


def check_track(tracker: RmvpeTracker, recorded: dict[str, np.ndarray], sound: str, threshold: float) -> None:
    track = tracker.track(recorded[f"{sound}_x"], int(recorded[f"{sound}_sr"]), int(recorded[f"{sound}_hop"]))
    np.testing.assert_array_equal(track.voiced, recorded[f"{sound}_uv_{threshold}"] > 0)
    np.testing.assert_allclose(fill_gaps(track), recorded[f"{sound}_f0_{threshold}"], atol=TOLERANCE_HZ)


@pytest.mark.slow
@pytest.mark.parametrize("sound", ["speech", "sing"])
def test_full_network(full_network: RmvpeNetwork, recorded: dict[str, np.ndarray], sound: str) -> None:
    assert full_network.sizes == RmvpeSizes()
    salience = RmvpeTracker(full_network, 0.05).salience(torch.from_numpy(recorded[f"{sound}_mel"]))
    np.testing.assert_allclose(salience, recorded[f"{sound}_hidden"].astype(np.float32), atol=SALIENCE_TOLERANCE)
    for threshold in THRESHOLDS:
        raw = local_average_hz(salience, threshold)
        np.testing.assert_allclose(raw, recorded[f"{sound}_raw_{threshold}"], atol=TOLERANCE_HZ)
        check_track(RmvpeTracker(full_network, threshold), recorded, sound, threshold)


@pytest.mark.parametrize("sound", ["speech", "sing"])
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_everything_after_the_network(
    golden_dir: Path,
    recorded: dict[str, np.ndarray],
    sound: str,
    threshold: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    salience = recorded[f"{sound}_hidden"].astype(np.float32)
    if (np.abs(salience.max(axis=1) - threshold) < 1e-3).any():
        pytest.skip("a recorded float16 salience is too near to the threshold to decide; the slow test does it whole")
    monkeypatch.setattr(RmvpeTracker, "salience", lambda self, log_mel: salience)
    check_track(load(threshold, "cpu", golden_dir / "rmvpe_small.pt"), recorded, sound, threshold)
