"""Training of the diffusion model of so-vits-svc 4.1 (models spec 9)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from timbre.config.train import TrainSettings
from timbre.dataset.folder import Dataset
from timbre.errors import TimbreError
from timbre.evaluate.waves import MonoWave
from timbre.models.diffusion.state import state_for_file
from timbre.train.diffusion_files import save_diffusion_files
from timbre.train.diffusion_items import ClipStore, DiffusionItemSource, long_clips
from timbre.train.diffusion_listening import DiffusionAudience, Validation, ready_for_use
from timbre.train.diffusion_setup import AMP_KEY, DiffusionSetup, StartFile, new_model, read_start, set_up
from timbre.train.gradients import KeptScaler, StepCount, autocast, average_gradients, require_number
from timbre.train.listening import Judge, Probe
from timbre.train.number_type import choose_number_type
from timbre.train.sovits_voice import (
    ENOUGH_S,
    choose_subject,
    find_vocoder_network,
    fresh_note,
    new_card,
    origins_of,
    search_folders,
    stated_card,
)
from timbre.train.trainee import TOTAL, ProbeResult, heard_result
from timbre.train.wording import counted
from timbre.voice.card import VoiceCard
from timbre.voice.sovits.folder import save_sovits_voice
from timbre.voice.sovits.parts import DIFFUSION, Network, Origin, SovitsParts
from timbre.voice.sovits.voice import SovitsVoice
from timbre.voice.sovits.workshop import find_sovits_voice
from timbre.weights.digest import sha256_of

if TYPE_CHECKING:
    from accelerate import Accelerator

SOVITS_FOLDER = "sovits"
_RELEASE = "4.1"


def diffusion_voice(dataset: Dataset, settings: TrainSettings, device: torch.device) -> DiffusionTrainee:
    """Return the diffusion model of a dataset, new or as --start has it.

    Raises DatasetError, SettingsError, VoiceError or WeightsError where it cannot be learned or does not fit.
    """
    start = None if settings.start is None else read_start(Path(settings.start))
    given, speakers = Given(start, None, SovitsParts(None, None, None, _RELEASE)), None
    if settings.voice is not None:
        card, parts = find_sovits_voice(settings.voice)
        given, speakers = Given(start, card, parts), SovitsVoice(card, parts).speakers
    return DiffusionTrainee(dataset, settings, set_up(dataset, settings, start, speakers), given, device)


@dataclass(frozen=True, eq=False)
class Given:
    """What there is already: weights to start from, and the voice that the model becomes a part of."""

    start: StartFile | None
    card: VoiceCard | None  # None where it becomes a voice of its own
    parts: SovitsParts


class DiffusionTrainee:
    """The model that learns, and what it learns from (a `VoiceInTraining`)."""

    def __init__(
        self, dataset: Dataset, settings: TrainSettings, setup: DiffusionSetup, given: Given, device: torch.device
    ) -> None:
        self._dataset, self._settings, self._setup, self._card = dataset, settings, setup, given.card
        start = given.start
        self.subject = choose_subject(dataset, settings.speaker)
        clips, shape, training = dataset.clips("train"), setup.shape, setup.training
        store = ClipStore(dataset, clips, shape, shape.speakers, training)
        self._source = DiffusionItemSource(store, training.duration, settings.seed)
        self._validation = _validation(dataset, setup, settings.seed)
        self._model, fresh = new_model(setup, store.clip(0).mel.shape[-1], start, settings.seed)
        self._steps = StepCount(0 if start is None else start.step)
        self._first_step = int(self._steps.done)
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(), training.lr, weight_decay=training.weight_decay, fused=True
        )
        wanted = setup.wanted_number_type
        self.number_type, notes = choose_number_type(wanted, AMP_KEY, settings.precision, device)
        self._scaler = KeptScaler(device.type, enabled=self.number_type == torch.float16)
        self.modules: dict[str, nn.Module] = {"unit2mel": self._model, "steps": self._steps, "scaler": self._scaler}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"optimizer": self._optimizer}
        self.batch_size = settings.batch_size or training.batch_size
        self.train_s = sum(clip.n_samples for clip in clips) / dataset.manifest.sample_rate_hz
        self.enough_s = ENOUGH_S
        self.items_per_epoch = self.train_s / training.duration
        start_digest = None if start is None else sha256_of(start.path)
        self.origins = origins_of(setup.config, start_digest, given.card)
        self.notes = [*notes, *fresh_note(fresh)]
        if self._source.n_skipped:
            self.notes.append(f"left out: {counted(self._source.n_skipped, 'clip')} too short for an item")
        self._parts, self._device = given.parts, device
        if given.parts.vocoder is None:
            folders = search_folders(None if start is None else start.path)
            self._parts = replace(given.parts, vocoder=self._find_vocoder(folders))
        self._audience: DiffusionAudience | None = None
        self._accelerator: Accelerator | None = None

    def prepare(self, accelerator: Accelerator) -> None:
        """See `Trainee`."""
        self._accelerator = accelerator
        self._model.to(accelerator.device)

    def step(self, number: int) -> dict[str, Tensor]:
        """See `Trainee`; raises SettingsError where the loss is no number."""
        assert self._accelerator is not None, "prepare comes first"
        rate = self._setup.training.learning_rate(self._first_step + number)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._gradients(number, self.batch_size)
        require_number(loss, number)
        average_gradients(self._model.parameters(), self._accelerator)
        self._scaler.scaler.step(self._optimizer)
        self._scaler.scaler.update()
        self._steps.done += 1
        return {TOTAL: loss, "train/loss": loss, "train/lr": torch.tensor(rate)}

    def rehearse(self, batch_size: int) -> None:
        """See `Trainee`."""
        self._gradients(0, batch_size)
        self._optimizer.zero_grad(set_to_none=True)

    def _gradients(self, number: int, batch_size: int) -> Tensor:
        accelerator, model = self._accelerator, self._model
        assert accelerator is not None, "prepare comes first"
        items, draws = self._source.draw(number, accelerator.process_index, accelerator.num_processes, batch_size)
        items = items.to(accelerator.device)
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(accelerator.device, self.number_type):
            condition = model.condition(items.units, items.f0_hz, items.volume, items.speaker, items.aug_shift)
            loss = model.training_loss(condition, items.mel, draws)
        self._scaler.scaler.scale(loss).backward()
        return loss.detach()

    def listen_to(self, given: Sequence[Probe]) -> Judge | None:
        """See `VoiceInTraining`; None without a vocoder."""
        if self._parts.vocoder is not None:
            median_f0_hz, precision = self._own_card.median_f0_hz, self._settings.precision
            voice = self._voice()
            self._audience = DiffusionAudience(self._dataset, self.subject, median_f0_hz, voice, given, precision)
            self.notes += self._audience.notes
        return None if self._audience is None else self._audience.judge

    def probe(self) -> ProbeResult:
        """See `Trainee`; validation items are judged, and every probe is rendered where there is a vocoder."""
        numbers = self._validation.numbers(self._model, self._device)
        if self._audience is None:
            return ProbeResult(-numbers["mel_distance"], numbers)
        waves = self._audience.rendered(ready_for_use(self._model, self.number_type))
        return heard_result(self._audience.judge, waves, numbers)

    def sample(self) -> MonoWave | None:
        """See `VoiceInTraining`."""
        if self._audience is None:
            return None
        return self._audience.sample(ready_for_use(self._model, self.number_type))

    def save_voice(self, folder: Path, extras: Mapping[str, bytes]) -> VoiceCard:
        """See `VoiceInTraining`; the files of so-vits-svc are written beside it."""
        file = save_diffusion_files(
            folder.parent / SOVITS_FOLDER, self._model, self._setup.config, int(self._steps.done)
        )
        voice = self._voice()
        origins = {**voice.parts.origins, DIFFUSION: Origin(file.name, sha256_of(file))}
        parts = replace(voice.parts, origins=origins)
        return save_sovits_voice(voice.card, parts, folder, force=True, extras=extras)

    def _voice(self, vocoder: Network | None = None) -> SovitsVoice:
        """Return the voice with the model as it is now; raises VoiceError for a `vocoder` that does not fit."""
        network = Network(state_for_file(self._model), self._setup.config)
        card = self._own_card if self._card is None else stated_card(self._card, self._settings)
        parts = replace(self._parts, diffusion=network, vocoder=vocoder or self._parts.vocoder)
        return SovitsVoice(card, parts, str(self._device))

    @functools.cached_property
    def _own_card(self) -> VoiceCard:
        """The card of a voice of this model alone."""
        card = new_card(self._dataset, self.subject, self._settings, self.train_s)
        speakers = tuple(self._setup.shape.speakers)
        return replace(card, speakers=speakers if len(speakers) > 1 else ())

    def _find_vocoder(self, folders: Sequence[Path]) -> Network | None:
        """Return the vocoder that is on this machine; where there is none that fits, that is noted."""
        reason = "is not on this machine"
        try:
            found = find_vocoder_network(folders)
            if found is not None:
                self._voice(found)
                return found
        except TimbreError as error:
            reason = f"cannot be used ({error})"
        self.notes.append(
            f"the NSF-HiFiGAN vocoder {reason}, so that nothing can be heard: the mel spectrograms of validation clips "
            "are judged"
        )
        return None


def _validation(dataset: Dataset, setup: DiffusionSetup, seed: int) -> Validation:
    """Return items of the validation clips, or of the others where these are all too short."""
    duration_s, shape = setup.training.duration, setup.shape
    clips = long_clips(dataset, "validation", duration_s) or dataset.clips("train")
    store = ClipStore(dataset, clips, shape, shape.speakers, setup.training)
    return Validation(DiffusionItemSource(store, duration_s, seed, augments=False))
