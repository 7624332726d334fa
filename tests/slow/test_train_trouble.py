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

from tests.toy_diffusion_dataset import write_diffusion_config, write_diffusion_dataset
from tests.toy_fast_dataset import write_fast_dataset
from tests.toy_vits_dataset import write_tiny_config
from tests.toys_sovits import make_tree
from timbre.files.writing import PART_SUFFIX
from timbre.train.trainee import TOTAL
from timbre.voice.base import load_base
from timbre.voice.catalog import load_voice

pytest.importorskip("accelerate")
pytest.importorskip("tensorboard")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="kills of POSIX")]

N_KILLS, N_STEPS, N_VOICE_KILLS = 20, 600, 12
MOST_DELAY_S = 0.4  # after the first checkpoint of a process: some steps, a writing or what lies between
PROGRAM = """
import os, pathlib
from timbre.voice import shelf
shelf.ASSETS = pathlib.Path(os.environ["TOY_ASSETS"])
from tests.toy_training import ToyDiscriminator
from timbre.train import engine, pipeline, probing, vits_setup, vocoder
engine.SHOWN_EVERY_STEPS = 1
vits_setup.MultiPeriodDiscriminator = lambda use_spectral_norm: ToyDiscriminator()
vocoder.MultiPeriodDiscriminator = ToyDiscriminator
probing.independent_embed = pipeline.independent_embed = lambda: None
from timbre.cli.main import run
run()
"""
QUICK = ("--precision", "exact", "--device", "cpu", "--probe-minutes", "60")
SHORT = ("--segment-s", 0.3)
TWO_PROCESSES = ("-m", "accelerate.commands.accelerate_cli", "launch", "--multi_gpu", "--num_processes", "2")
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def dataset(toy_assets: Path, tmp_path: Path) -> Path:
    return write_fast_dataset(tmp_path / "ds", load_base(toy_assets / "base"))


def start(assets: Path, folder: Path, *words: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    line = [sys.executable, *launcher, str(program), "train", *map(str, words), *QUICK]
    environment = {**os.environ, "TOY_ASSETS": str(assets), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()


def state(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step:08d}" / "state.safetensors")


def newest(run: Path) -> int:
    """Return the step of the newest checkpoint, -1 where there is none."""
    return max((int(path.name[5:]) for path in (run / "checkpoints").glob("step-*")), default=-1)


def test_kills_leave_the_weights_of_an_undisturbed_run(toy_assets: Path, dataset: Path, tmp_path: Path) -> None:
    words = ("--batch-size", 2, "--steps", N_STEPS, "--checkpoint-steps", 2, *SHORT)
    finish(start(toy_assets, tmp_path, dataset, "-o", tmp_path / "calm", *words))
    chance = np.random.default_rng(0)
    for _ in range(N_KILLS):
        before = newest(tmp_path / "run")
        process = start(toy_assets, tmp_path, dataset, "-o", tmp_path / "run", *words)
        while newest(tmp_path / "run") == before:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(float(chance.uniform(0, MOST_DELAY_S)))
        assert process.poll() is None, "it ended before it was killed"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert newest(tmp_path / "run") < N_STEPS
    finish(start(toy_assets, tmp_path, dataset, "-o", tmp_path / "run", *words))
    calm, killed = state(tmp_path / "calm", N_STEPS), state(tmp_path / "run", N_STEPS)
    assert calm.keys() == killed.keys()
    assert [key for key in calm if not torch.equal(calm[key], killed[key])] == []
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))
    load_voice(tmp_path / "run" / "voice")


