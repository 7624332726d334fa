"""Small so-vits-svc voices whose sound shows every option."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.toys import glide
from tests.toys_sovits import RATE, SovitsTree, make_tree, save_generator
from timbre.config.convert import ConvertSettings
from timbre.config.sovits import SovitsFiles
from timbre.convert.arrays import LoadedVoice
from timbre.voice.catalog import sovits_voice

Wave = np.ndarray
CLOSE, FAR = 1e-5, 2e-4


class Singer:
    """Converts one recording again and again with the voices of one tree, which are loaded once."""

    def __init__(self, tree: SovitsTree) -> None:
        self.tree, self.wave = tree, glide(0.3, RATE)
        self._voices: dict[SovitsFiles, LoadedVoice] = {}

    def sing(self, **options: Any) -> Wave:
        """Convert with what `timbre convert` takes as options; the model is that of the tree."""
        names = {field.name for field in dataclasses.fields(SovitsFiles)}
        paths = {"model": self.tree.model} | {name: options.pop(name) for name in names & options.keys()}
        files = SovitsFiles(**{name: str(path) for name, path in paths.items()})
        if files not in self._voices:
            self._voices[files] = LoadedVoice(sovits_voice(files, weights_dir=self.tree.pretrain)[0])
        settings = ConvertSettings(pitch_shift=0, pitch="pm", weights_dir=str(self.tree.pretrain), **options)
        sound = self._voices[files].convert(self.wave, RATE, settings)
        assert np.abs(sound).max() > 0.001
        return sound


def make_strong_tree(root: Path) -> SovitsTree:
    """Write everything that a user of so-vits-svc has, in small, with networks that react strongly."""
    tree = make_tree(root)
    strengthen(tree.model, "model")
    strengthen(tree.diffusion, "model")
    strengthen(tree.vocoder / "model", "generator")
    return tree


def strengthen(path: Path, entry: str) -> None:
    """Scale all weights, so that little of what a network hears is lost on the way to the sound."""
    content = torch.load(str(path), weights_only=True)
    scaled = {
        key: value * (30 if key == "spk_embed.weight" else 3) if key.endswith((".weight", "weight_g")) else value
        for key, value in content[entry].items()
    }
    torch.save({**content, entry: scaled}, path)


def save_strong_generator(path: Path, config: dict[str, Any], seed: int = 0) -> None:
    """Write a model with its config beside it."""
    save_generator(path, config, seed)
    strengthen(path, "model")
    path.with_name("config.json").write_text(json.dumps(config), encoding="utf-8")


def differ(one: Wave, other: Wave) -> bool:
    """Say whether two sounds of one length can be told apart."""
    return one.shape == other.shape and float(np.abs(one - other).max()) > FAR
