"""Discriminators and losses: what recorded cases do not show."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from timbre.models.vits.discriminator import MultiPeriodDiscriminator
from timbre.models.vits.losses import (
    adversarial_losses,
    discriminator_losses,
    feature_loss,
    kl_loss,
    lf0_loss,
    mel_loss,
)
from timbre.nn.weight_norm import legacy_name


@pytest.fixture(scope="module")
def discriminator() -> MultiPeriodDiscriminator:
    return MultiPeriodDiscriminator()


@pytest.fixture(scope="module")
def waves() -> tuple[Tensor, Tensor]:
    real, fake = torch.randn(2, 2, 1, 211, generator=torch.Generator().manual_seed(3))
    return real, fake


def test_keys_and_shapes(golden_manifest: dict[str, Any], discriminator: MultiPeriodDiscriminator) -> None:
    manifest = golden_manifest["D"]
    state = {legacy_name(key): value for key, value in discriminator.state_dict().items()}
    assert list(state) == list(manifest)
    assert {key: list(value.shape) for key, value in state.items()} == manifest
    assert [legacy_name(name) for name, _ in discriminator.named_parameters()] == list(manifest)


def test_spectral_norm_has_the_original_keys() -> None:
    discriminator = MultiPeriodDiscriminator(use_spectral_norm=True)
    endings = {key.rsplit(".", 1)[-1] for key in discriminator.state_dict()}
    assert endings == {"bias", "weight_orig", "weight_u", "weight_v"}
    assert len(discriminator(torch.ones(1, 1, 30), torch.ones(1, 1, 30)).real_outputs) == 6


@torch.inference_mode()
def test_each_wave_is_judged_alone(discriminator: MultiPeriodDiscriminator, waves: tuple[Tensor, Tensor]) -> None:
    real, fake = waves
    both, swapped, first = discriminator(real, fake), discriminator(fake, real), discriminator(real[:1], fake[:1])
    for index in range(6):
        torch.testing.assert_close(both.real_outputs[index], swapped.fake_outputs[index], rtol=0, atol=0)
        torch.testing.assert_close(both.real_outputs[index][:1], first.real_outputs[index])
        assert [layer.shape for layer in both.real_maps[index]] == [layer.shape for layer in both.fake_maps[index]]
        torch.testing.assert_close(both.fake_maps[index][-1].flatten(1), both.fake_outputs[index], rtol=0, atol=0)
    assert [len(maps) for maps in both.real_maps] == [7, 6, 6, 6, 6, 6]


@torch.inference_mode()
def test_an_incomplete_period_is_mirrored(
    discriminator: MultiPeriodDiscriminator, waves: tuple[Tensor, Tensor]
) -> None:
    wave = waves[0][..., :208]
    mirrored = torch.cat((wave, wave[..., 206:207]), dim=-1)  # 209 = 11 * 19
    short, whole = discriminator(wave, wave), discriminator(mirrored, mirrored)
    torch.testing.assert_close(short.real_outputs[5], whole.real_outputs[5], rtol=0, atol=0)
    assert not torch.equal(short.real_maps[0][0], whole.real_maps[0][0][..., :208])


def test_gradients_and_spectral_norm_change_no_judgement(
    discriminator: MultiPeriodDiscriminator, waves: tuple[Tensor, Tensor]
) -> None:
    real, fake = waves
    alone, together = discriminator(real, fake.clone().requires_grad_()), discriminator(real, fake)
    assert together.real_outputs[0].requires_grad
    first, second = (judged.fake_outputs + judged.real_outputs for judged in (alone, together))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other)
    spectral = MultiPeriodDiscriminator(use_spectral_norm=True)
    before = spectral.discriminators[0].conv_post.weight_u.clone()
    spectral.eval()(real, fake)
    assert torch.equal(before, spectral.discriminators[0].conv_post.weight_u)


def test_adversarial_losses_are_zero_at_their_targets() -> None:
    ones, zeros = [torch.ones(2, 5)] * 3, [torch.zeros(2, 4)] * 3
    real, fake = discriminator_losses(ones, zeros)
    assert torch.equal(real, torch.zeros(3)) and torch.equal(fake, torch.zeros(3))
    real, fake = discriminator_losses(zeros, ones)
    assert torch.equal(real, torch.ones(3)) and torch.equal(fake, torch.ones(3))
    assert torch.equal(adversarial_losses([torch.full((1, 4), 3.0)]), torch.tensor([4.0]))


def test_feature_loss_counts_each_map_twice_and_teaches_only_the_generated() -> None:
    real = torch.zeros(2, 3, requires_grad=True)
    fake = torch.full((2, 3), -0.5, requires_grad=True)
    loss = feature_loss([[real, real], [real]], [[fake, fake], [fake]])
    assert loss.item() == 3.0
    loss.backward()
    assert real.grad is None
    assert fake.grad is not None


def test_kl_is_summed_over_channels_and_averaged_over_frames_inside() -> None:
    z_p, zeros = torch.full((2, 4, 3), 2.0), torch.zeros(2, 4, 3)
    mask = torch.tensor([[[1.0, 1, 1]], [[1, 0, 0]]])
    z_p[1, :, 1:] = 1e6  # outside
    assert float(kl_loss(z_p, zeros, zeros, zeros, mask)) == pytest.approx(4 * (0.5 * 4 - 0.5))
    narrow = zeros + 0.5
    expected = 4 * (0.5 - 0.25 - 0.5 + 0.5 * 4 * 2.718281828**-1)
    assert float(kl_loss(zeros + 2, zeros + 0.25, zeros, narrow, mask)) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_computed_in_float32(dtype: torch.dtype) -> None:
    x = torch.full((1, 2, 3), 300.0, dtype=dtype)
    zeros, mask = torch.zeros_like(x), torch.ones(1, 1, 3, dtype=dtype)
    losses = [
        *discriminator_losses([x], [x]),
        adversarial_losses([x]),
        feature_loss([[zeros]], [[x]]),
        mel_loss(zeros, x),
        kl_loss(x, zeros, zeros, zeros, mask),
        lf0_loss(x, zeros),
    ]
    assert all(loss.dtype == torch.float32 and bool(loss.isfinite().all()) for loss in losses)
    assert float(losses[-1]) == 90000.0
