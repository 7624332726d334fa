"""`timbre train` under trouble: kills at random moments, and two processes that must learn as one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.toy_fast_dataset import write_fast_dataset
from timbre.train.trainee import TOTAL
from timbre.voice.base import load_base
from timbre.voice.catalog import load_voice

pytest.importorskip("accelerate")
pytest.importorskip("tensorboard")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="kills of POSIX")]

N_KILLS, N_STEPS = 20, 60
PROGRAM = """
import os, pathlib
from timbre.voice import shelf
shelf.ASSETS = pathlib.Path(os.environ["TOY_ASSETS"])
from timbre.train import pipeline, probing
probing.independent_embed = pipeline.independent_embed = lambda: None
from timbre.cli.main import run
run()
"""
QUICK = ("--segment-s", "0.3", "--precision", "exact", "--device", "cpu", "--probe-minutes", "60")


@pytest.fixture
def dataset(toy_assets: Path, tmp_path: Path) -> Path:
    return write_fast_dataset(tmp_path / "ds", load_base(toy_assets / "base"))


def start(assets: Path, folder: Path, *words: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    line = [sys.executable, *launcher, str(program), "train", *map(str, words), *QUICK]
    environment = {**os.environ, "TOY_ASSETS": str(assets), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()


def state(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step:08d}" / "state.safetensors")


def test_kills_leave_the_weights_of_an_undisturbed_run(toy_assets: Path, dataset: Path, tmp_path: Path) -> None:
    words = ("--batch-size", 2, "--steps", N_STEPS, "--checkpoint-steps", 2)
    started = time.monotonic()
    finish(start(toy_assets, tmp_path, dataset, "-o", tmp_path / "calm", *words))
    usual_s, chance = time.monotonic() - started, np.random.default_rng(0)
    for _ in range(N_KILLS):
        process = start(toy_assets, tmp_path, dataset, "-o", tmp_path / "run", *words)
        time.sleep(float(chance.uniform(0.3, 0.9)) * usual_s)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    finish(start(toy_assets, tmp_path, dataset, "-o", tmp_path / "run", *words))
    calm, killed = state(tmp_path / "calm", N_STEPS), state(tmp_path / "run", N_STEPS)
    assert calm.keys() == killed.keys()
    assert [key for key in calm if not torch.equal(calm[key], killed[key])] == []
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))
    load_voice(tmp_path / "run" / "voice")


def losses(run: Path) -> dict[int, float]:
    """Read what TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return {event.step: event.value for event in EventAccumulator(str(run / "events")).Reload().Scalars(TOTAL)}


def test_two_processes_learn_as_one_with_the_doubled_batch(toy_assets: Path, dataset: Path, tmp_path: Path) -> None:
    words = ("--steps", 20, "--base-share", 0.5)
    launcher = ("-m", "accelerate.commands.accelerate_cli", "launch", "--multi_gpu", "--num_processes", "2")
    finish(start(toy_assets, tmp_path, dataset, "-o", tmp_path / "one", "--batch-size", 4, *words))
    two = (dataset, "-o", tmp_path / "two", "--batch-size", 2, *words)
    finish(start(toy_assets, tmp_path, *two, launcher=launcher))
    assert json.loads((tmp_path / "two" / "run.json").read_text(encoding="utf-8"))["processes"] == 2
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert one.keys() == two.keys() and max(one) == 20
    for step, loss in one.items():
        assert two[step] == pytest.approx(loss, rel=1e-4), step
