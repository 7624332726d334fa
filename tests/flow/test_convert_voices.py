"""`timbre convert` with toy networks: voices by name, by folder and like a recording; damaged ones."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

import timbre
from tests.flow.command import WorkFolder
from timbre.audio.reader import probe_audio, read_tags
from timbre.errors import OutputError
from timbre.voice.card import safe_name
from timbre.voice.fast import FastVoice


@pytest.fixture
def copy(work: WorkFolder, toy_assets: Path) -> Path:
    """A copy of the voice `ada` beside the sounds, for tests to damage."""
    return Path(shutil.copytree(toy_assets / "voices/ada", work / "shelf/own"))


def change_card(folder: Path, **values: Any) -> None:
    card = json.loads((folder / "voice.json").read_text(encoding="utf-8"))
    (folder / "voice.json").write_text(json.dumps({**card, **values}), encoding="utf-8")


def change_tensor(folder: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    tensors = {key: value.clone() for key, value in load_file(folder / "reference.safetensors").items()}
    save_file({**tensors, name: change(tensors[name]).contiguous()}, folder / "reference.safetensors")


def cut_in_half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def without_licence(folder: Path) -> None:
    card = json.loads((folder / "voice.json").read_text(encoding="utf-8"))
    del card["licence"]
    (folder / "voice.json").write_text(json.dumps(card), encoding="utf-8")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no tensors": (lambda folder: (folder / "reference.safetensors").unlink(), "is damaged"),
    "half the tensors": (lambda folder: cut_in_half(folder / "reference.safetensors"), "is damaged"),
    "no card": (lambda folder: (folder / "voice.json").unlink(), "there is no voice"),
    "half a card": (lambda folder: cut_in_half(folder / "voice.json"), "cannot be read"),
    "a card of another kind": (lambda folder: (folder / "voice.json").write_text("[]"), "holds no JSON object"),
    "an unknown key": (lambda folder: change_card(folder, colour="red"), "holds the unknown colour"),
    "a missing key": (without_licence, "lacks licence"),
    "a newer format": (lambda folder: change_card(folder, format=2), "has format 2; this version of timbre reads"),
    "no number": (lambda folder: change_card(folder, median_f0_hz="high"), "has median_f0_hz 'high'"),
    "NaN pitch": (lambda folder: change_card(folder, median_f0_hz=float("nan")), "has median_f0_hz nan"),
    "languages": (lambda folder: change_card(folder, languages=5), "has languages 5"),
    "a path as name": (lambda folder: change_card(folder, name="../../evil"), "cannot be part of a file name"),
    "another base": (lambda folder: change_card(folder, base_sha256="0"), "was made for another version of"),
    "another shape": (lambda folder: change_tensor(folder, "content", lambda x: x[:, :3]), "content has the shape"),
    "another length": (lambda folder: change_tensor(folder, "f0_hz", lambda x: x[:-1]), "content has the shape"),
    "nothing in it": (lambda folder: change_tensor(folder, "f0_hz", lambda x: x[:0]), "has the shape"),
    "NaN inside": (lambda folder: change_tensor(folder, "speaker", lambda x: x * np.nan), "speaker holds NaN"),
    "a stranger's tensor": (lambda folder: save_file({"x": torch.zeros(1)}, folder / "reference.safetensors"), "damag"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_voice(work: WorkFolder, copy: Path, kind: str) -> None:
    damage, sentence = DAMAGES[kind]
    damage(copy)
    work.refuses(work.sing("a.wav"), "-o", work / "out", voice=str(copy), says=sentence)


def test_voice_by_folder_and_by_name_of_an_own_folder(
    work: WorkFolder, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_card(copy, name="nora")
    source = work.sing("a.wav")
    assert work.convert(source, "-o", work / "b.wav", voice=str(copy)).code == 0
    monkeypatch.setenv("TIMBRE_VOICES", str(work / "shelf"))
    assert work.convert(source, "-o", work / "out", voice="nora").code == 0
    assert (work / "out/a_nora.wav").read_bytes()[-2000:] == (work / "b.wav").read_bytes()[-2000:]


def test_damaged_neighbour_is_told_and_keeps_nobody_from_work(
    work: WorkFolder, copy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TIMBRE_VOICES", str(work / "shelf"))
    cut_in_half(copy / "voice.json")
    work.refuses(work.sing("a.wav"), "-o", work / "b.wav", voice="own", says="cannot be read")
    assert work.convert(work / "a.wav", "-o", work / "b.wav").code == 0
    assert [row["name"] for row in work.run("voice", "list", "--json").rows] == ["ada", "björn"]
    assert "cannot be read" in caplog.text


def test_unknown_voice_is_met_with_the_nearest_name(work: WorkFolder) -> None:
    work.refuses(work.sing("a.wav"), "-o", work / "b.wav", voice="adda", says="did you mean 'ada'?")
    work.refuses(work / "a.wav", "-o", work / "b.wav", voice="xyzzy", says="known are: ada, björn")


def test_base_that_is_missing_or_damaged(work: WorkFolder, toy_assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets = Path(shutil.copytree(toy_assets, work / "assets"))
    monkeypatch.setattr("timbre.voice.shelf.ASSETS", assets)
    source = work.sing("a.wav")
    cut_in_half(assets / "base/base.json")
    work.refuses(source, "-o", work / "b.wav", says="is damaged")
    (assets / "base/base.json").write_text('{"shape": []}')
    work.refuses(source, "-o", work / "b.wav", says="damaged")
    (assets / "base/weights.safetensors").unlink()
    work.refuses(source, "-o", work / "b.wav", says="holds no weights.safetensors")


def test_like_several_recordings_and_folders(work: WorkFolder) -> None:
    source = work.sing("a.wav")
    for name in ("refs/x.wav", "refs/deep/y.flac", "ज़ोया.ogg"):
        work.sing(name, seconds=1.2, rate=22_050)
    outcome = work.convert(source, "--like", work / "ज़ोया.ogg", work / "refs", "-o", work / "out", voice=None)
    assert outcome.code == 0, outcome.err
    result = work / "out/a_ज़ोया.wav"
    assert probe_audio(result).n_samples == 11_025
    assert "to the voice 'ज़ोया'" in read_tags(result)["comment"]


def test_like_a_long_name_with_signs_that_some_systems_refuse(work: WorkFolder) -> None:
    source, name = work.sing("a.wav"), 'what? "x"*' + 100 * "é"
    assert work.convert(source, "--like", work.sing(f"{name}.wav", 1.5), "-o", work / "out", voice=None).code == 0
    (result,) = (work / "out").iterdir()
    assert result.name == f"a_what_ _x__{70 * 'é'}.wav"


def _silence(path: Path) -> None:
    soundfile.write(path, np.zeros(16_000 * 6), 16_000)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda work: work.sing("r.wav", seconds=0.3), "s of voice; give at least 5 s of clear speech"),
        (lambda work: work.sing("r.wav", seconds=0.01), "the reference holds 0.0 s of voice; give at least"),
        (lambda work: _silence(work / "r.wav"), "the reference holds 0.0 s of voice; give at least"),
        (lambda work: (work / "r.wav").write_bytes(b"text" * 99), "r.wav is in another format and cannot be read here"),
        (lambda work: (work / "r.wav").mkdir(), "holds no sound files"),
        (lambda work: None, "r.wav does not exist"),
    ],
)
def test_unfit_reference(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch, make: Callable[[WorkFolder], object], sentence: str
) -> None:
    monkeypatch.setenv("PATH", "")  # no ffmpeg
    make(work)
    source = work.sing("a.wav")
    work.refuses(source, "--like", work / "r.wav", "-o", work / "b.wav", voice=None, says=sentence)


def test_third_reference_is_looked_at_before_the_first_is_heard(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timbre.voice.catalog.hear", lambda *_: pytest.fail("a reference was heard"))
    references = [work.sing("x.wav", 1.5), work.sing("y.wav", 1.5), work / "absent.wav"]
    source = work.sing("a.wav")
    work.refuses(source, "--like", *references, "-o", work / "b.wav", voice=None, says="absent.wav does not exist")


def test_one_way_of_naming_the_voice_is_needed(work: WorkFolder) -> None:
    source = work.sing("a.wav")
    work.refuses(source, "-o", work / "b.wav", voice=None, says="no target voice was given")
    work.refuses(source, "-o", work / "b.wav", "--like", source, says="--voice and --like were both given")


@pytest.mark.parametrize(
    ("text", "name"),
    [("a/b\\c", "a_b_c"), ("..", "voice"), (" x. ", "x"), ("\udcff\n", "__"), ("", "voice"), ("Ærø 声", "Ærø 声")],
)
def test_safe_names(text: str, name: str) -> None:
    assert safe_name(text) == name == safe_name(name)


def test_a_voice_is_saved_over_a_voice_only(toy_voice: FastVoice, tmp_path: Path) -> None:
    for _ in range(2):
        toy_voice.save(tmp_path / "own", force=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["own", "reference.safetensors", "voice.json"]
    (tmp_path / "music").mkdir()
    (tmp_path / "music/song.txt").write_text("mine")
    with pytest.raises(OutputError, match="is no voice and is not replaced by one"):
        toy_voice.save(tmp_path / "music", force=True)
    assert (tmp_path / "music/song.txt").read_text() == "mine"


def test_a_kept_voice_is_found_by_the_name_of_its_folder(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "shelf").mkdir(exist_ok=True)
    voice = timbre.load_voice("ada")
    assert voice.save(work / "shelf" / "mine").name == "mine"
    assert voice.save(work / "shelf" / "other", name="Nora B").name == "Nora B"
    assert voice.card.name == "ada"
    monkeypatch.setenv("TIMBRE_VOICES", str(work / "shelf"))
    assert work.convert(work.sing("a.wav"), "-o", work / "c.wav", voice="mine").code == 0


def test_paths_that_are_empty_or_no_files_are_refused(work: WorkFolder) -> None:
    source = work.sing("a.wav")
    work.refuses("", "-o", work / "b.wav", says="an empty path was given")
    work.refuses(source, "-o", "", says="an empty path was given")
    os.mkfifo(work / "pipe.wav")
    assert work.convert(source, "-o", work / "pipe.wav", "--force").code == 2
    assert (work / "pipe.wav").is_fifo()
    (work / "link.wav").symlink_to(work / "real.wav")
    assert work.convert(source, "-o", work / "link.wav").code == 0
    assert (work / "link.wav").is_symlink() and (work / "real.wav").is_file()


def test_a_chunk_within_its_range_is_taken(work: WorkFolder) -> None:
    assert work.convert(work.sing("a.wav"), "-o", work / "b.wav", "--max-chunk-s", "0.1").code == 0
