"""Reading the training part of config.json."""

from __future__ import annotations

from typing import Any

import pytest

from tests.toy_training import training_config
from timbre.config.vits_training import VitsTrainingSettings
from timbre.errors import SettingsError


def test_keys_that_came_after_4_0_may_be_absent() -> None:
    config = training_config()
    for key in ("half_type", "vol_aug", "warmup_epochs"):
        del config["train"][key]
    settings = VitsTrainingSettings.from_config(config)
    assert (settings.precision, settings.vol_aug, settings.warmup_epochs) == ("float32", False, 0)


@pytest.mark.parametrize(
    ("fp16_run", "half_type", "precision"),
    [
        (False, "bf16", "float32"),
        (True, "bf16", "bfloat16"),
        (True, "fp16", "float16"),
        (True, "anything", "float16"),
    ],
)
def test_precision(fp16_run: bool, half_type: str, precision: str) -> None:
    config = training_config(fp16_run=fp16_run, half_type=half_type)
    assert VitsTrainingSettings.from_config(config).precision == precision


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": "1e-4"}, "learning_rate is '1e-4'; it must be a number"),
        ({"learning_rate": 0}, "learning_rate is 0.*above 0"),
        ({"lr_decay": float("nan")}, "lr_decay is nan"),
        ({"c_mel": -1}, "c_mel is -1.*at least 0"),
        ({"betas": [0.8]}, "betas is .*two numbers"),
        ({"betas": [0.8, 1.0]}, "betas is .*below 1"),
        ({"betas": 0.8}, "betas is .*two numbers"),
        ({"segment_size": 0}, "segment_size is 0"),
        ({"warmup_epochs": -1}, "warmup_epochs is -1; it must be a whole number from 0"),
        ({"fp16_run": "no"}, "fp16_run is 'no'; it must be true or false"),
        ({"win_length": 64}, "win_length 64; it must be at most data.filter_length, 32"),
        ({"mel_fmax": "high"}, "mel_fmax is 'high'"),
    ],
)
def test_wrong_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        VitsTrainingSettings.from_config(training_config(**changes))


@pytest.mark.parametrize("section", ["train", "data", "model"])
def test_missing_sections_and_keys_are_named(section: str) -> None:
    config = training_config()
    with pytest.raises(SettingsError, match=f"no {section}"):
        VitsTrainingSettings.from_config({key: value for key, value in config.items() if key != section})
    with pytest.raises(SettingsError, match="holds None, not an object"):
        VitsTrainingSettings.from_config(config | {section: None})
    with pytest.raises(SettingsError, match=f"the object '{section}' of config.json has no "):
        VitsTrainingSettings.from_config(config | {section: {}})
