"""`timbre prepare` from recordings to a dataset, with a toy encoder: what it makes, keeps, redoes and refuses."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.flow.command import WorkFolder
from tests.recordings import NFC, save, write_bad, write_good
from tests.toys import glide
from tests.toys_sovits import save_encoder
from timbre.audio.loudness import integrated_loudness
from timbre.cli.main import main
from timbre.dataset.folder import Dataset, open_dataset

PROGRAM = """
import pathlib, sys
from timbre.voice import shelf
shelf.ASSETS = pathlib.Path(sys.argv.pop(1))
from timbre.cli.main import run
run()
"""


@dataclass(frozen=True)
class Made:
    """Recordings, the dataset that was made of them, and what was said."""

    raw: Path
    folder: Path
    bad: list[str]
    said: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, toy_assets_folder: Path) -> Iterator[Made]:
    """A dataset of good and bad recordings, for reading only."""
    root = tmp_path_factory.mktemp("prepare")
    raw, folder = root / "raw", root / "ds"
    write_good(raw)
    bad = write_bad(raw)
    (raw / "notes.txt").write_text("nothing to hear")
    (raw / ".hidden.wav").write_text("nothing to hear")
    said = prepare(toy_assets_folder, raw, folder, "--workers", "2")
    yield Made(raw, folder, bad, said)


@pytest.fixture
def copied(made: Made, work: WorkFolder) -> Made:
    """The same, for a test to change."""
    raw, folder = work / "raw", work / "ds"
    for old, new in ((made.raw, raw), (made.folder, folder)):
        shutil.copytree(old, new)  # keeps times, so nothing looks changed
    return Made(raw, folder, made.bad, made.said)


def command(assets: Path, *words: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(assets), *map(str, words)]


def prepare(assets: Path, raw: Path, folder: Path, *words: object) -> str:
    """Run `timbre prepare` in a process of its own and return what it printed."""
    line = command(assets, "prepare", raw, "-o", folder, "--pitch", "pm", *words)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def times(folder: Path) -> dict[str, int]:
    """Return when each file was written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_dataset_holds_all_that_was_good(made: Made) -> None:
    dataset = open_dataset(made.folder)
    assert list(dataset.manifest.speakers) == [NFC, "ada"] == sorted([NFC, "ada"])
    by_name = {clip.name: clip for clip in dataset.manifest.clips}
    assert set(by_name) == {"широко 96k_001", "phone_001", "c_001", "one_001", "two_001", "erste", "第二"}
    assert by_name["phone_001"].speaker == NFC and by_name["phone_001"].source == f"{NFC}/phone.wav"
    assert by_name["phone_001"].source_rate_hz == 8_000
    assert (by_name["erste"].start_s, by_name["erste"].n_samples) == (0.5, 2 * 44_100)
    for speaker in dataset.manifest.speakers:
        assert 0 < len(dataset.clips("validation", speaker)) < len(dataset.clips(None, speaker))


