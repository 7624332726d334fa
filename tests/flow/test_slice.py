"""`timbre slice`: recordings into clips, at silences and by labels."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.flow.command import Outcome, WorkFolder, stops_writing
from tests.toys import glide
from timbre.audio.resample import resample
from timbre.config.cutting import CutSettings

RATE = 8000
OUTPUT_RATE = 44_100
QUICK = ("--min-length-ms", 400, "--shortest-s", 0.4, "--longest-s", 2, "--least-s", 0.2, "--max-silence-kept-ms", 100)

Wave = np.ndarray


@pytest.fixture(autouse=True)
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def phrases(*seconds: float, rate: int = RATE) -> Wave:
    """Sung phrases of these lengths, each followed by a second of silence [N]."""
    return np.concatenate([np.pad(glide(each, rate), (0, rate)) for each in seconds])


def record(path: Path, wave: Wave, rate: int = RATE, **options: Any) -> Path:
    """Write a wave [N] or [C, N] without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave.T, rate, **{"subtype": "PCM_24", **options})
    return path


def length(path: Path) -> int:
    return int(soundfile.info(path).frames)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def sliced(work: WorkFolder, *words: object, options: tuple[object, ...] = QUICK) -> Outcome:
    outcome = work.run("slice", *words, *options)
    assert outcome.code == 0, outcome
    return outcome


def test_phrases_become_numbered_clips(work: WorkFolder) -> None:
    song = record(work / "söng.wav", phrases(0.6, 0.9, 1.2))
    outcome = sliced(work, song, "-o", "clips")
    assert names(work / "clips") == ["söng_001.wav", "söng_002.wav", "söng_003.wav"]
    for name, seconds in zip(names(work / "clips"), (0.6, 0.9, 1.2), strict=True):
        info = soundfile.info(work / "clips" / name)
        assert (info.samplerate, info.channels, info.subtype) == (OUTPUT_RATE, 1, "PCM_24")
        assert seconds - 0.05 < info.duration < seconds + 0.25
    assert "3 clips of" in outcome.out and "söng_003.wav" in outcome.out


def test_clips_are_parts_of_the_resampled_recording(work: WorkFolder) -> None:
    wave = phrases(0.6, 0.9)
    outcome = sliced(work, record(work / "a.wav", wave), "-o", "clips", "--json")
    whole = resample(wave, RATE, OUTPUT_RATE)
    for row in outcome.rows:
        start = round(row["start_s"] * OUTPUT_RATE)
        written, _ = soundfile.read(work / row["output"], dtype="float32")
        assert len(written) == row["n_samples"] == round(row["end_s"] * OUTPUT_RATE) - start
        assert np.abs(written - whole[start : start + len(written)]).max() < 2e-5


def test_long_phrase_is_split_and_short_one_left_out(work: WorkFolder) -> None:
    song = record(work / "a.wav", np.concatenate([phrases(3.0), np.zeros(RATE, dtype=np.float32), phrases(0.05)]))
    options = ("--min-length-ms", 400, "--longest-s", 2, "--shortest-s", 0.5, "--least-s", 0.4)
    outcome = sliced(work, song, "-o", "clips", options=(*options, "--max-silence-kept-ms", 50))
    assert len(names(work / "clips")) == 2
    assert "left out: 0:0" in outcome.out and "less than least_s, 0.4 s" in outcome.out


def test_verses_of_a_chapter(work: WorkFolder) -> None:
    chapter = record(work / "chapter.flac", np.stack([glide(8.0, 22_050)] * 2), 22_050)
    times = [(0.3 * verse + 0.005, 0.3 * verse + 0.2 + 0.0031 * verse) for verse in range(26)]
    lines = [f"{start:.4f}\t{end:.4f}\tVers {number}" for number, (start, end) in enumerate(times, start=1)]
    (work / "verses.txt").write_text("\n".join(lines))
    sliced(work, chapter, "--labels", work / "verses.txt", "-o", "verses", options=())
    assert len(names(work / "verses")) == 26
    for line in lines:
        start, end, name = line.split("\t")
        info = soundfile.info(work / "verses" / f"{name}.wav")
        assert (info.samplerate, info.channels) == (OUTPUT_RATE, 1)
        assert info.frames == round((float(end) - float(start)) * OUTPUT_RATE)


