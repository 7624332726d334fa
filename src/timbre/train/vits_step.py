"""One step of so-vits-svc training: the discriminator learns first, then the synthesizer (models spec 6.2 and 7.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from timbre.config.vits_training import Precision, VitsTrainingSettings
from timbre.dsp.mel import mel_filter_bank
from timbre.dsp.spectrogram import linear_spectrogram, log_mel
from timbre.errors import SettingsError
from timbre.models.vits import losses
from timbre.models.vits.discriminator import MultiPeriodDiscriminator
from timbre.models.vits.synthesizer import Synthesizer, TrainingOutput
from timbre.nn.draws import Draws
from timbre.train.gradients import autocast, frozen, gradient_norm
from timbre.train.vits_batch import VitsBatch

_WEIGHT_DECAY = 0.01
NUMBER_TYPES: Mapping[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True, eq=False)
class VitsTraining:
    """The live objects of one training, all on one device."""

    synthesizer: Synthesizer
    discriminator: MultiPeriodDiscriminator
    synthesizer_optimizer: AdamW
    discriminator_optimizer: AdamW
    scaler: torch.amp.GradScaler  # acts in float16 only
    mel_basis: Tensor  # [M, S]
    settings: VitsTrainingSettings


@dataclass(frozen=True, eq=False)
class Segments:
    """What the synthesizer made of a batch, and the same stretches of the recordings."""

    output: TrainingOutput
    real_wave: Tensor  # [B, 1, segment_size]
    fake_wave: Tensor
    real_log_mel: Tensor  # [B, M, segment_size / hop_samples]
    fake_log_mel: Tensor


@dataclass(frozen=True, eq=False)
class SynthesizerLosses:
    """What the synthesizer minimises, each weighted; 0-dimensional."""

    adversarial: Tensor
    feature: Tensor
    mel: Tensor
    kl: Tensor
    lf0: Tensor | None  # None without automatic pitch

    def total(self) -> Tensor:
        """Return their sum."""
        total = self.adversarial + self.feature + self.mel + self.kl
        return total if self.lf0 is None else total + self.lf0

    def detach(self) -> SynthesizerLosses:
        """Return them without what is needed for gradients."""
        return replace(self, **{name: value.detach() for name, value in vars(self).items() if value is not None})


@dataclass(frozen=True, eq=False)
class StepResult:
    """What one step measured, 0-dimensional on its device: losses before, and norms of the gradients of the update."""

    discriminator_loss: Tensor
    synthesizer_losses: SynthesizerLosses
    discriminator_gradient_norm: Tensor
    synthesizer_gradient_norm: Tensor


def start_training(
    synthesizer: Synthesizer, discriminator: MultiPeriodDiscriminator, settings: VitsTrainingSettings
) -> VitsTraining:
    """Give both networks, which lie on one device, fresh optimizers.

    Raises SettingsError when the mel bands or the segment of `settings` do not fit the model.
    """
    shape, device = synthesizer.shape, next(synthesizer.parameters()).device
    if settings.segment_size % shape.hop_samples:
        raise SettingsError(
            f"config.json says train.segment_size {settings.segment_size}; "
            f"it must be a multiple of data.hop_length, {shape.hop_samples}"
        )
    high_hz = shape.sample_rate_hz / 2 if settings.mel_fmax is None else settings.mel_fmax
    n_mels = settings.n_mel_channels
    basis = mel_filter_bank(shape.sample_rate_hz, shape.filter_length, n_mels, settings.mel_fmin, high_hz)
    return VitsTraining(
        synthesizer,
        discriminator,
        _optimizer(synthesizer, settings),
        _optimizer(discriminator, settings),
        torch.amp.GradScaler(device.type, enabled=settings.precision == "float16"),
        basis.to(device),
        settings,
    )


def learning_rate(settings: VitsTrainingSettings, epoch: int) -> float:
    """Return the rate of an epoch, from 1: rising to the end of the warm-up, then falling from epoch to epoch."""
    if epoch <= settings.warmup_epochs:
        return settings.learning_rate / settings.warmup_epochs * epoch
    return settings.learning_rate * settings.lr_decay ** (epoch - max(1, settings.warmup_epochs))


def training_step(
    training: VitsTraining,
    batch: VitsBatch,
    draws: Draws,
    average: Callable[[nn.Module], None] = lambda network: None,
) -> StepResult:
    """Let both networks learn from one batch on their device; they stay in training or evaluation mode as they are.

    `average` is given each network with its gradients before it changes. Raises SettingsError when a clip is shorter
    than a training segment.
    """
    segments = make_segments(training, batch, draws)
    loss_d = discriminator_loss(training, segments)
    norm_d = _update(training.discriminator_optimizer, loss_d, training.discriminator, training.scaler, average)
    losses_g = synthesizer_losses(training, segments)
    total_g = losses_g.total()
    norm_g = _update(training.synthesizer_optimizer, total_g, training.synthesizer, training.scaler, average)
    training.scaler.update()
    return StepResult(loss_d.detach(), losses_g.detach(), norm_d, norm_g)


def make_segments(training: VitsTraining, batch: VitsBatch, draws: Draws) -> Segments:
    """Let the synthesizer render a stretch of each clip, and cut the same out of the recordings."""
    shape, settings = training.synthesizer.shape, training.settings
    n_frames = settings.segment_size // shape.hop_samples
    with _autocast(training):
        output = training.synthesizer.training_forward(
            batch.units,
            batch.f0_hz,
            batch.voiced,
            batch.spectrum,
            batch.speaker,
            batch.lengths,
            draws,
            segment_frames=n_frames,
            volume=batch.volume,
        )
    fake_wave = output.audio.float()
    fake_spectrum = linear_spectrogram(
        fake_wave.squeeze(1), shape.filter_length, shape.hop_samples, settings.win_length
    )
    real_spectrum = _stretches(batch.spectrum, output.segment_starts, n_frames)
    return Segments(
        output,
        _stretches(batch.wave, output.segment_starts * shape.hop_samples, settings.segment_size),
        fake_wave,
        log_mel(real_spectrum, training.mel_basis),
        log_mel(fake_spectrum, training.mel_basis),
    )


def discriminator_loss(training: VitsTraining, segments: Segments) -> Tensor:
    """Return what the discriminator minimises; no gradient reaches the synthesizer."""
    with _autocast(training):
        judged = training.discriminator(segments.real_wave, segments.fake_wave.detach())
    real_losses, fake_losses = losses.discriminator_losses(judged.real_outputs, judged.fake_outputs)
    return real_losses.sum() + fake_losses.sum()


def synthesizer_losses(training: VitsTraining, segments: Segments) -> SynthesizerLosses:
    """Return what the synthesizer minimises; the discriminator gets no gradients."""
    output, settings = segments.output, training.settings
    with frozen(training.discriminator), _autocast(training):
        judged = training.discriminator(segments.real_wave, segments.fake_wave)
    kl = losses.kl_loss(output.z_p, output.logs_q, output.m_p, output.logs_p, output.mask)
    melody = output.melody
    return SynthesizerLosses(
        adversarial=losses.adversarial_losses(judged.fake_outputs).sum(),
        feature=losses.feature_loss(judged.real_maps, judged.fake_maps),
        mel=settings.c_mel * losses.mel_loss(segments.real_log_mel, segments.fake_log_mel),
        kl=settings.c_kl * kl,
        lf0=None if melody is None else losses.lf0_loss(melody.predicted_lf0, melody.lf0),
    )


def _optimizer(network: nn.Module, settings: VitsTrainingSettings) -> AdamW:
    rate, betas, eps = settings.learning_rate, settings.betas, settings.eps
    return AdamW(network.parameters(), rate, betas, eps, weight_decay=_WEIGHT_DECAY, fused=True)


def _update(
    optimizer: AdamW,
    loss: Tensor,
    network: nn.Module,
    scaler: torch.amp.GradScaler,
    average: Callable[[nn.Module], None],
) -> Tensor:
    """Change the weights of `network` by its gradients and return their norm."""
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    average(network)
    scaler.unscale_(optimizer)
    norm = gradient_norm(network)
    scaler.step(optimizer)
    return norm


def _autocast(training: VitsTraining) -> torch.autocast:
    return autocast(training.mel_basis.device, NUMBER_TYPES[training.settings.precision])


def _stretches(values: Tensor, starts: Tensor, length: int) -> Tensor:
    """[B, C, N] -> [B, C, length], from its own start [B] in each item."""
    index = starts[:, None] + torch.arange(length, device=starts.device)
    return values.gather(2, index[:, None].expand(-1, values.shape[1], -1))
