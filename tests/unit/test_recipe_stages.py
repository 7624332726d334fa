"""The stages of the base's training: what each is told, on which device it runs, and that it can be cut off."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recipes.base import average, package, train_content, train_decoder
from recipes.base.__main__ import ON_DEVICE, STAGES, command_of
from recipes.base.corpus import moved
from recipes.base.training import Averaged, Chance, Clock, Meter, choose_device, run

CPU = torch.device("cpu")


class ToyTraining:
    """Learns a line from points that all three generators draw; stops like a killed process before step `killed_at`."""

    def __init__(self, killed_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.module = nn.Linear(3, 1)
        self.optimizer = torch.optim.AdamW(self.module.parameters(), 0.1)
        self.averaged = Averaged(self.module, 0.9)
        self.chance = Chance(5, CPU)
        self.killed_at = killed_at
        self.progress: dict[int, float] = {}

    def parts(self) -> dict[str, Any]:
        return {
            "module": self.module,
            "optimizer": self.optimizer,
            "averaged": self.averaged.module,
            "chance": self.chance,
        }

    def step(self, progress: float, step: int, meter: Meter) -> None:
        if step == self.killed_at:
            raise KeyboardInterrupt
        self.progress[step] = progress
        points = torch.rand(8, 3, generator=self.chance.generator) + float(self.chance.rng.random())
        loss = (self.module(points) - points.sum(dim=1, keepdim=True) + 0.1 * torch.randn(8, 1)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.averaged.update(self.module, step)
        meter.add(loss=loss)


def assert_equal_weights(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_a_killed_stage_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path) -> None:
    whole = ToyTraining()
    run(whole, tmp_path / "whole.pt", steps=9, save_every_steps=2)
    with pytest.raises(KeyboardInterrupt):
        run(ToyTraining(killed_at=7), tmp_path / "cut.pt", steps=9, save_every_steps=2)
    rest = ToyTraining()
    run(rest, tmp_path / "cut.pt", steps=9, save_every_steps=2)
    assert list(rest.progress) == [6, 7, 8]
    assert whole.progress == {step: step / 9 for step in range(9)}
    assert_equal_weights(whole.module, rest.module)
    assert_equal_weights(whole.averaged.module, rest.averaged.module)


def test_a_finished_stage_takes_no_step(tmp_path: Path) -> None:
    run(ToyTraining(), tmp_path / "run.pt", steps=4, save_every_steps=10)
    again = ToyTraining()
    run(again, tmp_path / "run.pt", steps=4, save_every_steps=10)
    assert again.progress == {}


def test_a_checkpoint_without_generators_resumes_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.pt"
    run(ToyTraining(), path, steps=3, save_every_steps=10)
    saved = torch.load(path, weights_only=True)
    del saved["chance"]
    saved["clock"] = {"spent_s": 90.0, "step": 3}
    torch.save(saved, path)
    rest = ToyTraining()
    run(rest, path, steps=5, save_every_steps=10)
    assert list(rest.progress) == [3, 4]
    assert "chance begins at the seed again" in capsys.readouterr().err
    assert torch.load(path, weights_only=True)["clock"]["spent_s"] >= 90


def test_a_line_tells_step_minutes_and_running_means() -> None:
    meter = Meter()
    for value in (1.0, 2.0, 3.0):
        meter.add(loss=torch.tensor(value))
    meter.add(seldom=torch.tensor(0.5, dtype=torch.bfloat16))
    line = json.loads(meter.line(Clock(steps=10, step=3, spent_s=120.0)))
    mean = (1.0 * 0.98 + 2.0 * 0.02) * 0.98 + 3.0 * 0.02
    assert line["step"] == 3 and line["minutes"] >= 2
    assert line["loss"] == pytest.approx(mean, abs=1e-4) and line["seldom"] == 0.5


def test_generators_of_another_kind_of_device_are_not_gone_on_from() -> None:
    chance = Chance(1, CPU)
    assert chance.knows(chance.state_dict())
    assert not chance.knows(chance.state_dict() | {"device": "cuda"})
    assert not chance.knows(None)


@pytest.mark.parametrize(("count", "chosen"), [(0, "cpu"), (1, "cuda")])
def test_auto_is_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch, count: int, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert choose_device("auto") == torch.device(chosen)
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize(("name", "message"), [("cuda", "this machine has: cpu"), ("tpu", "auto, cpu or cuda")])
def test_devices_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        choose_device(name)


def test_moved_arrays_keep_type_and_values() -> None:
    array = np.array([[1, -32768]], dtype=np.int16)
    tensor = moved(array, CPU)
    assert tensor.dtype == torch.int16 and tensor.tolist() == array.tolist()


def test_stages_that_compute_are_told_the_device() -> None:
    told = {stage.name for stage in STAGES if command_of(stage, Path("cache"), "cuda")[-2:] == ["--device", "cuda"]}
    assert told == {stage.name for stage in STAGES if stage.module in ON_DEVICE}
    assert {"content-first", "relabel-first", "taught", "decoder-warm", "copies"} <= told
    assert not {"recordings", "synthetic", "hypotheses", "phonemes"} & told


def words_of(module: str) -> list[list[str]]:
    """The arguments of the stages of a module."""
    return [command_of(stage, Path("some cache"), "cpu")[3:] for stage in STAGES if stage.module == module]


def test_training_stages_understand_their_arguments_and_build_on_earlier_ones() -> None:
    parsers = {"train_content": train_content.parse, "train_decoder": train_decoder.parse}
    made: set[tuple[str, str]] = set()
    for stage in STAGES:
        if stage.module not in parsers:
            continue
        arguments = parsers[stage.module](command_of(stage, Path("some cache"), "cpu")[3:])
        assert arguments.cache == Path("some cache") and arguments.steps > 0
        if arguments.start:
            assert (stage.module, arguments.start) in made
        made.add((stage.module, arguments.name))
    decoders = {name for module, name in made if module == "train_decoder"}
    ends = [average.parse(words) for words in words_of("average")]
    assert ends and decoders.issuperset(name for end in ends for name in (end.first, end.second))
    assert {package.parse(words).decoder for words in words_of("package")} <= {end.name for end in ends}


@pytest.mark.parametrize(
    ("parse", "words", "message"),
    [
        (train_content.parse, "--cache c --name n --steps 5", "--synthetic-only"),
        (train_content.parse, "--cache c --name n --steps 0 --synthetic-only", "must be 1 or more"),
        (train_decoder.parse, "--cache c --name n --content e --steps 1.5", "must be 1 or more"),
        (train_decoder.parse, "--cache c --name n --content e --steps 5 --joint --precise", "needs --teacher"),
        (train_decoder.parse, "--cache c --name n --content e --steps 5 --recentre", "needs --joint"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(
    parse: Any, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(words.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
