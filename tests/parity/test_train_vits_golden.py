"""Discriminators, losses, gradients and one whole training step against recorded results."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from tests.golden_cases import Case, parametrize, training_file
from tests.toy_training import hashed_discriminator
from timbre.config.vits import VitsShape
from timbre.config.vits_training import VitsTrainingSettings
from timbre.models.vits.discriminator import MultiPeriodDiscriminator
from timbre.models.vits.losses import adversarial_losses, discriminator_losses
from timbre.models.vits.state import legacy_state, load_state
from timbre.models.vits.synthesizer import Synthesizer
from timbre.train.gradients import gradient_norm
from timbre.train.vits_batch import VitsBatch
from timbre.train.vits_checkpoint import read_vits_checkpoint, restore_optimizer
from timbre.train.vits_step import (
    make_segments,
    start_training,
    synthesizer_losses,
    training_step,
)

LF0_FACTOR_LOW, LF0_FACTOR_RANGE = 0.8, 0.4


class TrainingDraws:
    """The draws of a case, where the lf0 factor and the segments are given by name and not by order."""

    def __init__(self, case: Case) -> None:
        self._others = case.draws()
        self._factor, self._fraction = case.optional("draw.f0_norm_factor"), case.optional("draw.segment_fraction")

    def normal(self, *shape: int) -> Tensor:
        return self._others.normal(*shape)

    def uniform(self, *shape: int) -> Tensor:
        if self._factor is not None and shape == self._factor.shape:
            return (self._factor - LF0_FACTOR_LOW) / LF0_FACTOR_RANGE
        if self._fraction is not None and shape == self._fraction.shape:
            return self._fraction
        return self._others.uniform(*shape)


@pytest.fixture(scope="module")
def discriminator() -> MultiPeriodDiscriminator:
    """Shared; tests must leave its weights alone."""
    return hashed_discriminator()


@parametrize("disc")
@torch.inference_mode()
def test_discriminator(case: Case, discriminator: MultiPeriodDiscriminator) -> None:
    judged = discriminator(case.tensor("in.y"), case.tensor("in.y_hat"))
    case.judge(
        {f"d_real.{index}": output for index, output in enumerate(judged.real_outputs)}
        | {f"d_gen.{index}": output for index, output in enumerate(judged.fake_outputs)}
    )


@parametrize("losses")
def test_losses_and_gradients(case: Case, discriminator: MultiPeriodDiscriminator) -> None:
    synthesizer = Synthesizer(VitsShape.from_config(case.config)).eval()
    load_state(synthesizer, case.state())
    training = start_training(synthesizer, discriminator, VitsTrainingSettings.from_config(case.config))
    segments = make_segments(training, batch_of(case), TrainingDraws(case))
    judged = discriminator(segments.real_wave, segments.fake_wave.detach())
    real_losses, fake_losses = discriminator_losses(judged.real_outputs, judged.fake_outputs)
    loss_d = real_losses.sum() + fake_losses.sum()
    loss_d.backward()
    grad_norm_d = gradient_norm(discriminator)
    losses_g = synthesizer_losses(training, segments)
    losses_g.total().backward()
    assert torch.equal(gradient_norm(discriminator), grad_norm_d)
    discriminator.zero_grad()
    case.judge(
        {f"d_real.{index}": output for index, output in enumerate(judged.real_outputs)}
        | {f"d_gen.{index}": output for index, output in enumerate(judged.fake_outputs)}
        | {
            "y_mel": segments.real_log_mel,
            "y_hat_mel": segments.fake_log_mel,
            "y_slice": segments.real_wave,
            "audio": segments.output.audio,
            "loss_disc": loss_d,
            "losses_disc_r": real_losses,
            "losses_disc_g": fake_losses,
            "loss_mel": losses_g.mel,
            "loss_kl": losses_g.kl,
            "loss_fm": losses_g.feature,
            "loss_gen": losses_g.adversarial,
            "losses_gen": adversarial_losses(judged.fake_outputs),
            "loss_lf0": losses_g.lf0,
            "loss_gen_all": losses_g.total(),
            "grad_norm_d": grad_norm_d,
            "grad_norm_g": gradient_norm(synthesizer),
        }
    )


def batch_of(case: Case) -> VitsBatch:
    return VitsBatch(
        units=case.tensor("in.c"),
        f0_hz=case.tensor("in.f0"),
        voiced=case.tensor("in.uv"),
        spectrum=case.tensor("in.spec"),
        wave=case.tensor("in.wav"),
        speaker=case.tensor("in.g"),
        lengths=case.tensor("in.lengths"),
        volume=case.optional("in.vol"),
    )


@parametrize("step")
def test_one_step(case: Case, discriminator: MultiPeriodDiscriminator) -> None:
    checkpoint = read_vits_checkpoint(training_file(case.beside("resume")))
    synthesizer = Synthesizer(VitsShape.from_config(case.config)).eval()
    load_state(synthesizer, checkpoint.tensors)
    settings = VitsTrainingSettings.from_config(case.config)
    training = start_training(synthesizer, deepcopy(discriminator), settings)
    restore_optimizer(training.synthesizer_optimizer, checkpoint)
    result = training_step(training, batch_of(case), TrainingDraws(case))
    after = {f"after/{key}": value for key, value in legacy_state(synthesizer).items()}
    blind = {key: torch.from_numpy(value) for key, value in case.expected().items() if key.endswith("conv_k.bias")}
    losses = result.synthesizer_losses
    case.judge(
        after
        | blind  # the softmax does not see them: their gradients are rounding noise, which the optimizer amplifies
        | {
            "epoch": max(checkpoint.epoch, 1),
            "lr": training.synthesizer_optimizer.param_groups[0]["lr"],
            "grad_norm_d": result.discriminator_gradient_norm,
            "grad_norm_g": result.synthesizer_gradient_norm,
            "loss_disc": result.discriminator_loss,
            "loss_mel": losses.mel,
            "loss_kl": losses.kl,
            "loss_fm": losses.feature,
            "loss_gen": losses.adversarial,
            "loss_lf0": losses.lf0,
        }
    )