def test_each_clip_has_its_sound_and_features(made: Made) -> None:
    dataset = open_dataset(made.folder)
    for clip in dataset.manifest.clips:
        wave, features = dataset.wave(clip), dataset.features(clip)
        assert integrated_loudness(wave, 44_100) == pytest.approx(-23, abs=0.1)
        assert features.content.shape == (clip.n_frames, dataset.manifest.content_width)
        assert clip.n_frames == -(-clip.n_samples * 16_000 // 44_100) // 160
        assert features.voiced.mean() > 0.8
        assert 140 < np.median(features.f0_hz[features.voiced]) < 420
        assert np.isfinite(features.volume).all()


def test_what_was_bad_is_named_and_counted(made: Made) -> None:
    left_out = {each.source: each.reason for each in open_dataset(made.folder).manifest.left_out}
    assert sorted(left_out) == made.bad
    for name, reason in {
        "silent": "silence",
        "short": "least",
        "empty": "0 bytes",
        "text": "format",
        "noise": "",
        "cut": "damaged",
        "copy": "same recording as Zoë",
        "labels": "line 2",
    }.items():
        found = next(text for source, text in left_out.items() if f"bad_{name}." in source)
        assert reason in found and "/raw" not in found and "\n" not in found
    assert f"left out: {len(made.bad)}" in made.said and all(name in made.said for name in made.bad)
    assert "1 other file" in made.said and "2 spellings of the speaker 'Zoë'" in made.said


def test_second_run_does_nothing(copied: Made, work: WorkFolder) -> None:
    before = times(copied.folder)
    outcome = work.run("prepare", copied.raw, "-o", copied.folder, "--pitch", "pm", "--workers", "2")
    assert outcome.code == 0 and "nothing was to do" in outcome.out and "left out: 8" in outcome.out
    assert times(copied.folder) == before


def test_touched_recording_is_told_by_its_hash(copied: Made, work: WorkFolder) -> None:
    os.utime(copied.raw / "ada" / "one.ogg")
    before = contents(copied.folder)
    outcome = work.run("prepare", copied.raw, "-o", copied.folder, "--pitch", "pm", "--json")
    assert outcome.code == 0 and outcome.rows[1]["made"] == 0
    changed = {name for name, content in contents(copied.folder).items() if before[name] != content}
    assert changed == {".prepare/sources.json"}


def test_changed_tracker_redoes_the_pitch_alone(copied: Made, work: WorkFolder) -> None:
    pytest.importorskip("pyworld")
    before = times(copied.folder)
    outcome = work.run("prepare", copied.raw, "-o", copied.folder, "--pitch", "dio")
    assert outcome.code == 0, outcome.err
    after = times(copied.folder)
    touched = {name.split("/")[1].split("-")[0] for name in after.keys() - before.keys()}
    assert touched == {"pitch"}
    assert {name for name in before.keys() & after.keys() if before[name] != after[name]} == {"dataset.json"}
    assert len(after) == len(before), "the old pitch is still there"
    assert open_dataset(copied.folder).manifest.pitch == "dio"


def test_changed_split_redoes_the_manifest_alone(copied: Made, work: WorkFolder) -> None:
    before = times(copied.folder)
    words = ("--pitch", "pm", "--validation-share", "0.5", "--seed", "3", "--vol-aug")
    assert work.run("prepare", copied.raw, "-o", copied.folder, *words).code == 0
    after = times(copied.folder)
    assert {name for name in after if before.get(name) != after[name]} == {"dataset.json"}
    assert open_dataset(copied.folder).manifest.settings["vol_aug"] is True


def test_removed_recording_leaves_the_dataset(copied: Made, work: WorkFolder) -> None:
    (copied.raw / "ada" / "one.ogg").unlink()
    n_files = len(times(copied.folder))
    assert work.run("prepare", copied.raw, "-o", copied.folder, "--pitch", "pm").code == 0
    assert len(open_dataset(copied.folder).manifest.clips) == 6
    assert len(times(copied.folder)) == n_files - 5  # clip, three kinds of features, record


def test_moved_dataset_opens_and_goes_on(copied: Made, work: WorkFolder) -> None:
    moved = work / "elsewhere" / "данные"
    moved.parent.mkdir()
    copied.folder.rename(moved)
    dataset = open_dataset(moved)
    assert dataset.features(dataset.manifest.clips[0]).content.size > 0
    assert str(copied.raw) not in (moved / "dataset.json").read_text(encoding="utf-8")
    assert "nothing was to do" in work.run("prepare", copied.raw, "-o", moved, "--pitch", "pm").out


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the processes that one has started."""
    statuses = Path("/proc").glob("[0-9]*/status")
    return [int(status.parent.name) for status in statuses if f"\nPPid:\t{process.pid}\n" in _text(status)]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Wait until the condition holds; says whether it did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def has_files(folder: Path, n_files: int) -> bool:
    return sum(path.is_file() and ".part" not in path.name for path in folder.rglob("*")) >= n_files


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="finds processes in /proc")
def test_kills_and_one_worker_give_the_same_dataset(made: Made, tmp_path: Path, toy_assets_folder: Path) -> None:
    folder = tmp_path / "ds"
    line = command(toy_assets_folder, "prepare", made.raw, "-o", folder, "--pitch", "pm", "--workers", "1")
    kept: dict[str, bytes] = {}
    for moment, (number, victim) in enumerate(((1, "parent"), (12, "parent"), (25, "worker"))):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert wait_for(lambda number=number: has_files(folder, number))
        workers = children(process)
        assert workers
        for pid in [process.pid] if victim == "parent" else workers[:1]:
            os.kill(pid, signal.SIGKILL)
        code = process.wait(60)
        assert code == (-signal.SIGKILL if victim == "parent" else 0)
        assert wait_for(lambda workers=workers: gone(workers)), "workers outlive their parent"
        whole = {name: content for name, content in contents(folder).items() if ".part" not in name}
        assert kept.items() <= whole.items() or moment == 2, "what was finished was made again"
        kept = {name: content for name, content in whole.items() if name.startswith(("clips", "features"))}
    assert contents(folder) == contents(made.folder)


def test_interruption_is_clean(made: Made, tmp_path: Path, toy_assets_folder: Path) -> None:
    folder = tmp_path / "ds"
    line = command(toy_assets_folder, "prepare", made.raw, "-o", folder, "--pitch", "pm")
    # Who starts the tests in the background may have had SIGINT ignored, which children would inherit.
    heeded = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeded)
    assert wait_for(lambda: has_files(folder, 1))
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and said.endswith("timbre: interrupted\n") and "Traceback" not in said
    assert not list(folder.rglob("*.part")) and not (folder / "dataset.json").exists()


def test_dry_run_tells_the_plan_and_writes_nothing(made: Made, work: WorkFolder) -> None:
    before = work.tree()
    outcome = work.run("prepare", made.raw, "-o", work / "ds", "--pitch", "pm", "--dry-run", "--json")
    assert outcome.code == 0 and work.tree() == before
    plan = outcome.rows[0]
    assert plan["work"]["n_to_cut"] > 7 and plan["work"]["to_hear_s"]["content"] > 25
    assert plan["cost"]["hearing_s"] > 0 and plan["cost"]["memory_bytes"] > 1e7 and plan["cost"]["disk_bytes"] > 1e5


def test_too_little_sound_is_refused_with_what_is_missing(work: WorkFolder) -> None:
    save(work / "raw" / "a.wav", glide(3.0, 16_000), 16_000)
    outcome = work.run("prepare", work / "raw", "-o", work / "ds", "--pitch", "pm")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert "3.0 s in 1 clip(s)" in outcome.err and "at least 2 clips and 10 s" in outcome.err
    assert not (work / "ds" / "dataset.json").exists() and not (work / "ds" / "features").exists()


def test_flat_folder_is_one_speaker(work: WorkFolder) -> None:
    for number in range(2):
        save(work / "Ольга" / f"{number}.wav", glide(6.0, 16_000, 150 + 20 * number), 16_000)
    words = ("--pitch", "pm", "--no-trim", "--skip-loudnorm")
    assert work.run("prepare", work / "Ольга", "-o", work / "ds", *words).code == 0
    dataset: Dataset = open_dataset(work / "ds")
    assert list(dataset.manifest.speakers) == ["Ольга"]
    clip = dataset.manifest.clips[0]
    assert clip.gain_db == 0 and float(np.abs(dataset.wave(clip)).max()) == pytest.approx(clip.source_peak, abs=1e-3)
    again = work.run("prepare", work / "Ольга", "-o", work / "ds", *words, "--speaker", "olga")
    assert again.code == 0 and "nothing was to do" in again.out
    assert list(open_dataset(work / "ds").manifest.speakers) == ["olga"]


def test_refused_before_any_work(work: WorkFolder) -> None:
    raw = work.sing("raw/a.wav").parent
    (work / "full").mkdir()
    (work / "full" / "diary.txt").write_text("mine")
    (work / "junk").mkdir()
    (work / "junk" / "a.wav").write_text("text")
    (work / "nothing").mkdir()
    for words, says in (
        ((work / "lost", "-o", work / "ds"), "is no folder"),
        ((work / "nothing", "-o", work / "ds"), "holds no recordings"),
        ((work / "junk", "-o", work / "ds"), "none of the 1 recordings"),
        ((raw, "-o", work / "full"), "is no dataset and is not empty"),
        ((raw, "-o", raw), "holds the recordings"),
        ((raw, "-o", raw / "a.wav"), "is a file"),
        ((raw, "-o", work / "ds", "--encoder", "vec768l12"), "content encoder vec768l12 needs"),
        ((raw, "-o", work / "ds", "--encoder", "vec"), "must be one of: timbre, vec768l12"),
        ((raw, "-o", work / "ds", "--pitch", "rmvpe"), "rmvpe.pt"),
        ((raw, "-o", work / "ds", "--pitch", "pn"), "must be one of: auto, pm"),
        ((raw, "-o", work / "ds", "--pitch", "pm", "--pitch-weights", "a.pt"), "takes no weights file"),
        ((raw, "-o", work / "ds", "--diffusion"), "choose another encoder"),
        ((raw, "-o", work / "ds", "--labels", work / "lost"), "labels is"),
        ((raw, "-o", work / "ds", "--skip-loudnorm", "--loudness", "peak"), "use one of them"),
        ((raw, "-o", work / "ds", "--longest-s", "5"), "longest_s is 5"),
        ((raw, "-o", work / "ds", "--device", "cuda:99"), "cuda:99"),
    ):
        work.refuses_to_run("prepare", *words, says=says)


def test_json_of_a_result(copied: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(copied.raw), "-o", str(copied.folder), "--pitch", "pm", "--json"]) == 0
    plan, result = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert plan["cost"] is None and result["clips"] == 7 and len(result["left_out"]) == len(copied.bad)


def test_features_of_sovits_voices_and_what_a_seed_touches(work: WorkFolder) -> None:
    (work / "weights").mkdir()
    save_encoder(work / "weights" / "checkpoint_best_legacy_500.pt", projected=256)
    for number in range(2):
        save(work / "raw" / f"{number}.wav", glide(6.0, 16_000, 150 + 20 * number), 16_000)
    words = ("prepare", work / "raw", "-o", work / "ds", "--encoder", "vec256l9", "--pitch", "pm", "--diffusion")
    assert work.run(*words, "--weights-dir", work / "weights", "--precision", "exact").code == 0
    dataset = open_dataset(work / "ds")
    clip = dataset.manifest.clips[0]
    features = dataset.features(clip)
    assert clip.n_frames == clip.n_samples // 512 == len(features.f0_hz) == len(features.volume)
    assert features.content.shape == (clip.n_frames, 256) and len(dataset.units(clip)) < clip.n_frames
    assert features.mel is not None and features.mel.shape == (clip.n_frames, 128)
    before = times(work / "ds")
    again = work.run(*words, "--weights-dir", work / "weights", "--precision", "exact", "--seed", "9")
    assert again.code == 0
    new = times(work / "ds").keys() - before.keys()
    assert {name.split("/")[1].split("-")[0] for name in new} == {"diffusion"}
