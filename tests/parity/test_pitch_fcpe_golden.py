"""FCPE of both weight layouts against recorded results.

Tolerances: mel 1e-2, latent 2e-3, f0 0.05 Hz (package) and 0.5 Hz (so-vits layout).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.golden_cases import read_arrays
from timbre.dsp.sinc_resample import sinc_resample
from timbre.pitch.fcpe import FcpeTracker, fcpe_log_mel
from timbre.pitch.gaps import bridge, fill_gaps, nearest_stretch
from timbre.pitch.salience import local_average_hz
from timbre.pitch.trackers import is_installed, load_tracker

MEL_TOLERANCE = 1e-2
LATENT_TOLERANCE = 2e-3
PACKAGE_TOLERANCE_HZ = 0.05
FILE_TOLERANCE_HZ = 0.5
HOPS = {"speech": 320, "sing": 512}
FCPE_FLOOR_HZ = 32.7


def mel_of(recorded: dict[str, np.ndarray], sound: str) -> torch.Tensor:
    wave = torch.from_numpy(recorded[f"{sound}_x"])
    return fcpe_log_mel(sinc_resample(wave, int(recorded[f"{sound}_sr"]), 16_000, 128), len(wave))


@pytest.fixture
def package(golden_dir: Path) -> dict[str, np.ndarray]:
    return read_arrays(golden_dir / "f0_fcpe_package.npz")


@pytest.mark.skipif(not is_installed("fcpe"), reason="the package torchfcpe is not installed")
@pytest.mark.parametrize("sound", ["speech", "sing"])
def test_package_weights(package: dict[str, np.ndarray], sound: str) -> None:
    tracker = load_tracker("fcpe", voiced_threshold=0.006)
    assert isinstance(tracker, FcpeTracker)
    log_mel = mel_of(package, sound)
    np.testing.assert_allclose(log_mel.numpy(), package[f"{sound}_mel"].astype(np.float32), atol=MEL_TOLERANCE)
    salience = tracker.salience(log_mel)
    np.testing.assert_allclose(salience, package[f"{sound}_latent"].astype(np.float32), atol=LATENT_TOLERANCE)
    cents = 1200 * np.log2(np.array([32.70, 1975.5]) / 10)
    table = np.linspace(cents[0], cents[1], 360)
    start = f"{sound}_f0_local_argmax_"
    thresholds = [float(name.removeprefix(start)) for name in package if name.startswith(start)]
    assert thresholds
    for threshold in thresholds:
        f0 = local_average_hz(salience, threshold, table, clamp=True)
        expected = package[f"{start}{threshold}"]
        np.testing.assert_array_equal(f0 > 0, expected > 0)
        np.testing.assert_allclose(f0, expected, atol=PACKAGE_TOLERANCE_HZ)
    f0 = tracker.decode(salience)
    # The package fills gaps before it stretches, with torch's rounding; ours does both after, as the pipeline did.
    filled = torch.from_numpy(bridge(np.where(f0 < FCPE_FLOOR_HZ, 0, f0))).float()[None, None]
    stretched = functional.interpolate(filled, size=len(package[f"{sound}_interp_f0"]), mode="nearest")[0, 0]
    np.testing.assert_allclose(stretched.numpy(), package[f"{sound}_interp_f0"], atol=PACKAGE_TOLERANCE_HZ)


@pytest.mark.parametrize("sound", ["speech", "sing"])
def test_so_vits_weights_file(
    golden_dir: Path, package: dict[str, np.ndarray], sound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = read_arrays(golden_dir / "f0_fcpe_ref.npz")
    wave, rate = package[f"{sound}_x"], int(package[f"{sound}_sr"])
    thresholds = recorded[f"{sound}_thresholds"]
    salience = np.zeros(0)
    for index, threshold in enumerate(thresholds):
        tracker = load_tracker("fcpe", voiced_threshold=threshold, weights_file=golden_dir / "fcpe_tiny.pt")
        assert isinstance(tracker, FcpeTracker)
        if index == 0:
            log_mel = mel_of(package, sound)
            np.testing.assert_allclose(log_mel.numpy(), recorded[f"{sound}_mel"].astype(np.float32), atol=MEL_TOLERANCE)
            salience = tracker.salience(log_mel)
            expected = recorded[f"{sound}_latent"].astype(np.float32)
            np.testing.assert_allclose(salience, expected, atol=LATENT_TOLERANCE)
        else:  # the network once is enough
            monkeypatch.setattr(FcpeTracker, "salience", lambda self, log_mel, known=salience: known)
        expected_f0 = recorded[f"{sound}_th{index}_f0"]
        expected_voiced = recorded[f"{sound}_th{index}_uv"] > 0
        track = tracker.track(wave, rate, HOPS[sound], len(expected_f0))
        # A frame whose confidence is within the latent tolerance of the threshold may be called either way.
        sure = np.abs(nearest_stretch(salience.max(axis=1), len(expected_f0)) - threshold) > LATENT_TOLERANCE
        assert sure.mean() > 0.9
        np.testing.assert_array_equal(track.voiced[sure], expected_voiced[sure])
        both = track.voiced & expected_voiced
        assert both.mean() > 0.15
        np.testing.assert_allclose(track.f0_hz[both], expected_f0[both], atol=FILE_TOLERANCE_HZ)
        if np.array_equal(track.voiced, expected_voiced):
            np.testing.assert_allclose(fill_gaps(track), expected_f0, atol=FILE_TOLERANCE_HZ)