def test_labels_may_overlap_touch_the_end_and_come_in_any_order(work: WorkFolder) -> None:
    wave = glide(1.0, RATE)
    (work / "l.csv").write_text("0.5,1.0004,b\n0,0.75,a\n0.2,0.2001,c\n")
    song = record(work / "a.wav", wave)
    outcome = sliced(work, song, "--labels", "l.csv", "-o", "o", "--rate", RATE, "--format", "flac", options=())
    for name, start, end in [("a", 0, 6000), ("b", 4000, 8000), ("c", 1600, 1601)]:
        written, rate = soundfile.read(work / "o" / f"{name}.flac", dtype="float32")
        assert rate == RATE and np.abs(written - wave[start:end]).max() < 1e-6
    assert "'a' (line 2) and 'c' (line 3) overlap, and 1 more do" in outcome.err


def test_label_names_of_any_kind_become_safe_and_different_names(work: WorkFolder) -> None:
    labels = ["../../x", "/etc/passwd", "é", "e\u0301", "É", "第一節", "", "con", "a" * 400]
    lines = [f"{number}\t{number + 1}\t{name}" for number, name in enumerate(labels)]
    (work / "l.txt").write_text("\n".join(lines), encoding="utf-8")
    song = record(work / "a.wav", glide(9.0, 1000), 1000)
    sliced(work, song, "--labels", "l.txt", "-o", "deep/o", "--rate", 1000, options=())
    expected = ["_.._x", "_etc_passwd", "é", "é_2", "É_3", "第一節", "007", "_con", "a" * 200]
    assert names(work / "deep") == sorted(f"o/{name}.wav" for name in expected)


def test_each_speaker_has_a_folder(work: WorkFolder) -> None:
    (work / "l.csv").write_text("start,end,speaker,name\n0,0.5,Ann/../B,x\n0.2,0.4,Zoë,x\n0.1,0.2,,x\n")
    song = record(work / "a.wav", glide(1.0, RATE))
    outcome = sliced(work, song, "--labels", "l.csv", "-o", "o", "--json", options=())
    assert names(work / "o") == ["Ann_.._B/x.wav", "Zoë/x.wav", "x.wav"]
    assert [row["speaker"] for row in outcome.rows] == ["Ann/../B", "Zoë", None]


def test_channels_are_mixed_or_kept(work: WorkFolder) -> None:
    voice = phrases(0.8)
    song = record(work / "a.wav", np.stack([voice, 0.5 * voice]))
    sliced(work, song, "-o", "mono", "--rate", RATE)
    sliced(work, song, "-o", "both", "--rate", RATE, "--keep-channels")
    mono, _ = soundfile.read(work / "mono/a_001.wav", always_2d=True, dtype="float32")
    both, _ = soundfile.read(work / "both/a_001.wav", always_2d=True, dtype="float32")
    assert mono.shape[1] == 1 and both.shape == (len(mono), 2)
    assert np.abs(both.mean(axis=1) - mono[:, 0]).max() < 1e-6


def test_folders_keep_their_form_and_results_are_no_sources(work: WorkFolder) -> None:
    record(work / "in/a.wav", phrases(0.6))
    record(work / "in/sub/a.flac", phrases(0.6))
    for force in ([], ["--force"]):
        sliced(work, work / "in", "-o", work / "in/clips", *force)
        assert names(work / "in/clips") == ["a_001.wav", "sub/a_001.wav"]


def test_the_same_input_gives_the_same_bytes(work: WorkFolder) -> None:
    song = record(work / "a.wav", phrases(0.6, 0.9))
    sliced(work, song, "-o", "one")
    sliced(work, song, "-o", "two")
    for name in names(work / "one"):
        assert (work / "one" / name).read_bytes() == (work / "two" / name).read_bytes()


