"""Rendering stretch by stretch: overlapping stretches of one sound agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.toys_sovits import CONFIG, DIFFUSION, HOP, N_MELS, RATE, VOCODER, WIDTH, randomise
from timbre.config.convert import ConvertSettings
from timbre.config.diffusion import DiffusionShape
from timbre.config.vits import VitsShape
from timbre.config.vocoder import VocoderShape
from timbre.features.clips import ClipExtractor
from timbre.features.frames import Frames
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.models.vits.synthesizer import Synthesizer
from timbre.vocoder.nsf_hifigan import NsfHifigan
from timbre.voice.sovits.render import Networks, SovitsRenderer

N_FRAMES = 400


class ConstantEncoder:
    """Hears the same in everything, so that nothing but noise and phases may differ."""

    sample_rate_hz, hop_samples, dimensions = 16_000, 320, WIDTH

    def encode(self, wave: Tensor) -> Tensor:
        return torch.ones(max(1, len(wave) // 320), WIDTH)

    def to(self, device: str) -> ConstantEncoder:
        return self


@pytest.fixture(scope="module")
def networks() -> Networks:
    synthesizer = randomise(Synthesizer(VitsShape.from_config(CONFIG))).eval()
    unit2mel = randomise(Unit2Mel(DiffusionShape.from_config(DIFFUSION), N_MELS)).eval()
    vocoder = randomise(NsfHifigan(VocoderShape.from_config(VOCODER))).eval()
    return Networks(synthesizer, unit2mel, vocoder, RATE, HOP, 44_100, "stable")


def frames(first: int, last: int) -> Frames:
    """Frames of one sound whose pitch rises in steps and rests now and then."""
    at = torch.arange(first, last)
    f0_hz = 150 + 0.25 * at.float()
    f0_hz = torch.where((at // 20) % 4 == 3, 0.0, f0_hz)
    content = torch.sin(at[:, None] * torch.linspace(0.01, 0.3, WIDTH))
    return Frames(content, f0_hz, f0_hz > 0, torch.full((last - first,), -4.0), HOP, RATE)


def renderer(networks: Networks, **options: Any) -> SovitsRenderer:
    extractor = ClipExtractor(ConstantEncoder(), RATE, HOP, "nearest", True)
    return SovitsRenderer(networks, extractor, 0, None, ConvertSettings(**options))


def rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound**2)))


WAYS: list[dict[str, Any]] = [{}, {"shallow_diffusion": True}, {"only_diffusion": True}, {"enhance": True}]


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_overlapping_stretches_agree_around_the_join(networks: Networks, options: dict[str, Any]) -> None:
    whole = renderer(networks, **options).render(frames(0, N_FRAMES)).numpy()
    rendering = renderer(networks, **options)
    first = rendering.render(frames(0, 220)).numpy()
    second = rendering.render(frames(80, N_FRAMES), 80, 170).numpy()
    assert len(first) == 220 * HOP and len(second) == 320 * HOP
    for join in (slice(140 * HOP, 170 * HOP), slice(170 * HOP, 200 * HOP)):
        moved = slice(join.start - 80 * HOP, join.stop - 80 * HOP)
        assert rms(first[join] - whole[join]) < 0.05 * rms(whole)
        assert rms(second[moved] - first[join]) < 0.05 * rms(whole)


def test_a_stretch_that_begins_on_its_own_knows_nothing_of_the_last(networks: Networks) -> None:
    rendering = renderer(networks)
    rendering.render(frames(0, 100))
    alone = renderer(networks).render(frames(150, 250), 150)
    assert torch.equal(rendering.render(frames(150, 250), 150), alone)
    rendering.render(frames(100, 200), 100)
    assert not torch.equal(rendering.render(frames(150, 250), 150, 175), alone)


def test_the_compatible_way_begins_each_stretch_anew(networks: Networks) -> None:
    rendering = renderer(networks, compatible=True)
    first = rendering.render(frames(0, 100))
    assert torch.equal(rendering.render(frames(0, 100), 500, 50), first)


def test_voiceless_frames_are_bridged(networks: Networks) -> None:
    silent = frames(0, 60)
    nothing = Frames(silent.content, torch.zeros(60), torch.zeros(60, dtype=torch.bool), silent.loudness, HOP, RATE)
    sound = renderer(networks).render(nothing)
    assert sound.shape == (60 * HOP,) and torch.isfinite(sound).all() and sound.any()
