"""`timbre convert` against a stand-in for the conversion: what is parsed, passed on and printed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from timbre.cli.main import main
from timbre.config.convert import ConvertSettings
from timbre.config.sovits import SovitsFiles


@dataclass(frozen=True)
class _Result:
    source: Path
    output: Path
    seconds: float
    pitch_shift_semitones: float
    notes: tuple[str, ...]
    elapsed_s: float


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace voices and conversion by stand-ins; returns what the conversion was called with."""
    seen: list[dict[str, Any]] = []

    def convert_files(sources, output, voice, settings, *, force, on_progress):  # type: ignore[no-untyped-def]
        seen.append({"sources": sources, "output": output, "voice": voice, "settings": settings, "force": force})
        for index, source in enumerate(sources):
            on_progress(SimpleNamespace(source=source, done_s=1.0, total_s=2.0, file_index=index, n_files=len(sources)))
            yield _Result(source, output, 10.0, 5.0, ("limited 3 samples",), 0.5)

    files, catalog = ModuleType("timbre.convert.files"), ModuleType("timbre.voice.catalog")
    files.__dict__.update(
        check_request=lambda *request: None, convert_files=convert_files, use_threads=lambda threads: None
    )
    catalog.__dict__.update(
        load_voice=lambda name, device: ("named", name, device),
        voice_like=lambda paths, device: ("like", list(paths), device),
        sovits_voice=lambda files, weights_dir, device: (("files", files, device), ("beware",)),
    )
    monkeypatch.setitem(sys.modules, "timbre.convert.files", files)
    monkeypatch.setitem(sys.modules, "timbre.voice.catalog", catalog)
    return seen


def test_named_voice(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "a.wav", "-o", "out.wav", "--voice", "nora"]) == 0
    assert calls == [
        {
            "sources": [Path("a.wav")],
            "output": Path("out.wav"),
            "voice": ("named", "nora", "cpu"),
            "settings": ConvertSettings(),
            "force": False,
        }
    ]
    captured = capsys.readouterr()
    assert captured.out == (
        "a.wav -> out.wav: 10.0 s, pitch +5.0 semitones, took 0.5 s (20.0 times real time)\n  note: limited 3 samples\n"
    )
    assert captured.err == ""


def test_voice_like_references_with_settings(calls: list[dict[str, Any]]) -> None:
    words = ["a.wav", "b.wav", "--output", "out", "--like", "x.wav", "--like", "y.wav", "--force"]
    assert main(["convert", *words, "--pitch-shift", "-3", "--silence", "keep", "--device", "cuda:1"]) == 0
    assert calls[0]["voice"] == ("like", [Path("x.wav"), Path("y.wav")], "cuda:1")
    assert calls[0]["sources"] == [Path("a.wav"), Path("b.wav")]
    assert calls[0]["settings"] == ConvertSettings(pitch_shift=-3.0, silence="keep", device="cuda:1")
    assert calls[0]["force"] is True


def test_files_of_so_vits_svc_in_its_own_words(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "-m", "G.pth", "-c", "c.json", "-n", "a.wav", "-t", "2", "-s", "alice", "-shd"]) == 0
    assert calls[0]["voice"] == ("files", SovitsFiles(model="G.pth", config="c.json"), "cpu")
    assert calls[0]["settings"] == ConvertSettings(
        pitch_shift=2.0, speaker="alice", shallow_diffusion=True, format="flac", slice_threshold_db=-40.0
    )
    assert calls[0]["output"] == Path("results/a.wav_2key_alice_sovdiff_pm.flac")
    assert capsys.readouterr().err == "note: beware\n"


def test_json_is_one_object_per_file(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "a.wav", "b.wav", "-o", "out", "--voice", "nora", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["source"] for row in rows] == ["a.wav", "b.wav"]
    assert rows[0]["notes"] == ["limited 3 samples"]
    assert rows[0]["elapsed_s"] == 0.5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["a.wav", "-o", "b.wav"],
            "no target voice was given; use --voice NAME (see: timbre voice list), --like RECORDING or --model G_*.pth",
        ),
        (
            ["a.wav", "-o", "b.wav", "--voice", "nora", "--like", "x.wav"],
            "--voice and --like were both given; use one of them",
        ),
        (
            ["a.wav", "-o", "b.wav", "--voice", "n", "--format", "aiff"],
            "format is 'aiff'; it must be one of: wav, flac",
        ),
        (
            ["a.wav", "-o", "b.wav", "--voice", "nora", "--model", "G.pth"],
            "--voice and --model were both given; use one of them",
        ),
        (
            ["a.wav", "-o", "b.wav", "--voice", "nora", "--diffusion-config", "d.yaml"],
            "--diffusion-config belongs to --model; leave it out with --voice",
        ),
        (["-o", "b.wav", "--voice", "n"], "missing argument"),
        (["a.wav", "--voice", "n"], "missing option '--output' / '-o'; see: timbre convert --help"),
    ],
)
def test_mistake_is_told_before_anything_is_done(
    calls: list[dict[str, Any]], words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"timbre: {sentence}")
    assert err.count("\n") == 1
    assert calls == []


def test_like_takes_several_recordings_at_once(calls: list[dict[str, Any]]) -> None:
    assert main(["convert", "a.wav", "b.wav", "--like", "r1.wav", "r2.wav", "-o", "out", "--like", "r3.wav"]) == 0
    assert calls[0]["sources"] == [Path("a.wav"), Path("b.wav")]
    assert calls[0]["voice"] == ("like", [Path("r1.wav"), Path("r2.wav"), Path("r3.wav")], "cpu")
