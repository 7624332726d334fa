"""The old way (`compatible`) keeps what ours does better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import timbre
from tests.toys import glide
from tests.toys_sovits import RATE, SovitsTree
from timbre.config.convert import ConvertSettings
from timbre.convert.arrays import LoadedVoice

WAVE = glide(0.3, RATE)


@pytest.fixture(scope="module")
def voice(sovits_tree: SovitsTree) -> LoadedVoice:
    files = {"model": sovits_tree.model, "diffusion_model": sovits_tree.diffusion}
    return timbre.load_sovits_voice(weights_dir=sovits_tree.pretrain, **files)


def sing(voice: LoadedVoice, *channels: np.ndarray, **options: Any) -> np.ndarray:
    settings = ConvertSettings(pitch="pm", pitch_shift=0.0, speaker="alice", precision="exact", **options)
    return np.asarray(voice.convert(np.stack(channels), RATE, settings))


@pytest.mark.parametrize("compatible", [False, True])
def test_channels_that_cancel_each_other_are_silent_in_the_old_way_only(voice: LoadedVoice, compatible: bool) -> None:
    heard = np.zeros_like(WAVE) if compatible else WAVE
    inverted = sing(voice, WAVE, -WAVE, compatible=compatible)
    np.testing.assert_array_equal(inverted, sing(voice, heard, compatible=compatible))
    one_side = sing(voice, WAVE, 0 * WAVE, compatible=compatible)
    np.testing.assert_allclose(one_side, sing(voice, 0.5 * WAVE, compatible=compatible), rtol=0, atol=1e-6)


def test_ddim_without_a_step_leaves_the_noise_in_the_old_way(voice: LoadedVoice) -> None:
    options = {"compatible": True, "shallow_diffusion": True, "diffusion_steps": 10}
    noisy = sing(voice, WAVE, diffusion_method="ddim", **options)
    assert (
        np.isfinite(noisy).all() and np.abs(noisy - sing(voice, WAVE, diffusion_method="ddpm", **options)).max() > 0.001
    )
