import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbre.cli.main import main

RATE = 22_050
needs_speaker_weights = pytest.mark.skipif(
    importlib.util.find_spec("resemblyzer") is None, reason="the package resemblyzer (speaker weights) is not installed"
)


def write_voice(path: Path, hz: float, tilt: float, seconds: float = 1.5) -> None:
    time_s = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(hz * 2 ** (np.sin(4 * np.pi * time_s) / 6)) / RATE
    path.parent.mkdir(parents=True, exist_ok=True)
    harmonics = sum(k**-tilt * np.sin(k * phase) for k in range(1, int(5000 / hz)))
    soundfile.write(path, 0.1 * (1.2 + np.cos(6 * np.pi * time_s)) * harmonics, RATE)


def write_triple(folder: Path, converted_tilt: float = 1.0) -> None:
    write_voice(folder / "source.wav", 150, tilt=2.0)
    write_voice(folder / "converted.wav", 150 * 2, converted_tilt)
    write_voice(folder / "like.flac", 300, tilt=1.0)


@needs_speaker_weights
def test_one_conversion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_triple(tmp_path)
    files = [f"--{name}={tmp_path / file}" for name, file in (("source", "source.wav"), ("converted", "converted.wav"))]
    call = ["evaluate", *files, f"--like={tmp_path / 'like.flac'}", "--language=de", "--shift=12"]
    assert main(call) == 0
    assert "voice like the target" in capsys.readouterr().out
    assert main([*call, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["similarity_to_target"] > 0.999 > numbers["similarity_floor"]
    assert numbers["shift_error_semitones"] == pytest.approx(0.0, abs=0.05)
    assert numbers["log_f0_correlation"] > 0.98
    assert numbers["word_disagreement"] is None


@needs_speaker_weights
def test_a_folder_of_conversions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_triple(tmp_path / "sung" / "one")
    write_triple(tmp_path / "two", converted_tilt=1.5)
    assert main(["evaluate", str(tmp_path), "--language=de", "--json"]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["name"] for line in lines if "name" in line] == ["two", "sung/one"]
    means = {line["mean_of"]: line["measures"]["similarity_to_target"] for line in lines if "mean_of" in line}
    assert set(means) == {"all", "sung", "overall"}
    assert means["overall"]["mean"] == pytest.approx((means["all"]["mean"] + means["sung"]["mean"]) / 2)
    assert means["overall"]["low"] <= means["overall"]["mean"] <= means["overall"]["high"]
    assert "1/2 two" in captured.err
    assert main(["evaluate", str(tmp_path), "--language=de"]) == 0
    assert "overall: mean of 2 conversions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the conversion is incomplete"),
        (["--source=a.wav", "--like=b.wav"], "the conversion is incomplete"),
        ([".", "--source=a.wav"], "both given"),
        (["absent-folder"], "is not a folder"),
        (["--source=a.wav", "--converted=b.wav", "--like=c.wav"], "a.wav"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_a_bad_file_of_a_folder_is_told_with_its_conversion_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good", "torn"):
        write_triple(tmp_path / name)
    (tmp_path / "torn" / "converted.wav").write_bytes(b"RIFF")
    assert main(["evaluate", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "conversion torn: " in captured.err and "1/2" not in captured.err