def test_kills_while_the_voice_is_written_leave_a_whole_one(toy_assets: Path, dataset: Path, tmp_path: Path) -> None:
    """The voice is whole after each kill, the earlier or the new one, and the next run leaves nothing unfinished."""
    run, words = tmp_path / "run", ("--batch-size", 2, "--steps", 2, *SHORT)
    finish(start(toy_assets, tmp_path, dataset, "-o", run, *words))
    chance, n_hit = np.random.default_rng(0), 0

    def unfinished() -> set[Path]:
        return set(run.glob(f".*{PART_SUFFIX}"))

    for number in range(N_VOICE_KILLS):
        share = ("--learned-share", 0.5 + 0.01 * number)  # so that it is written anew
        earlier = unfinished()  # what the kill before left, until this run removes it
        process = start(toy_assets, tmp_path, dataset, "-o", run, *words, *share)
        while process.poll() is None and not unfinished() - earlier:
            pass
        time.sleep(float(chance.uniform(0, 0.02)))
        process.kill()  # which may have ended
        process.communicate()
        n_hit += bool(unfinished() - earlier)
        load_voice(run / "voice")
    assert n_hit >= N_VOICE_KILLS / 4
    finish(start(toy_assets, tmp_path, dataset, "-o", run, *words))
    finish(start(toy_assets, tmp_path, dataset, "-o", tmp_path / "calm", *words))
    assert not list(run.rglob(f".*{PART_SUFFIX}"))
    killed, calm = (load_file(each / "voice" / "decoder.safetensors") for each in (run, tmp_path / "calm"))
    assert killed.keys() == calm.keys() and all(torch.equal(value, killed[key]) for key, value in calm.items())


def losses(run: Path) -> dict[int, float]:
    """Read what TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return {event.step: event.value for event in EventAccumulator(str(run / "events")).Reload().Scalars(TOTAL)}


def assert_two_learn_as_one(assets: Path, dataset: Path, folder: Path, n_steps: int, *words: object) -> None:
    """Check that two processes show the losses of one with the doubled batch."""
    words = (*words, "--steps", n_steps)
    finish(start(assets, folder, dataset, "-o", folder / "one", "--batch-size", 4, *words))
    two = (dataset, "-o", folder / "two", "--batch-size", 2, *words)
    finish(start(assets, folder, *two, launcher=TWO_PROCESSES))
    assert json.loads((folder / "two" / "run.json").read_text(encoding="utf-8"))["processes"] == 2
    one, apart = losses(folder / "one"), losses(folder / "two")
    assert list(one) == list(apart) == list(range(1, n_steps + 1))
    for step, loss in one.items():
        assert apart[step] == pytest.approx(loss, rel=1e-4), step


def test_two_processes_learn_as_one_with_the_doubled_batch(toy_assets: Path, dataset: Path, tmp_path: Path) -> None:
    assert_two_learn_as_one(toy_assets, dataset, tmp_path, 20, "--base-share", 0.5, *SHORT)


def test_two_processes_learn_a_so_vits_svc_model_as_one_does(toy_assets: Path, tmp_path: Path) -> None:
    """Clips of one length and no dropout: else the losses kl and lf0 and the chance of layers would be others."""
    base = load_base(toy_assets / "base")
    dataset = write_fast_dataset(tmp_path / "ds", base, seconds=1.0)
    config = write_tiny_config(tmp_path / "config.json", base.shape.content.content_channels, p_dropout=0.0)
    assert_two_learn_as_one(
        toy_assets, dataset, tmp_path, 5, "--family", "vits", "--config", config, "--learning-rate", 0.01
    )


def test_two_processes_learn_a_diffusion_model_as_one_does(toy_assets: Path, tmp_path: Path) -> None:
    dataset = write_diffusion_dataset(tmp_path / "ds")
    config = write_diffusion_config(tmp_path / "diffusion.yaml")
    assert_two_learn_as_one(toy_assets, dataset, tmp_path, 20, "--family", "diffusion", "--config", config)


def test_two_processes_learn_a_vocoder_as_one_does(toy_assets: Path, tmp_path: Path) -> None:
    dataset, vocoder = write_diffusion_dataset(tmp_path / "ds"), make_tree(tmp_path / "tree").vocoder
    assert_two_learn_as_one(toy_assets, dataset, tmp_path, 20, "--family", "vocoder", "--start", vocoder)
