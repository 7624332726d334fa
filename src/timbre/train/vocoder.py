"""Training of an NSF-HiFiGAN vocoder on the recordings of a dataset (models spec 6 and 10).

The losses are those of HiFi-GAN (J. Kong and others, NeurIPS 2020), the discriminators those of so-vits-svc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.config.train import TrainSettings
from timbre.dataset.folder import Dataset
from timbre.evaluate.waves import MonoWave
from timbre.models.vits import losses
from timbre.models.vits.discriminator import MultiPeriodDiscriminator
from timbre.nn.draws import Draws
from timbre.nn.precision import reduced_type
from timbre.train.gradients import KeptScaler, autocast, average_gradients, frozen, gradient_norm, require_number
from timbre.train.item_draws import seeded
from timbre.train.listening import Judge, Probe
from timbre.train.sovits_voice import ENOUGH_S, choose_subject, origins_of, stated_card
from timbre.train.trainee import ProbeResult
from timbre.train.vocoder_items import VocoderItems, VocoderItemSource, check_rate, read_clip
from timbre.train.vocoder_listening import CopyingAudience, ready_for_use
from timbre.train.vocoder_setup import VocoderSetup, save_vocoder_files, set_up
from timbre.voice.card import VoiceCard
from timbre.voice.sovits.folder import save_sovits_voice
from timbre.voice.sovits.parts import VOCODER, Origin
from timbre.weights.digest import sha256_of

if TYPE_CHECKING:
    from accelerate import Accelerator

VOCODER_FOLDER = "vocoder"
MEL_WEIGHT = 45.0
LEARNING_RATE, BETAS, EPOCH_DECAY = 1e-4, (0.8, 0.99), 0.999
BATCH_SIZE, ITEM_FRAMES = 8, 32


def vocoder_voice(dataset: Dataset, settings: TrainSettings, device: torch.device) -> VocoderTrainee:
    """Return the vocoder to train on a dataset; errors as in `set_up`, and DatasetError where it does not fit."""
    setup = set_up(settings)
    check_rate(dataset, setup.vocoder)
    return VocoderTrainee(dataset, settings, setup, device)


class VocoderTrainee:
    """The vocoder that learns, its discriminators, and what they learn from (a `VoiceInTraining`).

    All losses are means over the items, so that two processes learn as one with the doubled batch does.
    """

    def __init__(self, dataset: Dataset, settings: TrainSettings, setup: VocoderSetup, device: torch.device) -> None:
        self._dataset, self._settings, self._setup, self._device = dataset, settings, setup, device
        self._vocoder, shape = setup.vocoder, setup.vocoder.shape
        with seeded(settings.seed):
            self._discriminator = MultiPeriodDiscriminator()
        self.subject = choose_subject(dataset, settings.speaker)
        entries = dataset.clips("train")
        clips = [read_clip(dataset, entry, self._vocoder) for entry in entries]
        self._source = VocoderItemSource(clips, ITEM_FRAMES, shape.hop_samples, settings.seed)
        self.batch_size = settings.batch_size or BATCH_SIZE
        self.train_s = sum(entry.n_samples for entry in entries) / dataset.manifest.sample_rate_hz
        self.enough_s = ENOUGH_S
        self.items_per_epoch = self.train_s * shape.sample_rate_hz / (ITEM_FRAMES * shape.hop_samples)
        self.origins = origins_of(setup.config, setup.digest, setup.card)
        self.notes = ["the vocoder starts from nothing, which takes days on a GPU"] if setup.is_new else []
        self._rate = settings.learning_rate or LEARNING_RATE
        self._optimizer = self._new_optimizer(self._vocoder.generator)
        self._judging_optimizer = self._new_optimizer(self._discriminator)
        self.number_type = reduced_type(settings.precision, device) or torch.float32
        self._scaler = KeptScaler(device.type, enabled=self.number_type == torch.float16)
        self.modules: dict[str, nn.Module] = {
            "generator": self._vocoder.generator,
            "discriminator": self._discriminator,
            "scaler": self._scaler,
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "generator_optimizer": self._optimizer,
            "discriminator_optimizer": self._judging_optimizer,
        }
        self._audience: CopyingAudience | None = None
        self._accelerator: Accelerator | None = None

    def prepare(self, accelerator: Accelerator) -> None:
        """See `Trainee`."""
        self._accelerator = accelerator
        self._vocoder.to(accelerator.device)
        self._discriminator.to(accelerator.device)

    def step(self, number: int) -> dict[str, Tensor]:
        """See `Trainee`; the discriminators learn first. Raises SettingsError where a loss is no number."""
        accelerator = self._accelerator
        assert accelerator is not None, "prepare comes first"
        epoch = int(number * self.batch_size * accelerator.num_processes / self.items_per_epoch)
        rate = self._rate * EPOCH_DECAY**epoch
        items, draws = self._items(number, self.batch_size)
        fake = self._rendered(items, draws)
        loss_d = self._discriminator_gradients(items, fake)
        norm_d = self._update(self._judging_optimizer, self._discriminator, loss_d, rate, number)
        parts = self._generator_gradients(items, fake)
        norm_g = self._update(self._optimizer, self._vocoder.generator, parts["total"], rate, number)
        self._scaler.scaler.update()
        shown = {f"loss/g/{name}": loss for name, loss in parts.items()} | {"loss/d/total": loss_d}
        return shown | {"grad_norm_g": norm_g, "grad_norm_d": norm_d, "learning_rate": torch.tensor(rate)}

    def rehearse(self, batch_size: int) -> None:
        """See `Trainee`."""
        items, draws = self._items(0, batch_size)
        fake = self._rendered(items, draws)
        self._discriminator_gradients(items, fake)
        self._generator_gradients(items, fake)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def _items(self, number: int, batch_size: int) -> tuple[VocoderItems, Draws]:
        accelerator = self._accelerator
        assert accelerator is not None, "prepare comes first"
        items, draws = self._source.draw(number, accelerator.process_index, accelerator.num_processes, batch_size)
        return items.to(accelerator.device), draws

    def _rendered(self, items: VocoderItems, draws: Draws) -> Tensor:
        with autocast(self._device, self.number_type):
            fake: Tensor = self._vocoder(items.mel, items.f0_hz, draws)
        return fake.float()

    def _discriminator_gradients(self, items: VocoderItems, fake: Tensor) -> Tensor:
        self._judging_optimizer.zero_grad(set_to_none=True)
        with autocast(self._device, self.number_type):
            judged = self._discriminator(items.wave, fake.detach())
        real_losses, fake_losses = losses.discriminator_losses(judged.real_outputs, judged.fake_outputs)
        loss = real_losses.sum() + fake_losses.sum()
        self._scaler.scaler.scale(loss).backward()
        return loss.detach()

    def _generator_gradients(self, items: VocoderItems, fake: Tensor) -> dict[str, Tensor]:
        self._optimizer.zero_grad(set_to_none=True)
        with frozen(self._discriminator), autocast(self._device, self.number_type):
            judged = self._discriminator(items.wave, fake)
        parts = {
            "mel": MEL_WEIGHT * functional.l1_loss(self._mel(fake), self._mel(items.wave)),
            "fm": losses.feature_loss(judged.real_maps, judged.fake_maps),
            "adversarial": losses.adversarial_losses(judged.fake_outputs).sum(),
        }
        total = torch.stack(list(parts.values())).sum()
        self._scaler.scaler.scale(total).backward()
        return {name: loss.detach() for name, loss in {"total": total, **parts}.items()}

    def _mel(self, wave: Tensor) -> Tensor:
        """Wave [B, 1, N] -> what the vocoder hears in it [B, M, T], with gradients."""
        mel: Tensor = self._vocoder.extractor(wave[:, 0])
        return mel

    def _update(
        self, optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor, rate: float, number: int
    ) -> Tensor:
        """Change the weights of a network by its gradients and return their norm."""
        assert self._accelerator is not None
        require_number(loss, number)
        for group in optimizer.param_groups:
            group["lr"] = rate
        average_gradients(network.parameters(), self._accelerator)
        self._scaler.scaler.unscale_(optimizer)
        norm = gradient_norm(network)
        self._scaler.scaler.step(optimizer)
        return norm

    def _new_optimizer(self, network: nn.Module) -> torch.optim.AdamW:
        return torch.optim.AdamW(network.parameters(), self._rate, BETAS, fused=True)

    def listen_to(self, given: Sequence[Probe]) -> Judge:
        """See `VoiceInTraining`."""
        self._audience = CopyingAudience(self._dataset, self.subject, self._vocoder, given, self._device)
        return self._audience.judge

    def probe(self) -> ProbeResult:
        """See `Trainee`."""
        assert self._audience is not None, "listen_to comes first"
        return self._audience.result(ready_for_use(self._vocoder, self.number_type))

    def sample(self) -> MonoWave:
        """See `VoiceInTraining`."""
        assert self._audience is not None, "listen_to comes first"
        return self._audience.sample(ready_for_use(self._vocoder, self.number_type))

    def save_voice(self, folder: Path, extras: Mapping[str, bytes]) -> VoiceCard | None:
        """See `VoiceInTraining`; the vocoder itself is written beside it."""
        setup, network = self._setup, self._setup.network
        file = save_vocoder_files(folder.parent / VOCODER_FOLDER, network, extras)
        if setup.card is None or setup.parts is None:
            return None
        origins = {**setup.parts.origins, VOCODER: Origin(file.name, sha256_of(file))}
        parts = replace(setup.parts, vocoder=network, origins=origins)
        return save_sovits_voice(stated_card(setup.card, self._settings), parts, folder, force=True, extras=extras)
