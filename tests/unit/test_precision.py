"""Reduced precision stays near the exact result, and is only used where it was asked for."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toys_sovits import CONFIG, make_tree
from timbre.config.convert import ConvertSettings
from timbre.config.sovits import SovitsFiles
from timbre.convert.arrays import load_sovits_voice
from timbre.errors import DeviceError, SettingsError
from timbre.nn import precision
from timbre.nn.precision import reduced_type
from timbre.nn.reduced_generator import ReducedNsfGenerator


def without_offset(wave: np.ndarray) -> np.ndarray:
    return wave - np.convolve(wave, np.full(801, 1 / 801), mode="same")


def test_the_type_of_a_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: True)
    assert reduced_type("exact", "cpu") is None
    assert reduced_type("auto", "cpu") is reduced_type("fast", "cpu") is torch.bfloat16
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: False)
    assert reduced_type("auto", "cpu") is None
    with pytest.raises(DeviceError, match="no units for bfloat16"):
        reduced_type("fast", "cpu")
    with pytest.raises(SettingsError, match="must be one of"):
        reduced_type("half", "cpu")


@pytest.mark.parametrize("changes", [{}, {"resblock": "2", "resblock_dilation_sizes": [[1, 3]]}])
def test_a_fast_conversion_is_near_the_exact_one(
    changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: True)
    from tests.toys_sovits import save_generator

    tree = make_tree(tmp_path / "tree")
    config = CONFIG | {"model": CONFIG["model"] | changes}
    tree.config.write_text(json.dumps(config), encoding="utf-8")
    save_generator(tree.model, config)
    voice = load_sovits_voice(
        model=tree.model, vocoder=tree.vocoder, diffusion_model=tree.diffusion, weights_dir=tree.pretrain
    )
    time_s = np.arange(16_000) / 16_000
    wave = (0.2 * np.sin(2 * np.pi * 200 * time_s)).astype(np.float32)

    def convert(**options: object) -> np.ndarray:
        chosen = {"speaker": "alice", "weights_dir": str(tree.pretrain), **options}
        return voice.convert(wave, 16_000, ConvertSettings.from_mapping(chosen))

    for options in ({}, {"enhance": True}, {"shallow_diffusion": True, "diffusion_steps": 20}):
        exact, fast = (without_offset(convert(precision=each, **options)) for each in ("exact", "fast"))
        noise = float(np.mean((exact - fast) ** 2))
        assert noise > 0 and 10 * math.log10(float(np.mean(exact**2)) / noise) > 25
    assert np.array_equal(convert(precision="exact"), convert(precision="exact"))


def test_snakes_stay_exact(tmp_path: Path) -> None:
    from tests.toys_sovits import save_generator
    from timbre.voice.catalog import sovits_voice

    tree = make_tree(tmp_path / "tree")
    config = CONFIG | {"model": CONFIG["model"] | {"vocoder_name": "nsf-snake-hifigan"}}
    tree.config.write_text(json.dumps(config), encoding="utf-8")
    save_generator(tree.model, config)
    voice, _ = sovits_voice(SovitsFiles(model=str(tree.model)))
    model = voice.networks(ConvertSettings(precision="exact")).synthesizer
    assert model is not None
    model.reduce(torch.bfloat16)
    assert not isinstance(model.dec, ReducedNsfGenerator)
