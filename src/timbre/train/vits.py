"""Training of the main model of so-vits-svc 4.1 (models spec 6 and 7)."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from timbre.config.indexing import IndexSettings
from timbre.config.prepare import PACKAGED_ENCODER
from timbre.config.train import TrainSettings
from timbre.dataset.folder import Dataset
from timbre.evaluate.waves import MonoWave
from timbre.files.writing import new_folder
from timbre.models.vits.state import legacy_state
from timbre.retrieval.foreign_writing import flat_index
from timbre.train.gradients import KeptScaler, StepCount, average_gradients, require_number
from timbre.train.indexing import LEAST_FRAMES, index_rows
from timbre.train.item_draws import layers_seed
from timbre.train.listening import Judge, Probe
from timbre.train.sovits_voice import ENOUGH_S, choose_subject, new_card, origins_of
from timbre.train.trainee import TOTAL, ProbeResult, heard_result
from timbre.train.vits_checkpoint import CheckpointFiles, find_checkpoint, save_pair
from timbre.train.vits_items import ClipSource
from timbre.train.vits_listening import VitsAudience
from timbre.train.vits_pictures import training_pictures
from timbre.train.vits_setup import VitsSetup, begin, set_up
from timbre.train.vits_step import (
    VitsTraining,
    discriminator_loss,
    learning_rate,
    make_segments,
    synthesizer_losses,
    training_step,
)
from timbre.train.wording import counted
from timbre.voice.base import BASE_NAME, load_base
from timbre.voice.card import VoiceCard
from timbre.voice.sovits.folder import save_sovits_voice
from timbre.voice.sovits.parts import Network, SovitsParts
from timbre.voice.sovits.voice import SovitsVoice

if TYPE_CHECKING:
    from accelerate import Accelerator

SOVITS_FOLDER, CONFIG_FILE = "sovits", "config.json"


def vits_voice(dataset: Dataset, settings: TrainSettings, device: torch.device) -> VitsTrainee:
    """Return the model of all speakers of a dataset, new or as --start has it.

    Raises DatasetError, SettingsError, MissingWeightsError, WeightsError or DeviceError where it cannot be learned.
    """
    setup = set_up(dataset.manifest, settings, device)
    start = None if settings.start is None else find_checkpoint(Path(settings.start))
    return VitsTrainee(dataset, settings, setup, start, device)


class VitsTrainee:
    """Both networks, and what they learn from (a `VoiceInTraining`).

    Two processes learn as one with the doubled batch does, but for two losses: `kl` is a mean over the frames of a
    process's clips and `lf0` one over its clips filled up to the longest, so that the halves weigh alike whatever
    their lengths are.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: TrainSettings,
        setup: VitsSetup,
        start: CheckpointFiles | None,
        device: torch.device,
    ) -> None:
        self._dataset, self._settings, self._setup, self._device = dataset, settings, setup, device
        self._source = ClipSource(dataset, setup.shape, setup.training, settings.seed)
        speaker = choose_subject(dataset, settings.speaker)
        self._speaker = speaker
        training, notes = begin(setup, start, settings.seed, device)
        self._scaler = KeptScaler(device.type, enabled=setup.number_type == torch.float16)
        self._training: VitsTraining = replace(training, scaler=self._scaler.scaler)
        self._steps = StepCount(_steps_done(training.synthesizer_optimizer))
        self.modules: dict[str, nn.Module] = {
            "synthesizer": training.synthesizer,
            "discriminator": training.discriminator,
            "steps": self._steps,
            "scaler": self._scaler,
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "synthesizer_optimizer": training.synthesizer_optimizer,
            "discriminator_optimizer": training.discriminator_optimizer,
        }
        self.batch_size, self.items_per_epoch = setup.batch_size, float(len(self._source.clips))
        self.number_type = setup.number_type
        n_others = len(dataset.manifest.speakers) - 1
        self.subject = speaker if n_others == 0 else f"{speaker} and {n_others} more"
        self.train_s = sum(clip.n_samples for clip in self._source.clips) / dataset.manifest.sample_rate_hz
        self.enough_s = ENOUGH_S
        self.origins = origins_of(setup.config, None if start is None else start.digest, None)
        self.notes = [*setup.notes, *notes, *self._own_notes(is_new=start is None)]
        self._audience: VitsAudience | None = None
        self._accelerator: Accelerator | None = None

    def prepare(self, accelerator: Accelerator) -> None:
        """See `Trainee`."""
        self._accelerator = accelerator

    def step(self, number: int) -> dict[str, Tensor]:
        """See `Trainee`; raises SettingsError where a loss is no number."""
        accelerator, training = self._ready(), self._training
        part, n_parts = accelerator.process_index, accelerator.num_processes
        rate = learning_rate(self._setup.training, self._source.epoch(number, n_parts, self.batch_size))
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = rate
        batch, draws = self._source.batch(number, part, n_parts, self.batch_size)
        with self._layers_chance(number, part):
            result = training_step(
                training,
                batch.to(self._device),
                draws,
                lambda network: average_gradients(network.parameters(), accelerator),
            )
        losses = result.synthesizer_losses
        total = losses.total()
        if not self._scaler.scaler.is_enabled():  # which passes over a step that overflows
            require_number(total + result.discriminator_loss, number)
        self._steps.done += 1
        scalars = {
            TOTAL: total,
            "loss/d/total": result.discriminator_loss,
            "learning_rate": torch.tensor(rate),
            "grad_norm_d": result.discriminator_gradient_norm,
            "grad_norm_g": result.synthesizer_gradient_norm,
            "loss/g/fm": losses.feature,
            "loss/g/mel": losses.mel,
            "loss/g/kl": losses.kl,
        }
        return scalars if losses.lf0 is None else {**scalars, "loss/g/lf0": losses.lf0}

    def rehearse(self, batch_size: int) -> None:
        """See `Trainee`."""
        accelerator, training = self._ready(), self._training
        kept = {name: value.clone() for name, value in training.discriminator.named_buffers()}
        batch, draws = self._source.batch(0, accelerator.process_index, accelerator.num_processes, batch_size)
        with self._layers_chance(0, accelerator.process_index):
            segments = make_segments(training, batch.to(self._device), draws)
            discriminator_loss(training, segments).backward()
            synthesizer_losses(training, segments).total().backward()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        for name, value in training.discriminator.named_buffers():  # spectral norm refines its own with each call
            value.copy_(kept[name])

    def listen_to(self, given: Sequence[Probe]) -> Judge:
        """See `VoiceInTraining`; raises MissingWeightsError where the encoder must hear `given` ones and is absent."""
        self._audience = VitsAudience(self._dataset, self._speaker, self.voice(), given, self._settings.precision)
        self.notes += self._audience.notes
        return self._audience.judge

    def probe(self) -> ProbeResult:
        """See `Trainee`; every probe is converted, and validation clips are said again."""
        assert self._audience is not None, "listen_to comes first"
        voice = self.voice()
        rebuilt = self._audience.rebuilding(voice)
        more = {} if rebuilt is None else {"rebuilt_mel": rebuilt}
        result = heard_result(self._audience.judge, self._audience.converted(voice), more)
        shown = self._source.shown(self._speaker).to(self._device)
        return replace(result, pictures=training_pictures(self._training, shown))

    def sample(self) -> MonoWave:
        """See `VoiceInTraining`."""
        assert self._audience is not None, "listen_to comes first"
        (wave,) = self._audience.converted(self.voice(), 1)
        return wave

    def voice(self) -> SovitsVoice:
        """Return the voice as it is now, without retrieval."""
        tensors = {name: value.detach().cpu() for name, value in legacy_state(self._training.synthesizer).items()}
        parts = SovitsParts(Network(tensors, self._setup.config), None, None, self._setup.release)
        return SovitsVoice(self._card, parts, str(self._device))

    def save_voice(self, folder: Path, extras: Mapping[str, bytes]) -> VoiceCard:
        """See `VoiceInTraining`; the pair of checkpoints for so-vits-svc is written beside it."""
        accelerator = self._ready()
        epoch = self._source.epoch(int(self._steps.done), accelerator.num_processes, self.batch_size)
        with new_folder(folder.parent / SOVITS_FOLDER) as temporary:
            save_pair(self._training, temporary, epoch=epoch, step=int(self._steps.done))
            config = json.dumps(self._setup.config, indent=2) + "\n"
            (temporary / CONFIG_FILE).write_text(config, encoding="ascii")
        voice = self.voice()
        parts = replace(voice.parts, indexes=self._indexes())
        return save_sovits_voice(voice.card, parts, folder, force=True, extras=extras)

    def _ready(self) -> Accelerator:
        assert self._accelerator is not None, "prepare comes first"
        return self._accelerator

    @contextmanager
    def _layers_chance(self, number: int, part: int) -> Iterator[None]:
        """Let dropout, which asks torch's own generator, draw by seed, step and process; that one stays as it was."""
        seed = layers_seed(self._settings.seed, number, part)
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield

    @functools.cached_property
    def _card(self) -> VoiceCard:
        card = new_card(self._dataset, self._speaker, self._settings, self.train_s)
        if self._setup.shape.speech_encoder != PACKAGED_ENCODER:
            return card
        return replace(card, base=BASE_NAME, base_sha256=load_base().sha256)

    def _indexes(self) -> dict[int, bytes]:
        """Return a feature index of each speaker that has sound enough, by number."""
        dataset = self._dataset
        n_frames = {
            name: sum(len(dataset.units(clip)) for clip in dataset.clips(speaker=name))
            for name in dataset.manifest.speakers
        }
        names = [name for name, count in n_frames.items() if count >= LEAST_FRAMES]
        if not names:
            return {}
        rows = index_rows(dataset, names, IndexSettings(kind="retrieval"), self._device)
        return {self._setup.shape.speakers[name]: flat_index(each) for name, (each, _) in rows.items()}

    def _own_notes(self, *, is_new: bool) -> list[str]:
        notes = []
        if is_new:
            notes.append("the model starts from nothing, which takes many more steps than --start with a trained one")
        if self._source.n_left_out:
            notes.append(f"left out: {counted(self._source.n_left_out, 'clip')} shorter than a training segment")
        if self._setup.shape.speech_encoder == PACKAGED_ENCODER:
            notes.append("so-vits-svc does not know the packaged encoder, so that the voice is for timbre alone")
        return notes


def _steps_done(optimizer: torch.optim.Optimizer) -> int:
    """Return how many steps an optimizer has taken; 0 where it is fresh."""
    return int(max((float(state["step"]) for state in optimizer.state.values()), default=0))
