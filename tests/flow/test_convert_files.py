"""`timbre convert` with toy voices: what becomes which file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.flow.command import OUTPUT_RATE, WorkFolder
from timbre import __version__
from timbre.audio.reader import probe_audio, read_audio, read_tags


def test_one_file_becomes_one_file_and_json_tells_all(work: WorkFolder) -> None:
    source = work.sing("Ærø 歌 نشيد.wav")
    outcome = work.convert(source, "-o", work / "声.flac", "--json", "--pitch-shift", "2")
    assert (outcome.code, outcome.err) == (0, "")
    (row,) = outcome.rows
    assert set(row) == {"source", "output", "seconds", "pitch_shift_semitones", "notes", "elapsed_s"}
    assert (row["source"], row["output"]) == (str(source), str(work / "声.flac"))
    assert (row["seconds"], row["pitch_shift_semitones"]) == (0.25, 2.0)
    assert row["notes"][0] == "pitch shift: as asked" and row["elapsed_s"] > 0
    info = probe_audio(work / "声.flac")
    assert (info.format, info.sample_rate_hz, info.n_channels, info.n_samples) == ("flac", 44_100, 1, 11_025)


def test_several_files_go_to_a_folder_that_is_made(work: WorkFolder) -> None:
    outcome = work.convert(work.sing("a.wav"), work.sing("b.wav"), "-o", work / "new/out", voice="björn")
    assert outcome.code == 0 and outcome.out.count(" -> ") == 2
    assert sorted(os.listdir(work / "new/out")) == ["a_björn.wav", "b_björn.wav"]


def test_folder_keeps_its_sub_folders(work: WorkFolder) -> None:
    for name in ("in/a.wav", "in/दो/三/b.wav", "in/A.WAV"):
        work.sing(name)
    (work / "in/notes.txt").write_text("no sound")
    (work / "in/._a.wav").write_bytes(b"left by another system")
    outcome = work.convert(work / "in", "-o", work / "out", "--format", "flac", "--json")
    assert outcome.code == 0
    produced = {path.relative_to(work / "out").as_posix() for path in (work / "out").rglob("*") if path.is_file()}
    assert {"a_ada.flac", "दो/三/b_ada.flac"} <= produced
    assert len(outcome.rows) == len(produced)


def test_results_inside_the_source_folder_are_no_sources(work: WorkFolder) -> None:
    work.sing("in/a.wav")
    for _ in range(2):
        assert work.convert(work / "in", "-o", work / "in/out", "--force").code == 0
    assert sorted(path.name for path in (work / "in").rglob("*.wav")) == ["a.wav", "a_ada.wav"]


def test_folder_inside_the_output_folder(work: WorkFolder) -> None:
    work.sing("songs/raw/a.wav")
    assert work.convert(work / "songs/raw", "-o", work / "songs").code == 0
    assert (work / "songs/a_ada.wav").is_file()


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("by_suffix", [True, False])
def test_every_format_says_what_it_is(work: WorkFolder, format: str, by_suffix: bool) -> None:
    source = work.sing("song.wav", seconds=0.5)
    if by_suffix:
        outcome, result = work.convert(source, "-o", work / f"x.{format.upper()}"), work / f"x.{format.upper()}"
    else:
        outcome, result = work.convert(source, "-o", work / "out", "--format", format), work / f"out/song_ada.{format}"
    assert outcome.code == 0, outcome.err
    info = probe_audio(result)
    assert (info.format.removeprefix("mpeg"), info.n_samples) == (format, 22_050) or format == "mp3"
    tags = read_tags(result)
    assert tags["title"] == "song"
    assert tags["comment"] == f"voice converted by timbre {__version__} to the voice 'ada' (timbre-base)"


def test_format_may_be_given_for_a_name_without_one(work: WorkFolder) -> None:
    (work / "out.bin").write_bytes(b"old")
    assert work.convert(work.sing("a.wav"), "-o", work / "out.bin", "--format", "flac", "--force").code == 0
    assert probe_audio(work / "out.bin").format == "flac"


def test_existing_target_needs_force(work: WorkFolder) -> None:
    source = work.sing("a.wav")
    (work / "b.wav").write_bytes(b"old")
    work.refuses(source, "-o", work / "b.wav", says="exists; use --force")
    assert work.convert(source, "-o", work / "b.wav", "--force").code == 0
    assert probe_audio(work / "b.wav").n_samples == 11_025


def test_threads_are_passed_on(work: WorkFolder) -> None:
    before = torch.get_num_threads()
    try:
        assert work.convert(work.sing("a.wav"), "-o", work / "b.wav", "--threads", "2").code == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_loud_peaks_are_limited_and_told(work: WorkFolder) -> None:
    sound, rate = soundfile.read(work.sing("a.wav", seconds=0.5))
    soundfile.write(work / "loud.wav", 40 * sound, rate, subtype="FLOAT")
    (row,) = work.convert(work / "loud.wav", "-o", work / "b.wav", "--json").rows
    assert [note for note in row["notes"] if note.startswith("peaks were turned down by up to")]
    assert 0.98 < np.abs(read_audio(work / "b.wav").samples).max() < 0.99


def test_truncated_sounds_are_converted_as_far_as_they_go_and_told(work: WorkFolder) -> None:
    for name in ("a.wav", "a.mp3"):
        data = work.sing(name, seconds=1.0).read_bytes()
        (work / name).write_bytes(data[: len(data) // 2])
        (row,) = work.convert(work / name, "-o", work / f"{name}.wav", "--json").rows
        assert 0.3 < row["seconds"] < 0.7
        assert row["notes"][1].startswith("the source ends before its header says so")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are always text there")
def test_names_that_are_no_text_and_the_command_of_its_own(toy_assets: Path, work: WorkFolder) -> None:
    work.sing("a.wav")
    odd = os.fsencode(work.folder) + b"/\xff\xfe.wav"
    os.rename(work / "a.wav", odd)
    start = f"import sys, timbre.voice.shelf as s, pathlib; s.ASSETS = pathlib.Path({str(toy_assets)!r})\n"
    start += "from timbre.cli.main import run; run()"
    words = ["convert", odd, "-o", os.fsencode(work.folder) + b"/out", "--voice", "ada"]
    done = subprocess.run([sys.executable, "-c", start, *words], capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert os.listdir(os.fsencode(work.folder) + b"/out") == [b"\xff\xfe_ada.wav"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "aiff"])
def test_every_readable_format_gives_the_exact_length(work: WorkFolder, suffix: str) -> None:
    rate, format = (48_000, {"format": "OGG", "subtype": "OPUS"}) if suffix == "opus" else (22_050, {})
    n_samples = probe_audio(work.sing(f"a.{suffix}", 0.31, rate, **format)).n_samples
    assert work.convert(work / f"a.{suffix}", "-o", work / "b.wav").code == 0
    assert probe_audio(work / "b.wav").n_samples == -(-n_samples * OUTPUT_RATE // rate)