def test_dry_run_lists_the_cuts_and_writes_nothing(work: WorkFolder) -> None:
    song = record(work / "a.wav", phrases(0.6, 0.9))
    before = work.tree()
    outcome = sliced(work, song, "-o", "clips", "--dry-run")
    assert "2 clips of" in outcome.out and "would be written" in outcome.out and "a_002.wav" in outcome.out
    assert work.tree() == before


def test_earlier_clips_are_overwritten_by_force_only_and_those_left_are_told(work: WorkFolder) -> None:
    song = record(work / "a.wav", phrases(0.6, 0.9, 0.7))
    sliced(work, song, "-o", "clips")
    record(song, phrases(0.6))
    work.refuses_to_run("slice", song, "-o", "clips", *QUICK, says="a_001.wav exists; use --force")
    outcome = sliced(work, song, "-o", "clips", "--force")
    assert "of an earlier run, a_002.wav is left, and 1 more" in outcome.err


def test_limited_peaks_are_told_once(work: WorkFolder, caplog: pytest.LogCaptureFixture) -> None:
    song = record(work / "a.wav", 8 * phrases(0.6, 0.9), subtype="FLOAT")
    outcome = sliced(work, song, "-o", "clips")
    assert outcome.err.count("beyond full scale") == 1 and "in 2 of 2 clips" in outcome.err
    assert not caplog.records


def test_one_bad_recording_does_not_stop_the_rest(work: WorkFolder) -> None:
    record(work / "in/a.wav", phrases(0.6))
    (work / "in/b.wav").write_text("no sound at all\n" * 50)
    (work / "in/c.wav").write_bytes(b"")
    record(work / "in/d.wav", np.zeros(RATE))
    record(work / "in/e.wav", np.append(phrases(0.6), np.float32(np.nan)), subtype="FLOAT")
    record(work / "in/f.mp3", phrases(0.9), format="MP3", subtype=None)
    outcome = work.run("slice", "in", "-o", "clips", *QUICK)
    assert names(work / "clips") == ["a_001.wav", "f_001.wav"]
    assert outcome.code == 2 and "3 of 6 recordings could not be cut" in outcome.err
    for sentence in ("b.wav is in another format", "c.wav is empty", "it is digital silence", "e.wav holds NaN"):
        assert sentence in outcome.out
    rows = [json.loads(line) for line in work.run("slice", "in", "-o", "x", *QUICK, "--json").out.splitlines()]
    assert sum("reason" in row for row in rows) == 4 and sum("output" in row for row in rows) == 2


