"""`timbre train --family vits` from a dataset to a voice that converts and back to so-vits-svc, with a toy network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.flow.command import WorkFolder
from tests.toy_fast_dataset import write_fast_dataset
from tests.toy_training import ToyDiscriminator
from tests.toy_vits_dataset import write_tiny_config
from timbre.config.train import TrainSettings
from timbre.dataset.folder import Dataset, open_dataset
from timbre.errors import MissingWeightsError, TimbreError
from timbre.evaluate.waves import MonoWave
from timbre.nn.draws import SeededDraws
from timbre.train.listening import Probe
from timbre.train.pipeline import Begun, Listeners, TrainResult, train
from timbre.train.trainee import ProbeResult
from timbre.train.vits import VitsTrainee, vits_voice
from timbre.train.vits_batch import collate
from timbre.train.vits_step import VitsTraining, training_step
from timbre.voice.base import load_base
from timbre.voice.catalog import load_voice
from timbre.voice.sovits.voice import SovitsVoice

pytest.importorskip("accelerate")
pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CPU = torch.device("cpu")
ANY_NUMBERS = {"similarity": 0.5, "content_distance": 0.1}
WIDTH = 5  # of the toy base's content


@pytest.fixture(scope="session")
def dataset(toy_assets_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset as the toy base hears it, for reading only."""
    base = load_base(toy_assets_folder / "base")
    return write_fast_dataset(tmp_path_factory.mktemp("vits") / "ds", base, n_clips=5, seconds=1.0)


@pytest.fixture(autouse=True)
def small(cheap_judges: None, toy_assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a small discriminator."""
    monkeypatch.setattr(
        "timbre.train.vits_setup.MultiPeriodDiscriminator", lambda use_spectral_norm: ToyDiscriminator()
    )


@pytest.fixture
def no_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out listening; the last probe is the best."""
    scores = iter(range(100))
    monkeypatch.setattr("timbre.train.engine.draw_curves", lambda *_: b"")
    monkeypatch.setattr(VitsTrainee, "listen_to", lambda *_: None)
    monkeypatch.setattr(VitsTrainee, "sample", lambda _: None)
    monkeypatch.setattr(VitsTrainee, "probe", lambda _: ProbeResult(float(next(scores)), ANY_NUMBERS))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_tiny_config(tmp_path / "config.json", WIDTH)


def settings(config: Path, **more: object) -> TrainSettings:
    given = {"family": "vits", "config": str(config), "precision": "exact", "device": "cpu", **more}
    return TrainSettings.from_mapping(given)


def run(dataset: Path, folder: Path, config: Path, tell: Callable[..., None] = print, **more: object) -> TrainResult:
    """Train in this process without the command line."""
    result = train(dataset, folder, settings(config, **more), [], Listeners(tell, lambda progress: None))
    assert result is not None
    return result


def state(run_folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run_folder / "checkpoints" / f"step-{step:08d}" / "state.safetensors")


def test_a_dataset_becomes_a_voice_that_converts(work: WorkFolder, dataset: Path, config: Path) -> None:
    words = ("--family", "vits", "--config", config, "--steps", "2", "--precision", "exact", "--device", "cpu")
    made = work.run("train", dataset, "-o", work / "run", *words, "--licence", "CC0 1.0", "--name", "eva")
    assert made.code == 0, made.err
    assert "so-vits-svc does not know the packaged encoder" in made.out
    scores = json.loads((work / "run" / "scores.json").read_text(encoding="utf-8"))
    assert [score["step"] for score in scores["history"]] == [0, 2]
    assert all({"similarity", "rebuilt_mel"} <= score["numbers"].keys() for score in scores["history"])
    pictures = set(EventAccumulator(str(work / "run" / "events")).Reload().Tags()["images"])
    assert pictures >= {"slice/mel_org", "slice/mel_gen", "all/mel", "all/lf0", "all/norm_lf0"}
    folder = work / "run" / "voice"
    assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "sample.flac", "training.json"}
    voice = load_voice(folder)
    assert isinstance(voice, SovitsVoice) and voice.parts.indexes.keys() == {0}
    assert (voice.card.name, voice.card.licence) == ("eva", "CC0 1.0")
    assert 0 < voice.card.lowest_f0_hz < voice.card.median_f0_hz < voice.card.highest_f0_hz
    best = scores["best_step"]
    assert {path.name for path in (work / "run" / "sovits").iterdir()} == {
        f"G_{best}.pth",
        f"D_{best}.pth",
        "config.json",
    }
    source = work.sing("song.wav", 0.5)
    assert work.convert(source, "-o", work / "out.wav", "--retrieval-ratio", "0.5", voice=str(folder)).code == 0


