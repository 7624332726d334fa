"""`timbre convert` with toy voices: each mistake is one sentence, told before any work, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.flow.command import WorkFolder
from timbre.config.convert import ConvertSettings


def _nan(path: Path) -> None:
    soundfile.write(path, np.array([0.1] * 8000 + [np.nan], dtype=np.float32), 8000, subtype="FLOAT")


def _huge(path: Path) -> None:
    soundfile.write(path, np.full(800, 1e30, dtype=np.float32), 8000, subtype="FLOAT")


BAD_SOURCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "does not exist; give"),
    "empty": (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
    "no samples": (lambda path: soundfile.write(path, np.zeros(0), 8000), "holds 0 samples"),
    "text": (lambda path: path.write_text("no sound at all\n" * 50), "cannot be read here"),
    "damaged header": (lambda path: path.write_bytes(b"RIFF\x24\0\0\0WAVEfmt "), "is damaged"),
    "NaN": (_nan, "holds NaN or infinity at 1.000 s"),
    "huge": (_huge, "holds samples of 1e+30 where full scale is 1"),
    "empty folder": (lambda path: path.mkdir(), "holds no sound files"),
}


@pytest.fixture(autouse=True)
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize("kind", BAD_SOURCES)
def test_bad_source(work: WorkFolder, kind: str) -> None:
    make, sentence = BAD_SOURCES[kind]
    make(work / "bad.wav")
    work.refuses(work / "bad.wav", "-o", work / "new/out.wav", says=sentence)


@pytest.mark.parametrize("kind", [kind for kind in BAD_SOURCES if kind not in ("NaN", "huge")])
def test_all_sources_are_looked_at_before_any_work(
    work: WorkFolder, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, sentence = BAD_SOURCES[kind]
    make(work / "c.wav")
    monkeypatch.setattr("timbre.voice.catalog.load_voice", lambda *_, **__: pytest.fail("a voice was loaded"))
    work.refuses(work.sing("a.wav"), work.sing("b.wav"), work / "c.wav", "-o", work / "out", says=sentence)


def test_fault_deep_in_the_third_file_keeps_the_finished_ones(work: WorkFolder) -> None:
    _nan(work / "c.wav")
    outcome = work.convert(work.sing("a.wav"), work.sing("b.wav"), work / "c.wav", "-o", work / "out")
    assert outcome.code == 2 and "c.wav holds NaN" in outcome.err
    assert outcome.out.count(" -> ") == 2
    assert sorted(os.listdir(work / "out")) == ["a_ada.wav", "b_ada.wav"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_is_refused_and_not_waited_for(work: WorkFolder) -> None:
    os.mkfifo(work / "pipe.wav")
    outcome = work.convert(work / "pipe.wav", "-o", work / "b.wav")
    assert outcome.code == 2 and "cannot be read more than once" in outcome.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a.wav", "b.wav", "-o", "out.wav"], "out.wav names a file; several recordings need a folder"),
        (["in", "-o", "out.wav"], "out.wav names a file; several recordings need a folder"),
        (["a.wav", "-o", "out.txt"], "out.txt has the name of a file (text/plain) that holds no sound"),
        (["a.wav", "-o", "out", "--weights-dir", "nowhere"], "the folder of weights nowhere is not there"),
        (["a.wav", "b.wav", "-o", "old.bin"], "old.bin names a file; several recordings need a folder"),
        (["a.wav", "-o", "old.bin"], "old.bin is a file that does not say its sound format"),
        (["a.wav", "-o", "x.flac", "--format", "mp3"], "the output is x.flac but the format mp3"),
        (["a.wav", "-o", "x.m4a"], "x.m4a does not say its sound format"),
        (["a.wav", "-o", "x.opus"], "opus cannot hold 44100 Hz"),
        (["a.wav", "-o", "old.bin/x.wav"], "old.bin is a file; the results need a folder there"),
        (["a.wav", "in/a.wav", "-o", "out"], "would both become"),
        (["a.wav", "a.wav", "-o", "out"], "would both become"),
        (["a.wav", "-o", "a.wav", "--force"], "a.wav is itself a source"),
        (["a.wav", "-o", "link.wav", "--force"], "link.wav is itself a source"),
        (["a.wav", "a_ada.wav", "-o", ".", "--force"], "a_ada.wav is itself a source"),
        (["a.wav", "-o", "done", "--format", "wav"], "done/a_ada.wav exists; use --force"),
        (["a.wav", "b.wav", "-o", "done"], "done/a_ada.wav exists; use --force"),
        (["a.wav"], "missing option '--output'"),
        (["-o", "out"], "missing argument 'source'"),
        (["--like", "b.wav", "a.wav", "-o", "out"], "missing argument 'source'"),
    ],
)
def test_output_that_cannot_be(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    for name in ("a.wav", "b.wav", "a_ada.wav", "in/a.wav", "done/a_ada.wav"):
        work.sing(name)
    (work / "old.bin").write_bytes(b"old")
    (work / "link.wav").symlink_to(work / "a.wav")
    monkeypatch.chdir(work.folder)
    work.refuses(*words, voice=None if "--like" in words else "ada", says=sentence)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs file permissions")
def test_folder_without_permission(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    source = work.sing("a.wav")
    (work / "locked").mkdir(mode=0o500)
    if os.geteuid() == 0:  # may write everywhere
        monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) or not mode & os.W_OK)
    for output in ("locked/b.wav", "locked/sub", "locked"):
        work.refuses(source, "-o", work / output, says="may not be written to by this user")


def _wrong_values() -> list[tuple[str, str, str]]:
    """Return (option, value, sentence) beyond each bound, of a wrong type and outside the choices of each setting."""
    wrong = []
    for field in dataclasses.fields(ConvertSettings):
        low, high, choices = (field.metadata[key] for key in ("low", "high", "choices"))
        option = f"--{field.name.replace('_', '-')}"
        if low is not None:
            beyond = 1 if isinstance(field.default, int) and not isinstance(field.default, bool) else 0.5
            wrong += [(option, f"{value}", f"{field.name} is") for value in (low - beyond, high + beyond)]
            wrong += [(option, "much", f"{field.name} is 'much'"), (option, "nan", f"{field.name} is")]
        elif choices is not None:
            wrong.append((option, "much", f"{field.name} is 'much'; it must be one of: {', '.join(choices)}"))
    wrong += [
        ("--seed", "1.5", "seed is '1.5'; it must be a whole number"),
        ("--pitch", "ear", "the pitch tracker is 'ear'"),
    ]
    return wrong


@pytest.mark.parametrize(("option", "value", "sentence"), _wrong_values())
def test_setting_out_of_range_or_of_another_type(work: WorkFolder, option: str, value: str, sentence: str) -> None:
    outcome = work.run("convert", "a.wav", "-o", "b.wav", "--voice", "ada", f"{option}={value}")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"timbre: {sentence}") and outcome.err.count("\n") == 1


def test_every_setting_was_tried() -> None:
    tried = {option.removeprefix("--").replace("-", "_") for option, _, _ in _wrong_values()}
    fields = dataclasses.fields(ConvertSettings)
    flags = {field.name for field in fields if isinstance(field.default, bool)}
    with_own_tests = {"pitch_weights", "device", "speaker", "speaker_mix", "encoder_weights", "weights_dir"}
    assert tried | flags | with_own_tests == {field.name for field in fields}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--device", "cuda:99"], "device 'cuda:99' is not available"),
        (["--device", "tpu"], "the device is 'tpu'; it must be cpu, cuda, cuda:N or mps"),
        (["--pitch", "rmvpe"], "rmvpe"),
        (["--pitch", "rmvpe", "--pitch-weights", "absent.pt"], "absent.pt"),
        (["--pitch", "pm", "--pitch-weights", "any.pt"], "pitch tracker pm takes no weights file"),
        (["--silence=maybe"], "silence"),
    ],
)
def test_part_that_is_not_there(work: WorkFolder, words: list[str], sentence: str) -> None:
    work.refuses(work.sing("a.wav"), "-o", work / "b.wav", *words, says=sentence)
