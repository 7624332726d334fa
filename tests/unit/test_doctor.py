"""The examination of an installation, with stand-ins for voices, conversion and pitch."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from timbre.cli.main import main
from timbre.doctor.devices import read_processor
from timbre.doctor.packages import installed_packages
from timbre.doctor.privacy import shorten_home
from timbre.doctor.self_test import SAMPLE_RATE_HZ, TONE_HZ, TONE_S, vowel_tone
from timbre.errors import VoiceError
from timbre.pitch.contract import PitchTrack

_DETUNE = 2 ** (30 / 1200)  # 30 cents


def _peak_pitch(wave: np.ndarray, rate_hz: int, hop_samples: int) -> PitchTrack:
    """Stand in for a pitch tracker: one pitch for the whole wave, from the distance of its harmonics."""
    n_frames = len(wave) // hop_samples
    if not np.abs(wave).max() > 1e-4:
        return PitchTrack(np.zeros(n_frames, np.float32), np.zeros(n_frames, bool), hop_samples, rate_hz)
    spectrum = np.log(np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 4 * len(wave))) + 1e-3)
    hz = np.fft.rfftfreq(4 * len(wave), 1 / rate_hz)
    grid_hz = np.arange(80, 500, 0.25)
    score = [np.interp(f0 * np.arange(1, 13), hz, spectrum).sum() for f0 in grid_hz]
    f0_hz = np.full(n_frames, grid_hz[int(np.argmax(score))], np.float32)
    return PitchTrack(f0_hz, np.ones(n_frames, bool), hop_samples, rate_hz)


@pytest.fixture
def conversion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Replace catalog, conversion and tracker; `speed` resamples the tone, `level` scales it, `error` is raised."""
    state = SimpleNamespace(cards=[SimpleNamespace(name="nora", path=str(tmp_path))], speed=1.0, level=1.0, error=None)

    def convert_files(sources: list[Path], output: Path, *_: Any, **__: Any) -> Iterator[None]:
        if state.error is not None:
            raise state.error
        wave, rate_hz = soundfile.read(sources[0])
        where = np.arange(0, len(wave) - 1, state.speed)
        soundfile.write(output, state.level * np.interp(where, np.arange(len(wave)), wave), rate_hz)
        yield

    catalog = {"load_voice": lambda name, device: name}
    tracker = SimpleNamespace(track=lambda wave, rate_hz, hop_samples: _peak_pitch(wave, rate_hz, hop_samples))
    for name, content in {
        "timbre.voice.catalog": catalog,
        "timbre.voice.shelf": {"list_voices": lambda: state.cards, "ASSETS": tmp_path},
        "timbre.convert.files": {"convert_files": convert_files},
        "timbre.pitch.trackers": {"load_tracker": lambda name: tracker},
    }.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return state


def run_doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the JSON report."""
    code = main(["doctor", "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_healthy_installation(conversion: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run_doctor(capsys)
    assert (code, report["healthy"]) == (0, True)
    test = report["self_test"]
    assert test["passed"] is True
    assert test["voice"] == "nora"
    assert test["pitch_error_cents"] < 5
    assert test["times_real_time"] == pytest.approx(TONE_S / test["convert_s"])


def test_pitch_error_is_measured(conversion: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    conversion.speed = _DETUNE
    code, report = run_doctor(capsys)
    assert code == 0
    assert report["self_test"]["pitch_error_cents"] == pytest.approx(30, abs=3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"speed": 1.1}, "FAILED with voice nora: pitch 165 cents off"),
        ({"level": 0.0}, "FAILED with voice nora: the converted tone has no pitch"),
        ({"error": VoiceError("the voice is incomplete")}, "FAILED with voice nora: the voice is incomplete"),
    ],
)
def test_failed_self_test_exits_with_1(
    conversion: SimpleNamespace, change: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    conversion.__dict__.update(change)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert told in out
    assert "result: something is wrong" in out


def test_error_hides_the_home_folder(
    conversion: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/somebody"))
    conversion.error = VoiceError("cannot read /home/somebody/voices/nora")
    _, report = run_doctor(capsys)
    assert report["self_test"]["error"] == "cannot read ~/voices/nora"
    assert "somebody" not in json.dumps(report)


def test_self_test_can_be_left_out(conversion: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    conversion.error = VoiceError("must not be reached")
    assert main(["doctor", "--no-self-test"]) == 0
    assert "self-test: not run" in capsys.readouterr().out


def test_no_voice_is_said(conversion: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    conversion.cards = []
    assert main(["doctor"]) == 0
    assert "no voice on this machine" in capsys.readouterr().out


def test_missing_core_package_is_unwell(
    conversion: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from timbre.doctor import report as report_module

    states = [
        dataclasses.replace(state, version=None) if state.name == "soxr" else state for state in installed_packages()
    ]
    monkeypatch.setattr(report_module, "installed_packages", lambda: tuple(states))
    assert main(["doctor", "--no-self-test"]) == 1
    assert "soxr               not installed  [core]" in capsys.readouterr().out


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Callable[[str], Path]:
    """Write a processor table and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        return path

    return write


def test_processor_of_the_table(cpuinfo: Callable[[str], Path]) -> None:
    found = read_processor(
        cpuinfo("model name\t: Fast One\nflags\t\t: fpu avx2 avx512f amx_bf16\n\nmodel name: Second\n")
    )
    assert found.model == "Fast One"
    assert found.instructions == ("avx2", "avx512f", "amx_bf16")


def test_processor_of_an_arm_table(cpuinfo: Callable[[str], Path]) -> None:
    assert read_processor(cpuinfo("Features : fp asimd i8mm\n")).instructions == ("asimd", "i8mm")


def test_processor_without_a_table_has_unknown_instructions(tmp_path: Path) -> None:
    assert read_processor(tmp_path / "absent").instructions is None


def test_packages_are_found_by_metadata() -> None:
    versions = {state.name: state.version for state in installed_packages()}
    assert versions["numpy"] == np.__version__


def test_home_folder_is_shortened_and_root_is_not() -> None:
    assert shorten_home("/home/nora/a and /home/nora/b", "/home/nora") == "~/a and ~/b"
    assert shorten_home("/a", "/") == "/a"


def test_vowel_tone_has_the_pitch_it_claims() -> None:
    wave = vowel_tone()
    assert (wave.dtype, wave.shape) == (np.float32, (int(TONE_S * SAMPLE_RATE_HZ),))
    assert 0.25 < np.abs(wave).max() <= 0.3
    track = _peak_pitch(wave, SAMPLE_RATE_HZ, 441)
    assert track.f0_hz[0] == pytest.approx(TONE_HZ, abs=0.5)
