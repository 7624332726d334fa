"""`timbre train` from a dataset to a voice that converts, with toy networks: interruptions, refusals, the record."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file as load_numpy
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load_file

from tests.flow.command import WorkFolder
from tests.toy_fast_dataset import write_fast_dataset
from timbre.config.train import TrainSettings
from timbre.dataset.folder import open_dataset
from timbre.errors import SettingsError, TimbreError
from timbre.train import run_folder
from timbre.train.fast import fast_voice
from timbre.train.fast_losses import FastLosses, MelPatches
from timbre.train.pipeline import Begun, Listeners, TrainResult, train
from timbre.train.trainee import ProbeResult
from timbre.voice.base import Base, load_base
from timbre.voice.catalog import load_voice

pytest.importorskip("accelerate")
pytest.importorskip("tensorboard")
pytestmark = pytest.mark.usefixtures("cheap_judges")

QUICK = ("--batch-size", "2", "--segment-s", "0.3", "--precision", "exact", "--device", "cpu")
ANY_NUMBERS = {"similarity": 0.5, "content_distance": 0.1}
SETTINGS = {"batch_size": 2, "segment_s": 0.3, "precision": "exact", "device": "cpu"}


@pytest.fixture(scope="session")
def dataset(toy_assets_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset as the toy base hears it, for reading only."""
    return write_fast_dataset(tmp_path_factory.mktemp("fast") / "ds", load_base(toy_assets_folder / "base"))


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the picture of the scores."""
    monkeypatch.setattr("timbre.train.engine.draw_curves", lambda *_: b"")


@pytest.fixture
def no_probes(monkeypatch: pytest.MonkeyPatch, no_picture: None) -> None:
    """Leave out listening, which takes longer than learning here."""
    monkeypatch.setattr("timbre.train.fast.FastTrainee.listen_to", lambda *_: None)
    monkeypatch.setattr("timbre.train.fast.FastTrainee.sample", lambda _: None)
    monkeypatch.setattr("timbre.train.fast.FastTrainee.probe", lambda _: ProbeResult(0.0, ANY_NUMBERS))


def run(dataset: Path, folder: Path, moved: Callable[..., None] = lambda progress: None, **more: object) -> TrainResult:
    """Train in this process without the command line."""
    listeners = Listeners(lambda begun: None, moved)
    result = train(dataset, folder, TrainSettings.from_mapping({**SETTINGS, **more}), [], listeners)
    assert result is not None
    return result


def state(run_folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run_folder / "checkpoints" / f"step-{step:08d}" / "state.safetensors")


def assert_same_state(first: Path, second: Path, step: int) -> None:
    one, other = state(first, step), state(second, step)
    assert one.keys() == other.keys() and any(key.startswith("optimizer.") for key in one)
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


def test_a_dataset_becomes_a_voice_that_converts(work: WorkFolder, dataset: Path) -> None:
    facts = ("--licence", "CC0 1.0", "--consent", "it is a machine", "--name", "eva")
    made = work.run("train", dataset, "-o", work / "run", "--steps", "10", *QUICK, *facts)
    assert made.code == 0, made.err
    assert "1000 steps" in made.out and "similarity" in made.out and "10 steps were asked for" in made.out
    card = json.loads((work / "run" / "voice" / "voice.json").read_text(encoding="utf-8"))
    assert (card["name"], card["licence"], card["consent"]) == ("eva", "CC0 1.0", "it is a machine")
    assert card["base_sha256"] and card["decoder_sha256"] and card["highest_f0_hz"] > card["lowest_f0_hz"] > 0
    assert (work / "run" / "voice" / "sample.flac").is_file()
    record = json.loads((work / "run" / "voice" / "training.json").read_text(encoding="utf-8"))
    assert len(record["history"]) == 2 and record["best"]["numbers"]["similarity"] <= 1
    assert record["recordings"] == {"seconds": 12.0, "loudness_lufs": -23.0}
    assert list((work / "run" / "events").glob("events.*"))
    scores = json.loads((work / "run" / "scores.json").read_text(encoding="utf-8"))
    assert [score["step"] for score in scores["history"]] == [0, 10]
    assert (work / "run" / "scores.png").read_bytes().startswith(b"\x89PNG")
    source = work.sing("song.wav", 0.5)
    assert work.convert(source, "-o", work / "out.wav", voice=str(work / "run" / "voice")).code == 0


@pytest.mark.usefixtures("no_probes")
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_best_checkpoint_and_not_of_the_last_becomes_the_voice(
    toy_assets: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    scores = iter((0.1, 0.5, 0.2))
    monkeypatch.setattr("timbre.train.fast.FastTrainee.probe", lambda _: ProbeResult(next(scores), ANY_NUMBERS))
    for steps in (0, 2, 4):
        result = run(dataset, tmp_path / "run", steps=steps, keep_checkpoints=1, learned_share=share)
    assert result.ended.best.step == 2
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "step-00000002",
        "step-00000004",
    ]
    voice, best = load_voice(tmp_path / "run" / "voice"), state(tmp_path / "run", 2)
    of_base = load_base(toy_assets / "base").networks.decoder.state_dict()
    for name, tensor in voice.base.networks.decoder.state_dict().items():  # type: ignore[union-attr]
        wanted = (1 - share) * of_base[name] + share * best[f"averaged.{name}"]
        torch.testing.assert_close(tensor, wanted, rtol=2**-10, atol=1e-7, msg=name)  # voices are kept in float16


@pytest.mark.usefixtures("no_probes")
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_a_resumed_run_gives_the_numbers_of_an_undisturbed_one(
    toy_assets: Path, dataset: Path, tmp_path: Path, precision: str
) -> None:
    run(dataset, tmp_path / "calm", steps=3, precision=precision)
    for steps in (1, 3):
        run(dataset, tmp_path / "resumed", steps=steps, precision=precision)
    assert_same_state(tmp_path / "calm", tmp_path / "resumed", 3)


@pytest.mark.parametrize(("share", "n_heard"), [(0.0, 0), (0.5, 1)])
def test_phrases_are_heard_only_where_there_are_items_of_them(
    toy_assets: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, share: float, n_heard: int
) -> None:
    heard: list[Base] = []
    monkeypatch.setattr("timbre.train.fast.packaged_phrases", heard.append)
    settings = TrainSettings.from_mapping({**SETTINGS, "phrase_share": share})
    fast_voice(open_dataset(dataset), settings, torch.device("cpu"))
    assert len(heard) == n_heard


@pytest.mark.usefixtures("no_probes")
def test_another_seed_gives_other_numbers(toy_assets: Path, dataset: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        run(dataset, tmp_path / str(seed), steps=1, seed=seed)
    first, other = (state(tmp_path / str(seed), 1)["decoder.output.weight"] for seed in (0, 1))
    assert not torch.equal(first, other)


@pytest.mark.usefixtures("no_probes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_leaves(toy_assets: Path, dataset: Path, tmp_path: Path, number: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path / "run", moved=lambda progress: signal.raise_signal(number), steps=20)
    assert (tmp_path / "run" / "checkpoints" / "step-00000010").is_dir()
    assert not (tmp_path / "run" / "voice").exists()
    assert run(dataset, tmp_path / "run", steps=11).ended.step == 11


@pytest.mark.usefixtures("no_probes")
def test_an_interruption_is_told_by_the_exit_code(
    work: WorkFolder, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timbre.cli.progress.TrainingBar.move", lambda *_: signal.raise_signal(signal.SIGTERM))
    stopped = work.run("train", dataset, "-o", work / "run", "--steps", "20", *QUICK)
    assert stopped.code == 130 and "saved at step 10; the same command goes on from there" in stopped.err


@pytest.mark.usefixtures("no_probes")
def test_another_run_than_that_of_the_folder_is_refused(
    toy_assets: Path, dataset: Path, tmp_path: Path, work: WorkFolder
) -> None:
    run(dataset, tmp_path / "run", steps=1)
    begun = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert begun["settings"]["seed"] == 0 and begun["origins"]["dataset"] and begun["versions"]["torch"]
    words = ("train", dataset, "-o", tmp_path / "run", "--steps", "2")
    work.refuses_to_run(*words, *QUICK, "--seed", "5", says="begun with seed 0 and not 5")
    gone_on = work.run(*words, *QUICK)
    assert gone_on.code == 0 and "note: goes on from step 1, after" in gone_on.out
    other = write_fast_dataset(tmp_path / "other", load_base(toy_assets / "base"), n_clips=8)
    work.refuses_to_run("train", other, *words[2:], *QUICK, says="begun with another dataset")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    work.refuses_to_run("train", dataset, "-o", tmp_path / "full", "--steps", "1", *QUICK, says="holds other files")


@pytest.mark.usefixtures("no_probes")
def test_what_is_refused_is_refused_before_anything_is_read(
    work: WorkFolder, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(dataset, tmp_path / "run", steps=1)
    monkeypatch.setattr("timbre.train.pipeline.FAMILIES", {})
    (tmp_path / "file").write_text("mine")
    for output, more, says in (
        ("file", (), "is a file"),
        ("run", ("--seed", "5"), "begun with seed 0 and not 5"),
        ("new", ("--probe", work.sing("short.wav", 0.1)), "short.wav has 0.10 s; give recordings"),
    ):
        work.refuses_to_run("train", dataset, "-o", tmp_path / output, "--steps", "2", *QUICK, *more, says=says)
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    record["versions"]["torch"] = "2.6.0"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    words = ("train", dataset, "-o", tmp_path / "run", "--steps", "2", *QUICK)
    work.refuses_to_run(*words, says="begun with torch 2.6.0 and not")


@pytest.mark.usefixtures("no_probes")
def test_a_run_goes_on_with_its_own_probes_only(
    toy_assets: Path, dataset: Path, work: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[list[str]] = []
    monkeypatch.setattr(
        "timbre.train.fast.FastTrainee.listen_to", lambda _, given: heard.append([probe.name for probe in given])
    )
    (work / "b").mkdir()
    probes = ("--probe", work.sing("a.wav"), work.sing("b/a.wav", 0.6))
    words = ("train", dataset, "-o", work / "run", *QUICK)
    assert work.run(*words, "--steps", "1", *probes).code == 0
    assert heard == [["a", "a (2)"]]
    work.refuses_to_run(*words, "--steps", "2", *probes[:2], says="begun with another set of probes")
    work.refuses_to_run(*words, "--steps", "2", says="begun with another set of probes")
    assert work.run(*words, "--steps", "2", probes[0], probes[2], probes[1]).code == 0


@pytest.mark.usefixtures("no_probes")
def test_only_one_training_goes_on_in_a_folder(work: WorkFolder, dataset: Path) -> None:
    words = ("train", dataset, "-o", work / "run", *QUICK, "--steps")
    assert work.run(*words, "1").code == 0
    with run_folder.only_one(work / "run"):
        work.refuses_to_run(*words, "2", says="another training goes on in")
    assert work.run(*words, "2").code == 0


@pytest.mark.usefixtures("no_probes")
@pytest.mark.parametrize(
    ("kind", "name", "value", "says"),
    [("content", "content", np.nan, "holds NaN or infinity"), ("pitch", "f0_hz", 0.0, "no pitch was found")],
)
def test_features_that_teach_nothing_are_refused(
    toy_assets: Path, tmp_path: Path, kind: str, name: str, value: float, says: str
) -> None:
    folder = write_fast_dataset(tmp_path / "ds", load_base(toy_assets / "base"))
    dataset = open_dataset(folder)
    for clip in dataset.clips("train"):
        file = next((folder / "features").glob(f"{kind}*/{clip.id}.safetensors"))
        arrays = load_numpy(file)
        arrays[name][...] = value
        save_numpy(arrays, file)
    with pytest.raises(TimbreError, match=says):
        run(folder, tmp_path / "run", steps=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_probes")
def test_a_loss_that_is_no_number_stops_before_it_does_harm(
    toy_assets: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(dataset, tmp_path / "run", steps=1)
    before = state(tmp_path / "run", 1)
    forward = FastLosses.forward

    def broken(*words: Any) -> tuple[dict[str, torch.Tensor], MelPatches]:
        losses, patches = forward(*words)
        return {name: loss * np.nan for name, loss in losses.items()}, patches

    monkeypatch.setattr(FastLosses, "forward", broken)
    with pytest.raises(SettingsError, match="of step 1 is no number"):
        run(dataset, tmp_path / "run", steps=3)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()].count("step-00000001") == 1
    assert all(torch.equal(value, before[key]) for key, value in state(tmp_path / "run", 1).items())


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"encoder": "vec768l12"}, "prepared with the encoder 'vec768l12'"),
        ({"n_clips": 4}, "6.0 s in 3 clips of 'eve' to learn from"),
        ({"n_clips": 30, "seconds": 0.5}, "give a smaller segment_s"),
    ],
)
def test_a_dataset_that_cannot_be_learned_from_is_refused(
    toy_assets: Path, tmp_path: Path, facts: dict[str, object], says: str
) -> None:
    folder = write_fast_dataset(tmp_path / "ds", load_base(toy_assets / "base"), **facts)  # type: ignore[arg-type]
    with pytest.raises(TimbreError, match=says):
        run(folder, tmp_path / "run", steps=1)


def test_a_batch_that_cannot_fit_is_refused(
    toy_assets: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timbre.train.memory.free_bytes", lambda device: 1000)
    with pytest.raises(SettingsError, match="give a batch_size of at most 1"):
        run(dataset, tmp_path / "run", steps=1)
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_told_with_its_extra(
    work: WorkFolder, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    work.refuses_to_run("train", dataset, "-o", work / "run", "--steps", "1", *QUICK, says="timbre[train]")


def test_content_of_another_base_is_refused(toy_assets: Path, dataset: Path, tmp_path: Path) -> None:
    base = load_base(toy_assets / "base")
    weight = base.networks.content.bottleneck.weight
    before = weight.clone()
    weight.mul_(-1)
    try:
        with pytest.raises(TimbreError, match="prepared with another version of the base"):
            run(dataset, tmp_path / "run", steps=1)
    finally:
        weight.copy_(before)


@pytest.mark.usefixtures("no_picture")
def test_training_brings_the_sound_nearer(toy_assets: Path, dataset: Path, tmp_path: Path) -> None:
    begun: list[Begun] = []
    settings = TrainSettings.from_mapping({**SETTINGS, "steps": 20, "learning_rate": 0.02})
    result = train(dataset, tmp_path / "run", settings, [], Listeners(begun.append, lambda progress: None))
    assert result is not None
    first, last = result.ended.history
    assert last.numbers["rebuilt_mel"] < 0.985 * first.numbers["rebuilt_mel"]
    assert "12 s of sound are little; give the fast family at least 2 minutes" in begun[0].notes
    assert begun[0].speaker == "eve" and np.isclose(begun[0].train_s, 12.0)
    assert begun[0].estimate.seconds_per_1000_steps > 0 and begun[0].estimate.largest_batch >= 2
