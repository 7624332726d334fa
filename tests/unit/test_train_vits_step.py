"""One training step: who learns from what, at which precision and rate."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.toy_training import toy_batch, toy_training
from timbre.errors import SettingsError
from timbre.nn.draws import SeededDraws
from timbre.train import vits_step
from timbre.train.gradients import gradient_norm
from timbre.train.vits_step import (
    discriminator_loss,
    learning_rate,
    make_segments,
    synthesizer_losses,
    training_step,
)


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def test_both_networks_learn_and_the_result_follows_from_the_seed() -> None:
    results, weights = [], []
    for _ in range(2):
        training = toy_training()
        before = weights_of(training.synthesizer), weights_of(training.discriminator)
        results.append(training_step(training, toy_batch(), SeededDraws(5)))
        weights.append(weights_of(training.synthesizer))
        for network, old in zip((training.synthesizer, training.discriminator), before, strict=True):
            assert all(not torch.equal(value, old[key]) for key, value in network.named_parameters())
            assert all(value.requires_grad for value in network.parameters())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    first, second = results
    assert torch.equal(first.synthesizer_losses.total(), second.synthesizer_losses.total())
    assert not first.discriminator_loss.requires_grad
    assert not first.synthesizer_losses.total().requires_grad


def test_each_loss_teaches_one_network() -> None:
    training = toy_training()
    segments = make_segments(training, toy_batch(), SeededDraws(5))
    discriminator_loss(training, segments).backward()
    assert all(weight.grad is None for weight in training.synthesizer.parameters())
    training.discriminator.zero_grad()
    synthesizer_losses(training, segments).total().backward()
    assert all(weight.grad is None for weight in training.discriminator.parameters())
    assert gradient_norm(training.synthesizer) > 0


def test_freezing_the_discriminator_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    for frozen in (True, False):
        if not frozen:
            monkeypatch.setattr(vits_step, "frozen", lambda network: torch.enable_grad())
        training = toy_training()
        losses = synthesizer_losses(training, make_segments(training, toy_batch(), SeededDraws(5)))
        losses.total().backward()
        assert any(weight.grad is not None for weight in training.discriminator.parameters()) is not frozen
        norms.append(gradient_norm(training.synthesizer))
    assert torch.equal(*norms)


def test_a_failing_forward_leaves_the_discriminator_able_to_learn() -> None:
    training = toy_training()
    segments = make_segments(training, toy_batch(), SeededDraws(5))
    with pytest.raises(RuntimeError):
        synthesizer_losses(training, replace(segments, fake_wave=torch.zeros(2, 3, 8)))
    assert all(weight.requires_grad for weight in training.discriminator.parameters())


def test_segments_are_the_same_stretch_of_everything() -> None:
    training = toy_training()
    batch = toy_batch((12, 4))
    batch = replace(batch, wave=torch.arange(96.0).repeat(2, 1, 1))
    segments = make_segments(training, batch, SeededDraws(5))
    starts = segments.output.segment_starts
    assert int(starts[1]) == 0
    assert torch.equal(segments.real_wave[:, 0, 0], 8.0 * starts)
    assert segments.real_wave.shape == segments.fake_wave.shape == (2, 1, 32)
    assert segments.real_log_mel.shape == segments.fake_log_mel.shape == (2, 4, 4)


def test_a_model_without_automatic_pitch_has_no_loss_for_it() -> None:
    losses = training_step(
        toy_training(use_automatic_f0_prediction=False), toy_batch(), SeededDraws(5)
    ).synthesizer_losses
    assert losses.lf0 is None
    assert losses.total() == losses.adversarial + losses.feature + losses.mel + losses.kl


def test_a_model_with_volume_learns_from_it() -> None:
    training = toy_training(vol_embedding=True)
    before = training.synthesizer.state_dict()["emb_vol.weight"].clone()
    training_step(training, toy_batch(volume=True), SeededDraws(5))
    assert not torch.equal(training.synthesizer.state_dict()["emb_vol.weight"], before)


def test_bfloat16_keeps_weights_and_losses_in_float32() -> None:
    exact = training_step(toy_training(), toy_batch(), SeededDraws(5))
    training = toy_training(fp16_run=True, half_type="bf16")
    assert not training.scaler.is_enabled()
    result = training_step(training, toy_batch(), SeededDraws(5))
    total = result.synthesizer_losses.total()
    assert total.dtype == torch.float32
    assert all(weight.dtype == torch.float32 for weight in training.synthesizer.parameters())
    assert not torch.equal(total, exact.synthesizer_losses.total())
    assert float(total) == pytest.approx(float(exact.synthesizer_losses.total()), rel=0.05)


def test_only_float16_scales_its_loss() -> None:
    assert toy_training(fp16_run=True).scaler.is_enabled()
    assert not toy_training(half_type="fp16").scaler.is_enabled()


def test_a_step_that_overflows_in_float16_changes_no_weight() -> None:
    training = toy_training(fp16_run=True)
    before = weights_of(training.synthesizer)
    batch = toy_batch()
    training_step(training, replace(batch, units=batch.units * float("inf")), SeededDraws(5))
    assert all(torch.equal(value, before[key]) for key, value in training.synthesizer.state_dict().items())
    assert training.scaler.get_scale() == 2.0**15


def test_learning_rate_warms_up_and_then_decays() -> None:
    settings = toy_training(warmup_epochs=2).settings
    assert [learning_rate(settings, epoch) for epoch in range(1, 5)] == [0.5e-3, 1e-3, 0.5e-3, 0.25e-3]
    assert [learning_rate(toy_training().settings, epoch) for epoch in (1, 2)] == [1e-3, 0.5e-3]


def test_gradients_are_averaged_before_they_are_used() -> None:
    training = toy_training()
    before = weights_of(training.synthesizer)
    seen = []

    def average(network: nn.Module) -> None:
        seen.append(network)
        for weight in network.parameters():
            assert weight.grad is not None or not weight.requires_grad
            weight.grad = torch.zeros_like(weight)

    result = training_step(training, toy_batch(), SeededDraws(5), average)
    assert seen == [training.discriminator, training.synthesizer]
    assert result.synthesizer_gradient_norm == 0
    decay = 1 - training.settings.learning_rate * 0.01
    for name, value in training.synthesizer.named_parameters():
        torch.testing.assert_close(value, before[name] * decay)


def test_impossible_segments_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"multiple of data\.hop_length, 8"):
        toy_training(segment_size=33)
    with pytest.raises(SettingsError, match="3 frames"):
        training_step(toy_training(), toy_batch((12, 3)), SeededDraws(5))
