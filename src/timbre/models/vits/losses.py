"""What so-vits-svc training minimises, in float32 whatever the networks compute in (models spec 6.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_FEATURE_WEIGHT = 2.0


def discriminator_losses(real_outputs: Sequence[Tensor], fake_outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return how far each discriminator is from saying 1 of real and 0 of generated waves: two [discriminators].

    Their sum is what the discriminators minimise.
    """
    return _mean_squares(real_outputs, 1.0), _mean_squares(fake_outputs, 0.0)


def adversarial_losses(fake_outputs: Sequence[Tensor]) -> Tensor:
    """Return how far each discriminator is from taking generated waves for real [discriminators]; their sum counts."""
    return _mean_squares(fake_outputs, 1.0)


def feature_loss(real_maps: Sequence[Sequence[Tensor]], fake_maps: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return twice the sum over all maps of all discriminators of their mean distance; only the fake ones learn."""
    pairs = [
        (real.detach().float(), fake.float())
        for real_layers, fake_layers in zip(real_maps, fake_maps, strict=True)
        for real, fake in zip(real_layers, fake_layers, strict=True)
    ]
    return _FEATURE_WEIGHT * torch.stack([functional.l1_loss(fake, real) for real, fake in pairs]).sum()


def mel_loss(real_log_mel: Tensor, fake_log_mel: Tensor) -> Tensor:
    """Return the mean distance of two log-mel spectrograms [B, M, T]."""
    return functional.l1_loss(fake_log_mel.float(), real_log_mel.float())


def kl_loss(z_p: Tensor, logs_q: Tensor, m_p: Tensor, logs_p: Tensor, mask: Tensor) -> Tensor:
    """Return the divergence of the posterior from the prior, each [B, I, T] with the mask [B, 1, T].

    It is summed over channels and averaged over the frames inside the mask.
    """
    z_p, logs_q, m_p, logs_p, mask = (x.float() for x in (z_p, logs_q, m_p, logs_p, mask))
    divergence = logs_p - logs_q - 0.5 + 0.5 * (z_p - m_p).square() * torch.exp(-2 * logs_p)
    return (divergence * mask).sum() / mask.sum()


def lf0_loss(predicted_lf0: Tensor, lf0: Tensor) -> Tensor:
    """Return the mean squared error of the predicted pitch [B, 1, T]; frames outside the mask are 0 in both."""
    return functional.mse_loss(predicted_lf0.float(), lf0.float())


def _mean_squares(outputs: Sequence[Tensor], target: float) -> Tensor:
    return torch.stack([(output.float() - target).square().mean() for output in outputs])
