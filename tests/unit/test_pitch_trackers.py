"""What every pitch tracker promises, on synthetic voices; RMVPE, which has no packaged weights, with a toy network."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timbre.errors import AudioError, DeviceError, MissingExtraError, MissingWeightsError, SettingsError, WeightsError
from timbre.pitch import trackers
from timbre.pitch.contract import PitchTrack, PitchTracker
from timbre.pitch.fcpe import FcpeTracker
from timbre.pitch.fcpe_network import FcpeNetwork, FcpeSizes
from timbre.pitch.rmvpe import RmvpeTracker
from timbre.pitch.rmvpe_network import RmvpeNetwork, RmvpeSizes
from timbre.pitch.trackers import PITCH_TRACKERS, is_installed, load_tracker, pitch_range, resolve_tracker

RATE_HZ, HOP = 16_000, 160
LOADED: dict[str, PitchTracker] = {}


def tracker_of(name: str) -> PitchTracker:
    """Load each tracker once; RMVPE gets a toy network of random weights."""
    if name != "rmvpe" and not is_installed(name):
        pytest.skip(f"the package for {name} is not installed")
    if name not in LOADED:
        if name == "rmvpe":
            torch.manual_seed(0)
            sizes = RmvpeSizes(n_blocks=1, n_levels=2, n_intermediate=1, width=2, recurrent=4)
            LOADED[name] = RmvpeTracker(RmvpeNetwork(sizes).eval().requires_grad_(False), 0.05)
        else:
            LOADED[name] = load_tracker(name)
    return LOADED[name]


def glissando(
    low_hz: float, high_hz: float, duration_s: float = 0.5, rate_hz: int = RATE_HZ
) -> tuple[np.ndarray, np.ndarray]:
    """Return (wave [N] of eight harmonics, true f0 [N]) that rises evenly in cents."""
    n_samples = int(duration_s * rate_hz)
    f0 = low_hz * (high_hz / low_hz) ** (np.arange(n_samples) / n_samples)
    phase = 2 * np.pi * np.cumsum(f0) / rate_hz
    wave = sum(np.sin(k * phase) / k for k in range(1, 9)) * 0.3
    return wave.astype(np.float32), f0


ALL = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "crepe" else n for n in PITCH_TRACKERS]
)
REAL = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n == "crepe" else n for n in PITCH_TRACKERS if n != "rmvpe"],
)


@REAL
def test_a_glissando_is_followed_within_ten_cents(name: str) -> None:
    wave, f0 = glissando(180.0, 240.0)
    track = tracker_of(name).track(wave, RATE_HZ, HOP)
    inner = slice(4, -4)
    assert track.voiced[inner].all()
    cents = 1200 * np.log2(track.f0_hz[inner] / f0[::HOP][: len(track.f0_hz)][inner])
    assert np.median(np.abs(cents)) <= 10
    assert np.abs(cents).max() < 50


@REAL
def test_an_octave_up_is_twice_the_pitch(name: str) -> None:
    medians = []
    for f0 in (150.0, 300.0):
        track = tracker_of(name).track(glissando(f0, f0)[0], RATE_HZ, HOP)
        medians.append(np.median(track.f0_hz[track.voiced]))
    assert abs(1200 * np.log2(medians[1] / medians[0]) - 1200) <= 20


@REAL
def test_the_level_does_not_matter(name: str) -> None:
    wave, _ = glissando(220.0, 220.0)
    medians = [
        np.median(track.f0_hz[track.voiced])
        for track in (tracker_of(name).track(np.float32(gain) * wave, RATE_HZ, HOP) for gain in (0.1, 1.0))
    ]
    assert abs(1200 * np.log2(medians[1] / medians[0])) <= 5


@ALL
def test_silence_is_unvoiced(name: str) -> None:
    track = tracker_of(name).track(np.zeros(4000, dtype=np.float32), RATE_HZ, HOP)
    assert len(track.f0_hz) == 25
    assert not track.voiced.any()
    assert not track.f0_hz.any()


@ALL
@pytest.mark.parametrize("n_samples", [0, 1, 2, 100, 161, 700, 961, 1100])
def test_short_sounds_give_a_track(name: str, n_samples: int) -> None:
    wave = (0.1 * np.sin(np.arange(n_samples) * 0.1)).astype(np.float32)
    check_track(tracker_of(name).track(wave, RATE_HZ, HOP), n_samples // HOP)


@ALL
@pytest.mark.parametrize(
    ("rate_hz", "hop", "extra"), [(44_100, 512, 0), (44_100, 441, -1), (24_000, 480, 2), (16_000, 320, 0)]
)
def test_any_hop_gives_the_asked_frames(name: str, rate_hz: int, hop: int, extra: int) -> None:
    wave, _ = glissando(220.0, 220.0, 0.25, rate_hz)
    track = tracker_of(name).track(wave, rate_hz, hop, len(wave) // hop + extra)
    check_track(track, len(wave) // hop + extra)
    assert (track.hop_samples, track.sample_rate_hz) == (hop, rate_hz)
    if name != "rmvpe":
        assert abs(1200 * np.log2(np.median(track.f0_hz[track.voiced]) / 220)) < 15


@REAL
def test_frames_lie_where_the_sound_is(name: str) -> None:
    rate_hz, hop = 44_100, 441
    wave, _ = glissando(220.0, 220.0, 0.6, rate_hz)
    wave[: int(0.2 * rate_hz)] = 0
    wave[int(0.45 * rate_hz) :] = 0
    track = tracker_of(name).track(wave, rate_hz, hop)
    voiced = np.flatnonzero(track.voiced)
    assert abs(track.times_s[voiced[0]] - 0.2) <= 0.04
    assert abs(track.times_s[voiced[-1]] - 0.45) <= 0.04


def check_track(track: PitchTrack, n_frames: int) -> None:
    assert track.f0_hz.shape == track.voiced.shape == (n_frames,)
    assert (track.f0_hz.dtype, track.voiced.dtype) == (np.float32, np.bool_)
    assert np.isfinite(track.f0_hz).all()
    np.testing.assert_array_equal(track.f0_hz > 0, track.voiced)


@pytest.mark.parametrize("name", ["pm", "dio"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n_samples=st.integers(0, 6000), level=st.sampled_from([1e-8, 1e-3, 1.0, 100.0]))
def test_noise_never_gives_nan(name: str, seed: int, n_samples: int, level: float) -> None:
    wave = (level * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)
    check_track(tracker_of(name).track(wave, RATE_HZ, HOP), n_samples // HOP)


@ALL
def test_what_cannot_be_followed_is_refused(name: str) -> None:
    tracker = tracker_of(name)
    with pytest.raises(AudioError, match="mono"):
        tracker.track(np.zeros((2, 800), dtype=np.float32), RATE_HZ, HOP)
    with pytest.raises(AudioError, match="NaN"):
        tracker.track(np.full(800, np.nan, dtype=np.float32), RATE_HZ, HOP)
    with pytest.raises(AudioError, match="asked for 9 pitch frames of a sound that holds 5"):
        tracker.track(np.zeros(800, dtype=np.float32), RATE_HZ, HOP, 9)
    with pytest.raises(SettingsError, match="at least 1"):
        tracker.track(np.zeros(800, dtype=np.float32), RATE_HZ, 0)


def test_times_are_the_frame_centres() -> None:
    track = PitchTrack(np.zeros(3, dtype=np.float32), np.zeros(3, dtype=bool), 441, 44_100)
    np.testing.assert_allclose(track.times_s, [0, 0.01, 0.02])


def test_the_table_is_readable_without_torch() -> None:
    code = (
        "import sys; from timbre.pitch.trackers import PITCH_TRACKERS, resolve_tracker; resolve_tracker('auto'); "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_entry_is_complete() -> None:
    for name, spec in PITCH_TRACKERS.items():
        assert spec.help and spec.licence, name
        assert spec.range_hz[0] < spec.range_hz[1]
        module, _, function = spec.factory.partition(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_auto_is_praat() -> None:
    assert resolve_tracker("auto") == "pm"
    assert type(load_tracker("auto")).__name__ == "PmTracker"
    assert pitch_range("auto") == (50.0, 1100.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: load_tracker("crape"), SettingsError, "'crape'; it must be one of: auto, pm"),
        (lambda: load_tracker("pm", voiced_threshold=1.5), SettingsError, "from 0 to 1"),
        (lambda: load_tracker("pm", weights_file="x.pt"), SettingsError, "takes no weights file"),
        (lambda: load_tracker("pm", device="tpu"), DeviceError, "it must be cpu, cuda, cuda:N or mps"),
        (lambda: load_tracker("pm", device="cuda:99"), DeviceError, "not available"),
        (lambda: load_tracker("rmvpe"), MissingWeightsError, r"rmvpe\.pt"),
        (lambda: load_tracker("rmvpe", weights_file="/none.pt"), MissingWeightsError, "no weights file"),
    ],
)
def test_loading_says_what_is_wrong(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = dataclasses.replace(PITCH_TRACKERS["dio"], package="no_such_package")
    monkeypatch.setitem(trackers.PITCH_TRACKERS, "dio", absent)
    assert not is_installed("dio")
    with pytest.raises(MissingExtraError, match=r"timbre\[pitch\]"):
        load_tracker("dio")


@pytest.mark.parametrize("name", ["rmvpe", "fcpe"])
def test_weights_of_another_network_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "other.pt"
    torch.save({"model": {"layer.weight": torch.zeros(2)}, "config": {"mel": {}}}, path)
    with pytest.raises(WeightsError):
        load_tracker(name, weights_file=path)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match=r"'other\.pt' holds no"):
        load_tracker(name, weights_file=path)


def test_another_threshold_is_another_tracker() -> None:
    torch.manual_seed(0)
    network = FcpeNetwork(FcpeSizes(width=8, n_layers=1)).eval().requires_grad_(False)
    network.cent_table += torch.linspace(2051, 9151, 360)
    wave = (0.3 * np.random.default_rng(0).standard_normal(8000)).astype(np.float32)
    strict, loose = (FcpeTracker(network, threshold).track(wave, RATE_HZ, HOP) for threshold in (1.0, 0.0))
    assert strict.voiced.sum() == 0
    assert loose.voiced.sum() == 50
