"""What so-vits-svc training starts from: settings for a dataset, number type, weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.toy_dataset import toy_clip, write_toy_dataset
from tests.toy_vits_dataset import write_tiny_config
from timbre.config.train import TrainSettings
from timbre.config.vits import VitsShape
from timbre.config.vits_template import HeardContent, new_config, with_speakers
from timbre.config.vits_training import VitsTrainingSettings
from timbre.dataset.manifest import DatasetManifest
from timbre.errors import DatasetError, SettingsError
from timbre.nn.precision import reduced_type
from timbre.train.vits_setup import set_up

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> DatasetManifest:
    toy = write_toy_dataset(tmp_path_factory.mktemp("ds"), [toy_clip(0)])
    return replace(toy, encoder="timbre", content_width=5, frame_rate_hz=16_000, hop_samples=160)


def settings(**given: object) -> TrainSettings:
    return TrainSettings.from_mapping({"family": "vits", "precision": "exact", **given})


def heard(encoder: str, width: int, hop_samples: int = 512) -> HeardContent:
    return HeardContent(encoder, width, 44_100, hop_samples, {"ada": 0, "bo": 1}, vol_aug=False)


@pytest.mark.parametrize(
    ("encoder", "width", "hop_samples", "gin", "filters"),
    [
        ("vec768l12", 768, 512, 768, 768),
        ("vec256l9", 256, 512, 256, 768),
        ("whisper-ppg-large", 1280, 512, 1280, 1280),
        ("timbre", 96, 441, 256, 768),
    ],
)
def test_the_template_fits_each_encoder(encoder: str, width: int, hop_samples: int, gin: int, filters: int) -> None:
    config = new_config(heard(encoder, width, hop_samples))
    shape, training = VitsShape.from_config(config), VitsTrainingSettings.from_config(config)
    assert (shape.ssl_dim, shape.gin_channels, shape.filter_channels) == (width, gin, filters)
    assert (shape.hop_samples, shape.speech_encoder, shape.n_speakers) == (hop_samples, encoder, 2)
    assert training.segment_size == 20 * hop_samples
    assert json.loads(json.dumps(config)) == config


def test_what_a_config_says_without_effect_is_told(manifest: DatasetManifest, tmp_path: Path) -> None:
    path = write_tiny_config(tmp_path / "config.json", 5)
    assert set_up(manifest, settings(config=str(path)), CPU).notes == ()
    config = json.loads(path.read_text(encoding="utf-8"))
    config["train"] |= {"epochs": 50, "log_interval": 100, "eval_interval": 800}
    path.write_text(json.dumps(config), encoding="utf-8")
    (note,) = set_up(manifest, settings(config=str(path)), CPU).notes
    assert note == "config.json says train.epochs 50, train.log_interval 100, which does not count here; give --epochs"


def test_a_dataset_with_loudness_gets_a_model_that_hears_it() -> None:
    config = new_config(replace(heard("vec768l12", 768), vol_aug=True))
    assert VitsShape.from_config(config).vol_embedding and VitsTrainingSettings.from_config(config).vol_aug


def test_speakers_are_those_of_the_dataset_unless_they_are_the_same() -> None:
    given = {"model": {"n_speakers": 3}, "spk": {"bo": 0, "ada": 2}}
    assert with_speakers(given, {"ada": 0, "bo": 1})["spk"] == {"bo": 0, "ada": 2}
    other = with_speakers(given, {"cy": 0})
    assert (other["spk"], other["model"]["n_speakers"]) == ({"cy": 0}, 3)
    assert with_speakers(given, {str(n): n for n in range(5)})["model"]["n_speakers"] == 5
    assert given["spk"] == {"bo": 0, "ada": 2}
    with pytest.raises(SettingsError, match="spk is no object"):
        with_speakers({"model": {}, "spk": 5}, {"cy": 0})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"encoder": "vec768l12"}, "--encoder timbre"),
        ({"content_width": 6}, "content of width 6, and config.json says 5"),
        ({"frame_rate_hz": 44_100, "hop_samples": 512}, "frames of the length 512, and config.json says 441"),
        ({"hop_samples": 161, "frame_rate_hz": 16_001}, "no whole samples"),
    ],
)
def test_a_dataset_for_another_model_is_refused(
    manifest: DatasetManifest, tmp_path: Path, change: dict[str, object], says: str
) -> None:
    config = write_tiny_config(tmp_path / "config.json", 5)
    with pytest.raises(DatasetError, match=says):
        set_up(replace(manifest, **change), settings(config=str(config)), CPU)  # type: ignore[arg-type]


def test_options_win_over_the_config_and_are_written_into_it(manifest: DatasetManifest, tmp_path: Path) -> None:
    config = write_tiny_config(tmp_path / "config.json", 5, batch_size=7, learning_rate=0.5)
    setup = set_up(manifest, settings(config=str(config)), CPU)
    assert (setup.batch_size, setup.training.learning_rate) == (7, 0.5)
    setup = set_up(manifest, settings(config=str(config), batch_size=3, learning_rate=0.01), CPU)
    assert (setup.batch_size, setup.training.learning_rate) == (3, 0.01)
    assert (setup.config["train"]["batch_size"], setup.config["train"]["learning_rate"]) == (3, 0.01)
    assert setup.config["spk"] == {"ada": 0}


def test_auto_computes_in_what_a_given_config_says(manifest: DatasetManifest, tmp_path: Path) -> None:
    usual = reduced_type("auto", CPU) or torch.float32

    def number_type(precision: str, **changes: object) -> torch.dtype:
        config = write_tiny_config(tmp_path / "config.json", 5, **changes)
        return set_up(manifest, settings(config=str(config), precision=precision), CPU).number_type

    assert set_up(manifest, settings(precision="auto"), CPU).number_type == usual
    assert number_type("auto") == torch.float32
    assert number_type("auto", fp16_run=True, half_type="bf16") == torch.bfloat16
    assert number_type("exact", fp16_run=True, half_type="bf16") == torch.float32
    assert number_type("auto", fp16_run=True) == usual
    told = set_up(manifest, settings(config=str(tmp_path / "config.json"), precision="auto"), CPU).notes
    assert "only CUDA has" in told[0]