@pytest.mark.usefixtures("no_probes")
def test_a_resumed_run_gives_the_numbers_of_an_undisturbed_one(dataset: Path, config: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "calm", config, steps=3)
    for steps in (1, 3):
        run(dataset, tmp_path / "resumed", config, steps=steps)
    calm, resumed = state(tmp_path / "calm", 3), state(tmp_path / "resumed", 3)
    assert calm.keys() == resumed.keys()
    assert any(key.startswith("discriminator_optimizer.") for key in calm)
    for key, value in calm.items():
        assert torch.equal(value, resumed[key]), key
    before = state(tmp_path / "calm", 0)
    assert not torch.equal(before["synthesizer.pre.weight"], calm["synthesizer.pre.weight"])


@pytest.mark.usefixtures("no_probes")
def test_what_is_written_for_so_vits_svc_begins_where_it_ended(dataset: Path, config: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "run", config, steps=2)
    pair = tmp_path / "run" / "sovits"
    ended = state(tmp_path / "run", 2)
    begun = vits_voice(open_dataset(dataset), settings(pair / "config.json", start=str(pair)), CPU)
    for name, value in begun.modules["synthesizer"].state_dict().items():
        assert torch.equal(value, ended[f"synthesizer.{name}"]), name
    assert int(begun.modules["steps"].state_dict()["done"]) == 2
    again = vits_voice(open_dataset(dataset), settings(pair / "config.json", start=str(pair / "G_2.pth")), CPU)
    losses = [_first_losses(each, open_dataset(dataset)) for each in (begun, again)]
    assert torch.equal(*losses) and not [note for note in begun.notes if "begin anew" in note]


def _first_losses(trainee: VitsTrainee, dataset: Dataset) -> torch.Tensor:
    training: VitsTraining = trainee._training
    training.synthesizer.eval()
    items = [trainee._source.load(clip) for clip in dataset.clips("train")[:2]]
    return training_step(training, collate(items), SeededDraws(0)).synthesizer_losses.total()


@pytest.mark.usefixtures("no_probes")
def test_a_shared_flow_and_volume_are_kept(dataset: Path, tmp_path: Path) -> None:
    facts: dict[str, Any] = {"flow_share_parameter": True, "use_depthwise_conv": True}
    facts |= {"vol_embedding": True, "vol_aug": True, "use_automatic_f0_prediction": False}
    config = write_tiny_config(tmp_path / "config.json", WIDTH, **facts)
    for steps in (1, 2):
        run(dataset, tmp_path / "run", config, steps=steps)
    voice = load_voice(tmp_path / "run" / "voice")
    assert isinstance(voice, SovitsVoice) and voice.shape is not None and voice.shape.vol_embedding
    start = vits_voice(open_dataset(dataset), settings(config, start=str(tmp_path / "run" / "sovits")), CPU)
    assert not [note for note in start.notes if "begin anew" in note]


@pytest.mark.usefixtures("no_probes")
def test_weights_that_do_not_fit_begin_anew_and_are_named(dataset: Path, config: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "run", config, steps=1)
    (tmp_path / "run" / "sovits" / "D_1.pth").unlink()
    other = write_tiny_config(tmp_path / "other.json", WIDTH, n_speakers=4)
    told: list[Begun] = []
    run(dataset, tmp_path / "more", other, told.append, steps=1, start=str(tmp_path / "run" / "sovits"))
    notes = " ".join(told[0].notes)
    assert "begin anew, as the start has none that fit: G_1.pth: emb_g.weight" in notes
    assert "there is no discriminator" in notes
    assert "4 s of sound are little; give the vits family at least 30 minutes" in notes
    with pytest.raises(MissingWeightsError, match=r"G_0\.pth and D_0\.pth"):
        run(dataset, tmp_path / "none", config, steps=1, start=str(tmp_path / "nowhere"))
    with pytest.raises(TimbreError, match="begun with another start"):
        (tmp_path / "run" / "sovits" / "G_1.pth").write_bytes((tmp_path / "more" / "sovits" / "G_1.pth").read_bytes())
        run(dataset, tmp_path / "more", other, steps=2, start=str(tmp_path / "run" / "sovits"))


def test_without_the_encoder_clips_are_said_again(dataset: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise MissingWeightsError("it is not here")

    monkeypatch.setattr("timbre.voice.sovits.voice.packaged_encoder", absent)
    trainee = vits_voice(open_dataset(dataset), settings(config), CPU)
    trainee.listen_to([])
    assert any("is not on this machine" in note for note in trainee.notes)
    result = trainee.probe()
    assert "similarity" in result.numbers and result.sources.keys() == result.sounds.keys() == {"1", "2"}
    with pytest.raises(MissingWeightsError):
        trainee.listen_to([Probe("song", MonoWave(torch.zeros(9000).numpy(), 44_100))])
