"""The denoiser in use computes what the trained one does, block by block and in either precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from timbre.models.diffusion import frame_denoiser
from timbre.models.diffusion.denoiser import Denoiser
from timbre.models.diffusion.frame_denoiser import FrameDenoiser
from timbre.nn.draws import SeededDraws

N_MELS, N_LAYERS, CHANNELS, HEARD = 5, 3, 8, 6


def make_denoiser() -> Denoiser:
    network, generator = Denoiser(N_MELS, N_LAYERS, CHANNELS, HEARD), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network.eval().requires_grad_(False)


def inputs(n_frames: int, n_batch: int = 2) -> tuple[Tensor, Tensor]:
    draws = SeededDraws(1)
    return draws.normal(n_batch, N_MELS, n_frames), draws.normal(n_batch, HEARD, n_frames)


@pytest.mark.parametrize("kept_frames", [0, 4096])
@pytest.mark.parametrize("n_frames", [1, 2, 6, 7, 8, 15, 40])
def test_blocks_are_the_whole(monkeypatch: pytest.MonkeyPatch, n_frames: int, kept_frames: int) -> None:
    monkeypatch.setattr(frame_denoiser, "_BLOCK_FRAMES", 7)
    monkeypatch.setattr(frame_denoiser, "_KEPT_FRAMES", kept_frames)
    network, (x, condition) = make_denoiser(), inputs(n_frames)
    predict = FrameDenoiser(network, torch.float32).predictor(condition)
    for step in (3.5, 0.0):
        expected = network(x, torch.tensor([step]), condition)
        torch.testing.assert_close(predict(x, step), expected, rtol=1e-5, atol=1e-5)


def test_reduced_precision_is_near_and_its_result_is_not_reduced() -> None:
    network, (x, condition) = make_denoiser(), inputs(60)
    expected = network(x, torch.tensor([20.0]), condition)
    noise = FrameDenoiser(network, torch.bfloat16).predictor(condition)(x, 20.0)
    assert noise.dtype == torch.float32
    below_db = 10 * math.log10(float((expected**2).mean() / ((expected - noise) ** 2).mean()))
    assert 35 < below_db < 80  # farther would be no reduced precision at all


def test_a_short_condition_is_projected_once_for_all_steps() -> None:
    network, (x, condition), projections = FrameDenoiser(make_denoiser(), torch.float32), inputs(9), []
    layer = network.layers[1].get_submodule("conditioner_projection")
    layer.register_forward_hook(lambda *_: projections.append(1))
    predict = network.predictor(condition)
    for step in (3.0, 2.0, 1.0):
        predict(x, step)
    assert projections == [1]
