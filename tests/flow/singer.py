"""Converts one recording again and again."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tests.toys import glide
from tests.toys_sovits import RATE, SovitsTree
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
        settings = ConvertSettings(
            pitch_shift=0, pitch="pm", precision="exact", weights_dir=str(self.tree.pretrain), **options
        )
        sound = self._voices[files].convert(self.wave, RATE, settings)
        assert np.abs(sound).max() > 0.001
        return sound


def differ(one: Wave, other: Wave) -> bool:
    """Say whether two sounds of one length can be told apart."""
    return one.shape == other.shape and float(np.abs(one - other).max()) > FAR
