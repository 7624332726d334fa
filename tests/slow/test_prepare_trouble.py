"""`timbre prepare` under trouble: many kills at random moments, thousands of files, a disk that is full."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.recordings import phrase, save, write_bad, write_good
from timbre.dataset.folder import open_dataset

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="kills and limits of POSIX")]

N_KILLS, N_FILES = 20, 4000
PROGRAM = """
import pathlib, sys
from timbre.voice import shelf
shelf.ASSETS = pathlib.Path(sys.argv.pop(1))
from timbre.cli.main import run
run()
"""


def start(
    assets: Path, raw: Path, folder: Path, *words: str, before: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", PROGRAM, str(assets), "prepare", str(raw), "-o", str(folder), "--pitch", "pm", *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process and return its exit code and what it said."""
    said, errors = process.communicate()
    return process.returncode, said, errors


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files but the empty one that a run locks, which one that is killed at its very end leaves behind."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def workers_of(folder: Path) -> list[int]:
    """Return the workers of this program; no other test runs any meanwhile."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"timbre.prepare.worker" in entry.read_bytes() and (entry.parent / "cwd").resolve() == folder:
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def test_twenty_kills_leave_the_dataset_that_an_undisturbed_run_makes(
    tmp_path: Path, toy_assets_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # tells the workers of this test from others
    chance = np.random.default_rng(0)
    raw = tmp_path / "raw"
    write_good(raw)
    write_bad(raw)
    for number in range(12):
        save(raw / "eve" / f"{number}.wav", phrase(9.0, 44_100, 150 + 10 * number), 44_100)
    started = time.monotonic()
    assert finish(start(toy_assets_folder, raw, tmp_path / "calm"))[0] == 0
    usual_s = time.monotonic() - started
    wanted, folder, n_finished = contents(tmp_path / "calm"), tmp_path / "ds", 0
    for _ in range(N_KILLS):
        process = start(toy_assets_folder, raw, folder, "--workers", "2")
        time.sleep(float(chance.uniform(0.3, 1.0)) * usual_s)
        victims = [process.pid, process.pid, *workers_of(tmp_path)]  # mostly all dies, sometimes one worker
        os.kill(victims[int(chance.integers(len(victims)))], signal.SIGKILL)
        process.communicate(timeout=120)
        end = time.monotonic() + 10
        while workers_of(tmp_path) and time.monotonic() < end:
            time.sleep(0.02)
        assert workers_of(tmp_path) == []
        if (folder / "dataset.json").exists():
            open_dataset(folder)
            n_finished += 1
            assert contents(folder) == wanted
            shutil.rmtree(folder)
    code, _, errors = finish(start(toy_assets_folder, raw, folder))
    assert code == 0, errors
    assert contents(folder) == wanted
    assert n_finished < N_KILLS


def test_thousands_of_recordings(tmp_path: Path, toy_assets_folder: Path) -> None:
    chance = np.random.default_rng(0)
    for number in range(N_FILES):
        wave = (0.2 * chance.standard_normal(8_000)).astype(np.float32)
        save(tmp_path / "raw" / f"speaker {number % 3}" / f"{number:04d}.wav", wave, 8_000)
    process = start(toy_assets_folder, tmp_path / "raw", tmp_path / "ds", "--workers", "2")
    code, _, errors = finish(process)
    assert code == 0, errors
    manifest = open_dataset(tmp_path / "ds").manifest
    assert len(manifest.clips) == N_FILES and len(manifest.speakers) == 3
    assert "nothing was to do" in finish(start(toy_assets_folder, tmp_path / "raw", tmp_path / "ds"))[1]


def test_disk_that_is_full_is_told_in_one_sentence(tmp_path: Path, toy_assets_folder: Path) -> None:
    write_good(tmp_path / "raw")

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # less than a clip

    process = start(toy_assets_folder, tmp_path / "raw", tmp_path / "ds", before=limit)
    code, _, errors = finish(process)
    sentences = [line for line in errors.splitlines() if line.startswith("timbre: ")]
    assert code == 2 and len(sentences) == 1, errors
    assert "cannot be written" in sentences[0] and "space on the disk" in sentences[0]
    assert not list((tmp_path / "ds").rglob("*.part")) and not (tmp_path / "ds" / "dataset.json").exists()
    assert finish(start(toy_assets_folder, tmp_path / "raw", tmp_path / "ds"))[0] == 0
    open_dataset(tmp_path / "ds")
