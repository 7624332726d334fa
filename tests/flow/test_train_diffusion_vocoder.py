"""`timbre train --family diffusion` and `vocoder`, with toy networks: to voices that convert, resumed, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.flow.sovits_folder import SovitsFolder
from tests.toy_diffusion_dataset import write_diffusion_config, write_diffusion_dataset
from tests.toy_training import ToyDiscriminator
from tests.toys_sovits import SovitsTree
from timbre.config.train import TrainSettings
from timbre.train.pipeline import Begun, Listeners, TrainResult, train
from timbre.train.trainee import ProbeResult
from timbre.vocoder.nsf_hifigan import read_vocoder
from timbre.voice.sovits.folder import read_parts

pytest.importorskip("accelerate")
pytest.importorskip("tensorboard")
pytest.importorskip("matplotlib")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

QUICK = ("--precision", "exact", "--device", "cpu", "--batch-size", "2")
ANY_NUMBERS = {"similarity": 0.5, "content_distance": 0.1}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of one speaker, for reading only."""
    return write_diffusion_dataset(tmp_path_factory.mktemp("flow") / "ds")


@pytest.fixture(autouse=True)
def quick(cheap_judges: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take small discriminators, and leave out the picture."""
    monkeypatch.setattr("timbre.train.engine.draw_curves", lambda *_: b"")
    monkeypatch.setattr("timbre.train.vocoder.MultiPeriodDiscriminator", ToyDiscriminator)


@pytest.fixture
def config(svc: SovitsFolder) -> Path:
    return write_diffusion_config(svc / "diffusion.yaml")


def run(dataset: Path, folder: Path, **more: object) -> tuple[TrainResult, Begun]:
    """Train in this process without the command line."""
    begun: list[Begun] = []
    settings = TrainSettings.from_mapping({"precision": "exact", "device": "cpu", "batch_size": 2, **more})
    result = train(dataset, folder, settings, [], Listeners(begun.append, lambda progress: None))
    assert result is not None
    return result, begun[0]


def state(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / f"step-{step:08d}" / "state.safetensors")


def assert_resumes_exactly(go: Callable[[Path, int], object], folder: Path) -> None:
    """Check that a run of 3 steps is the same to the bit whether or not it was left after the first."""
    go(folder / "calm", 3)
    for steps in (1, 3):
        go(folder / "resumed", steps)
    calm, resumed = state(folder / "calm", 3), state(folder / "resumed", 3)
    assert calm.keys() == resumed.keys() and any("exp_avg_sq" in key for key in calm)
    assert all(torch.equal(value, resumed[key]) for key, value in calm.items())
    assert any(not torch.equal(value, calm[key]) for key, value in state(folder / "resumed", 1).items())


def test_a_dataset_becomes_a_diffusion_voice_that_converts_alone(
    svc: SovitsFolder, dataset: Path, config: Path
) -> None:
    facts = ("--name", "eva", "--licence", "CC0 1.0")
    words = ("train", dataset, "-o", svc / "run", "--family", "diffusion", "--config", config, *QUICK, *facts)
    made = svc.run(*words, "--steps", "10")
    assert made.code == 0, made.err
    assert "alice: 0.1 min of sound" in made.out and "mel distance" in made.out and "validation loss" in made.out
    card = json.loads((svc / "run" / "voice" / "voice.json").read_text(encoding="utf-8"))
    assert (card["name"], card["licence"], card["family"]) == ("eva", "CC0 1.0", "sovits")
    assert card["highest_f0_hz"] > card["median_f0_hz"] > card["lowest_f0_hz"] > 100
    assert {path.name for path in (svc / "run" / "voice").iterdir()} >= {"sample.flac", "training.json"}
    svc.sing_with("--voice", svc / "run" / "voice", "--only-diffusion")
    events = EventAccumulator(str(svc / "run" / "events")).Reload()
    names = set(events.Tags()["scalars"])
    assert names >= {"loss/g/total", "train/loss", "train/lr", "probe/validation_loss", "probe/mel_distance"}
    assert set(events.Tags()["audio"]) == {f"{kind}/audio_{number}" for kind in ("gen", "gt") for number in range(2)}


def test_the_files_for_so_vits_svc_are_a_start(svc: SovitsFolder, dataset: Path, config: Path) -> None:
    run(dataset, svc / "first", family="diffusion", steps=3, config=str(config))
    (weights,) = (svc / "first" / "sovits").glob("model_*.pt")
    best = json.loads((svc / "first" / "scores.json").read_text(encoding="utf-8"))["best_step"]
    assert weights.name == f"model_{best}.pt"
    saved = yaml.safe_load(weights.with_name("config.yaml").read_text(encoding="utf-8"))
    assert saved["model"]["n_layers"] == 2 and saved["spk"] == {"alice": 0, "björn": 1}
    result, _ = run(dataset, svc / "second", family="diffusion", steps=1, start=str(svc / "first" / "sovits"))
    before, after = (
        json.loads((svc / name / "scores.json").read_text(encoding="utf-8"))["history"] for name in ("first", "second")
    )
    numbers = next(score["numbers"] for score in before if score["step"] == best)
    assert after[0]["numbers"]["validation_loss"] == pytest.approx(numbers["validation_loss"], rel=1e-6)
    assert (
        result.voice is not None and (svc / "second" / "sovits" / f"model_{best + result.ended.best.step}.pt").is_file()
    )


def test_a_voice_gets_a_diffusion_model(svc: SovitsFolder, alice: Path, dataset: Path, config: Path) -> None:
    config = write_diffusion_config(config, k_step_max=60)
    result, begun = run(dataset, svc / "run", family="diffusion", steps=2, config=str(config), voice="alice")
    assert begun.bounds is not None and "similarity" in result.ended.best.numbers
    before, after = read_parts(alice), read_parts(svc / "run" / "voice")
    assert before.model is not None and after.model is not None and before.diffusion is not None
    assert all(torch.equal(value, after.model.tensors[name]) for name, value in before.model.tensors.items())
    assert after.centres.keys() == before.centres.keys() and after.vocoder is not None
    trained = state(svc / "run", result.ended.best.step)
    assert after.diffusion is not None
    assert all(torch.equal(value, trained[f"unit2mel.{name}"]) for name, value in after.diffusion.tensors.items())
    refined = ("--shallow-diffusion", "--diffusion-steps", "50")
    svc.sing_with("--voice", svc / "run" / "voice", *refined)


def test_a_model_of_few_steps_refines_the_probe_itself(svc: SovitsFolder, dataset: Path, config: Path) -> None:
    config = write_diffusion_config(config, k_step_max=40)
    result, begun = run(dataset, svc / "run", family="diffusion", steps=1, config=str(config))
    assert result.ended.best.numbers["pitch_error_cents"] >= 0
    assert not any("hears other mel spectrograms" in note for note in begun.notes)


def test_without_the_encoder_clips_of_the_dataset_are_heard(
    svc: SovitsFolder, dataset: Path, config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "nsf_hifigan").symlink_to(svc.tree_of_files.vocoder)
    monkeypatch.setenv("TIMBRE_WEIGHTS", str(tmp_path / "weights"))
    result, begun = run(dataset, svc / "run", family="diffusion", steps=1, config=str(config))
    assert any("encoder vec256l9 is not on this machine" in note for note in begun.notes)
    assert result.ended.best.numbers["similarity"] > 0
    words = ("train", dataset, "-o", svc / "other", "--family", "diffusion", "--config", config, "--steps", "1", *QUICK)
    svc.refuses_to_run(*words, "--probe", svc.sing("probe.wav"), says="content encoder vec256l9 needs")


def test_a_vocoder_that_hears_otherwise_is_told(
    svc: SovitsFolder, dataset: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = svc.own_tree()
    monkeypatch.setenv("TIMBRE_WEIGHTS", str(tree.pretrain))
    shape = json.loads((tree.vocoder / "config.json").read_text(encoding="utf-8"))
    (tree.vocoder / "config.json").write_text(json.dumps({**shape, "fmin": 500}), encoding="utf-8")
    facts = {"family": "diffusion", "steps": 0, "config": str(config)}
    _, begun = run(dataset, svc / "run", **facts)
    assert any("hears other mel spectrograms" in note for note in begun.notes)
    (tree.vocoder / "config.json").write_text(json.dumps({**shape, "num_mels": 21}), encoding="utf-8")
    _, begun = run(dataset, svc / "other", **facts)
    assert any("cannot be used" in note for note in begun.notes) and begun.bounds is None


def test_without_a_vocoder_mel_spectrograms_are_judged(
    svc: SovitsFolder, dataset: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIMBRE_WEIGHTS")
    result, begun = run(dataset, svc / "run", family="diffusion", steps=2, config=str(config))
    assert begun.bounds is None and any("nothing can be heard" in note for note in begun.notes)
    assert set(result.ended.best.numbers) == {"mel_distance", "validation_loss"}
    assert "mel distance" in result.summary and result.voice is not None
    assert not (svc / "run" / "voice" / "sample.flac").exists()


def test_a_resumed_diffusion_training_gives_the_numbers_of_an_undisturbed_one(
    svc: SovitsFolder, dataset: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timbre.train.diffusion.DiffusionTrainee.probe", lambda _: ProbeResult(0.0, ANY_NUMBERS))
    facts = {"family": "diffusion", "config": str(config)}
    assert_resumes_exactly(lambda folder, steps: run(dataset, folder, steps=steps, **facts), svc.folder)


def test_a_resumed_vocoder_training_gives_the_numbers_of_an_undisturbed_one(
    svc: SovitsFolder, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timbre.train.vocoder.VocoderTrainee.probe", lambda _: ProbeResult(0.0, ANY_NUMBERS))
    assert_resumes_exactly(lambda folder, steps: run(dataset, folder, steps=steps, family="vocoder"), svc.folder)


def test_a_vocoder_becomes_weights_that_are_found(
    svc: SovitsFolder, dataset: Path, sovits_tree: SovitsTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", dataset, "-o", svc / "run", "--family", "vocoder", "--start", sovits_tree.vocoder, *QUICK)
    made = svc.run(*words, "--steps", "3", "--learning-rate", "0.01")
    assert made.code == 0, made.err
    assert f"result: {svc / 'run'}" in made.out and "mel distance" in made.out
    assert not (svc / "run" / "voice").exists()
    tensors, _ = read_vocoder(svc / "run" / "vocoder")
    before, _ = read_vocoder(sovits_tree.vocoder)
    assert any(not torch.equal(tensors[name], value) for name, value in before.items())
    added = svc.run("weights", "add", "nsf_hifigan", svc / "run" / "vocoder")
    assert added.code == 0, added.err


def test_a_voice_gets_its_vocoder(svc: SovitsFolder, alice: Path, dataset: Path) -> None:
    result, _ = run(dataset, svc / "run", family="vocoder", steps=2, voice="alice", name="alice two")
    assert result.voice is not None and result.voice.name == "alice two"
    parts, trained = read_parts(svc / "run" / "voice"), read_vocoder(svc / "run" / "vocoder")[0]
    assert parts.vocoder is not None and parts.model is not None and parts.diffusion is not None
    assert all(torch.equal(value, trained[name]) for name, value in parts.vocoder.tensors.items())
    assert parts.origins["vocoder"].file == "model"
    assert read_parts(alice).origins["model"] == parts.origins["model"]
    refined = ("--shallow-diffusion", "--diffusion-steps", "20")
    svc.sing_with("--voice", svc / "run" / "voice", *refined)


def test_probes_are_copied_too(svc: SovitsFolder, dataset: Path) -> None:
    probe = svc.sing("probe.wav", 0.5)
    made = svc.run("train", dataset, "-o", svc / "run", "--family", "vocoder", "--steps", "0", "--probe", probe, *QUICK)
    assert made.code == 0, made.err
    events = EventAccumulator(str(svc / "run" / "events")).Reload()
    assert set(events.Tags()["audio"]) == {"gen/audio_0", "gt/audio_0"}


@pytest.mark.parametrize("family", ["diffusion", "vocoder"])
def test_a_voice_of_another_family_is_refused(svc: SovitsFolder, dataset: Path, config: Path, family: str) -> None:
    words = ("train", dataset, "-o", svc / "run", "--family", family, "--steps", "1", "--voice", "ada", *QUICK)
    svc.refuses_to_run(*words, says="only so-vits-svc voices can do that")


def test_a_dataset_without_mel_spectrograms_is_refused(svc: SovitsFolder, config: Path) -> None:
    folder = write_diffusion_dataset(svc / "ds", diffusion=False)
    words = ("train", folder, "-o", svc / "run", "--family", "diffusion", "--config", config, "--steps", "1", *QUICK)
    svc.refuses_to_run(*words, says="prepare the recordings with --diffusion")