def test_a_recording_that_is_cut_off_is_cut_as_far_as_it_goes(work: WorkFolder) -> None:
    song = record(work / "a.wav", phrases(0.6, 0.9))
    song.write_bytes(song.read_bytes()[: round(1.0 * RATE * 3)])
    outcome = sliced(work, song, "-o", "clips")
    assert names(work / "clips") == ["a_001.wav"] and "ends before its header says so" in outcome.err
    (work / "l.csv").write_text("0,0.5,a\n1.2,2,b\n")
    work.refuses_to_run("slice", song, "--labels", "l.csv", "-o", "o", says="a.wav is 0.998 s long")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["bad.wav", "-o", "o"], "bad.wav is in another format"),
        (["none.wav", "-o", "o"], "none.wav does not exist"),
        (["a.wav", "-o", "o.wav"], "o.wav names a file; the clips need a folder"),
        (["a.wav", "-o", "bad.wav/x"], "bad.wav is a file; the results need a folder"),
        (["a.wav", "in/a.wav", "-o", "o"], "would have the same names"),
        (["a.wav", "a.flac", "-o", "o"], "would have the same names"),
        (["a.wav", "-o", "o", "--rate", "10"], "rate is 10; it must be from 1000 to 384000"),
        (["a.wav", "-o", "o", "--format", "mp3"], "format is 'mp3'; it must be one of: wav, flac"),
        (["a.wav", "-o", "o", "--longest-s", "5"], "raise longest_s to at least 8.1"),
        (["a.wav", "-o", "o", "--tier", "x"], "--tier belongs to --labels"),
        (["a.wav", "-o", "o", "--labels", "l.csv", "--least-s", "1"], "--labels says where to cut"),
        (["a.wav", "a.flac", "-o", "o", "--labels", "l.csv"], "labels belong to one recording, but 2 were given"),
        (["a.wav", "-o", "o", "--labels", "bad.wav"], "bad.wav line 1: the start is"),
        (["a.wav", "-o", "o", "--labels", "a.flac"], "a.flac is no text"),
        (["a.wav", "-o", "o", "--labels", "l.csv"], "l.csv line 2: the label 'b' ends at 60 s, but a.wav is 1.600 s"),
        (["a.wav", "-o", "."], "a_001.wav exists; use --force"),
        (["a.wav", "a_001.wav", "-o", ".", "--force", *map(str, QUICK)], "a_001.wav is itself a source"),
        (["a.wav", "-o", "o", "--labels", "own.csv"], "o/a.wav exists; use --force"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    work: WorkFolder, words: list[str], sentence: str
) -> None:
    for name in ("a.wav", "a.flac", "in/a.wav", "a_001.wav", "o/a.wav"):
        record(work / name, phrases(0.6))
    (work / "bad.wav").write_text("no sound at all\n" * 50)
    (work / "l.csv").write_text("0,1,a\n1,1:00,b\n")
    (work / "own.csv").write_text("0,1,a\n")
    work.refuses_to_run("slice", *words, says=sentence)


def test_a_silent_recording_is_told_to_be_silent(work: WorkFolder) -> None:
    song = record(work / "a.wav", np.zeros(RATE))
    before = work.tree()
    outcome = work.run("slice", song, "-o", "clips")
    assert outcome.code == 2 and "no clips were found (nothing is above threshold_db" in outcome.err
    assert work.tree() == before


def test_full_disk_leaves_whole_clips_only(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    song = record(work / "a.wav", phrases(0.6, 0.9, 0.7))
    record(work / "b.wav", phrases(0.6))
    whole = sliced(work, song, "-o", "whole", "--json").rows
    full = soundfile.LibsndfileError(2)
    stops_writing(monkeypatch, lambda: full, after=4)
    outcome = work.run("slice", song, work / "b.wav", "-o", "clips", *QUICK)
    assert outcome.code == 2 and "check the space on the disk" in outcome.err
    left = names(work / "clips")
    assert left == ["a_001.wav"]
    assert length(work / "clips" / left[0]) == whole[0]["n_samples"]


def test_interruption_leaves_nothing_half_done(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    song = record(work / "a.wav", phrases(0.6))
    before = work.tree()
    stops_writing(monkeypatch, KeyboardInterrupt, after=1)
    assert work.run("slice", song, "-o", "clips", *QUICK).code == 130
    assert work.tree() == before


def test_a_recording_that_shrinks_meanwhile_is_told(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from timbre.prepare import slicing_files

    song = record(work / "a.wav", phrases(0.6, 0.9))
    check = slicing_files.check_targets

    def shrink(*words: Any, **options: Any) -> None:
        check(*words, **options)
        record(song, phrases(0.6))

    monkeypatch.setattr(slicing_files, "check_targets", shrink)
    outcome = work.run("slice", song, "-o", "clips", *QUICK)
    assert outcome.code == 2 and "a.wav has become shorter while it was cut" in outcome.err
    assert names(work / "clips") == ["a_001.wav"]


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_recording_that_may_not_be_read(work: WorkFolder) -> None:
    song = record(work / "a.wav", phrases(0.6))
    song.chmod(0)
    work.refuses_to_run("slice", song, "-o", "clips", says="may not be read by this user")


def test_settings_of_the_command_are_those_of_the_class(work: WorkFolder) -> None:
    shown = work.run("slice", "--help").out
    for field in CutSettings().to_mapping():
        assert f"--{field.replace('_', '-')}" in shown
