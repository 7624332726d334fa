"""What the files of a so-vits-svc voice tell: release, settings, kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.toys_sovits import CONFIG
from timbre.config.sovits import SovitsFiles
from timbre.errors import SettingsError, VoiceError
from timbre.voice.sovits.importing import sovits_folders
from timbre.voice.sovits.parts import release_of
from timbre.voice.sovits.reading import SovitsReader, read_config

FIRST_MODEL = {"inter_channels": 192, "gin_channels": 256, "ssl_dim": 256, "n_speakers": 200}
FIRST_DATA = {"sampling_rate": 44_100, "hop_length": 512}


@pytest.mark.parametrize(
    ("config", "release"),
    [
        ({"model": FIRST_MODEL, "data": FIRST_DATA}, "4.0"),
        ({"model": FIRST_MODEL}, "4.0"),
        ({"model": FIRST_MODEL | {"speech_encoder": "vec768l12"}, "data": FIRST_DATA}, "4.1"),
        ({"model": FIRST_MODEL | {"vol_embedding": False}, "data": FIRST_DATA}, "4.1"),
        ({"model": FIRST_MODEL, "data": FIRST_DATA | {"unit_interpolate_mode": "left"}}, "4.1"),
        (CONFIG, "4.1"),
        ({}, "4.1"),
    ],
)
def test_the_release_is_told_from_the_config(config: dict[str, Any], release: str) -> None:
    assert release_of(config) == release


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_configs_of_several_encodings(tmp_path: Path, encoding: str) -> None:
    config = {"model": {}, "spk": {"小明": 0}}
    (tmp_path / "config.json").write_bytes(json.dumps(config, ensure_ascii=False).encode(encoding))
    assert read_config(tmp_path / "config.json") == config


def test_a_config_in_a_western_encoding_is_read_at_least(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes('{"model": {}, "spk": {"é": 0}}'.encode("latin-1"))
    assert read_config(tmp_path / "config.json")["spk"] == {"é": 0}


def test_a_config_has_a_model(tmp_path: Path) -> None:
    for text, says in (("{}", "no section 'model'"), ('{"model": 1}', "no section 'model'"), ("{", "no JSON file")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(SettingsError, match=says):
            read_config(tmp_path / "config.json")


def test_a_voice_needs_a_model() -> None:
    with pytest.raises(VoiceError, match="give --model or --diffusion-model"):
        SovitsReader().read(SovitsFiles(cluster="k.pt"), [])


def test_other_weights_are_looked_for_beside_and_above_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMBRE_WEIGHTS", str(tmp_path / "named"))
    model = tmp_path / "svc/logs/44k/G_1.pth"
    (tmp_path / "given").mkdir()
    folders = sovits_folders(SovitsFiles(model=str(model)), tmp_path / "given")
    assert folders[:2] == [tmp_path / "given", tmp_path / "named"]
    above = [folder / "pretrain" for folder in (model.parent, *model.parent.parents)]
    assert folders[-4:] == above[:4]
    diffusion = str(model.with_name("model_1.pt"))
    assert sovits_folders(SovitsFiles(diffusion_model=diffusion))[-4:] == above[:4]
    assert not any("pretrain" in folder.parts and folder.is_absolute() for folder in sovits_folders(SovitsFiles()))
