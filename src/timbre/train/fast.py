"""Training of the fast family: the decoder of the packaged base learns one voice."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from timbre.config.fast import SAMPLE_RATE_HZ
from timbre.config.train import TrainSettings
from timbre.dataset.folder import Dataset
from timbre.evaluate.waves import MonoWave
from timbre.features.frames import Frames
from timbre.models.fast.decoder import FastDecoder
from timbre.models.fast.discriminator import MelDiscriminator
from timbre.pitch.trackers import load_tracker
from timbre.train.fast_items import Clip, ItemSource, check_fits, choose_speaker, load_clips, seconds_of
from timbre.train.fast_losses import FastLosses, MelPatches
from timbre.train.gradients import average_gradients, require_number
from timbre.train.item_draws import seeded
from timbre.train.listening import Judge, Probe
from timbre.train.probing import (
    EXACT,
    at_16k,
    hear_frames,
    hear_log_mel,
    heard_again,
    make_judge,
    other_voices,
    packaged_phrases,
    said_by,
)
from timbre.train.trainee import ProbeResult, heard_result
from timbre.voice.base import Base, load_base, with_decoder
from timbre.voice.card import VoiceCard, safe_name
from timbre.voice.fast import FastVoice
from timbre.voice.reference import Recordings, listen

if TYPE_CHECKING:
    from accelerate import Accelerator

BETAS, WEIGHT_DECAY, MAX_GRADIENT = (0.8, 0.98), 0.01, 5.0
WARM_UP_STEPS = 50
MEAN_DECAY = 0.99  # of the averaged weights, which become the voice
N_COPIES, MAX_COPIED_S = 2, 600.0
BATCH_SIZE, LEARNING_RATE, SEGMENT_S, PHRASE_SHARE, BASE_SHARE = 6, 1e-3, 1.1, 0.5, 0.25
DISCRIMINATOR_CHANNELS, JUDGING_RATE, JUDGING_BETAS = 32, 5e-4, (0.5, 0.9)
LEARNED_SHARE = 0.75  # measured: docs/TRAINING.md
RANGE_PERCENTILES = (2, 98)
ENOUGH_S = 120.0  # of sound, which makes a clearly better voice than less


@dataclass(frozen=True)
class Speaker:
    """The recordings of the speaker to learn."""

    name: str
    train: Sequence[Clip]
    validation: Sequence[Clip]
    train_s: float


def load_speaker(dataset: Dataset, name: str, base: Base, voices: Sequence[FastVoice]) -> Speaker:
    """Read the clips of a speaker, those to learn from with copies in other voices of the base."""
    entries = dataset.clips("train", name)
    train = with_copies(load_clips(dataset, entries, base), base, voices)
    validation = load_clips(dataset, dataset.clips("validation", name), base)
    return Speaker(name, train, validation, seconds_of(dataset, entries))


def with_copies(clips: Sequence[Clip], base: Base, voices: Sequence[FastVoice]) -> list[Clip]:
    """Return the clips with what the base hears when it says them in other voices, of the first ten minutes."""
    made, seconds = [], 0.0
    for number, clip in enumerate(clips):
        seconds += len(clip.wave) / SAMPLE_RATE_HZ
        if not voices or seconds > MAX_COPIED_S:
            made.append(clip)
            continue
        chosen = [voices[(number + offset) % len(voices)] for offset in range(min(N_COPIES, len(voices)))]
        copies = tuple(heard_again(base, said_by(voice, clip.frames))[: len(clip.f0_hz)] for voice in chosen)
        made.append(replace(clip, copies=copies))
    return made


def fast_voice(dataset: Dataset, settings: TrainSettings, device: torch.device) -> FastTrainee:
    """Return the voice of a speaker of a dataset, as the packaged base knows it so far.

    Raises DatasetError where the dataset or its speaker cannot be learned.
    """
    name = choose_speaker(dataset, settings.speaker)
    base = load_base(device=str(device))
    check_fits(dataset, base)
    voices = other_voices(base)
    phrases = packaged_phrases(base) if _phrase_share(settings) else None
    return FastTrainee(base, load_speaker(dataset, name, base, voices), phrases, voices, settings)


def _phrase_share(settings: TrainSettings) -> float:
    return PHRASE_SHARE if settings.phrase_share is None else settings.phrase_share


class FastTrainee:
    """The decoder that learns, its averaged copy, and what they learn from (a `VoiceInTraining`)."""

    def __init__(
        self,
        base: Base,
        speaker: Speaker,
        phrases: Frames | None,
        voices: Sequence[FastVoice],
        settings: TrainSettings,
    ) -> None:
        self._base, self._speaker, self._voices, self._settings = base, speaker, voices, settings
        self._rate = settings.learning_rate or LEARNING_RATE
        self._base_share = BASE_SHARE if settings.base_share is None else settings.base_share
        segment_s = settings.segment_s or SEGMENT_S
        references = [voice.reference for voice in voices]
        self._phrase_share = _phrase_share(settings)
        self._items = ItemSource(speaker.train, phrases, references, segment_s, settings.seed)
        with seeded(settings.seed):
            self._discriminator = MelDiscriminator(DISCRIMINATOR_CHANNELS)
        self._losses = FastLosses(base.networks, self._discriminator)
        self._averaged = copy.deepcopy(self._losses.decoder).eval().requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            self._losses.decoder.parameters(), self._rate, BETAS, weight_decay=WEIGHT_DECAY
        )
        self._judging_optimizer = torch.optim.AdamW(self._discriminator.parameters(), JUDGING_RATE, JUDGING_BETAS)
        self.modules: dict[str, nn.Module] = {
            "decoder": self._losses.decoder,
            "averaged": self._averaged,
            "discriminator": self._discriminator,
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "optimizer": self._optimizer,
            "judging_optimizer": self._judging_optimizer,
        }
        self.batch_size = settings.batch_size or BATCH_SIZE
        self.items_per_epoch = speaker.train_s / segment_s
        self.subject, self.train_s, self.enough_s = speaker.name, speaker.train_s, ENOUGH_S
        self.origins = {"version of the base": base.sha256}
        self.number_type = torch.float32
        self.notes: Sequence[str] = ()
        self._wrapped: nn.Module = self._losses
        self._judge: Judge | None = None
        self._heard: Sequence[Frames] = ()  # in the probes
        self._accelerator: Accelerator | None = None

    def prepare(self, accelerator: Accelerator) -> None:
        """See `Trainee`."""
        self._accelerator = accelerator
        self.number_type = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
        self._averaged.to(accelerator.device)
        self._discriminator.to(accelerator.device)
        self._wrapped = accelerator.prepare_model(self._losses)

    def step(self, number: int) -> dict[str, Tensor]:
        """See `Trainee`; raises SettingsError where a gradient is no number."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * min(1.0, (number + 1) / WARM_UP_STEPS)
        losses = self._gradients(number, self.batch_size)
        norm = nn.utils.clip_grad_norm_(self._losses.decoder.parameters(), MAX_GRADIENT)
        require_number(norm, number)  # which is the same in all processes
        self._optimizer.step()
        self._judging_optimizer.step()
        self._average(number)
        return losses | {"grad_norm_g": norm, "learning_rate": torch.tensor(self._optimizer.param_groups[0]["lr"])}

    def rehearse(self, batch_size: int) -> None:
        """See `Trainee`."""
        self._gradients(0, batch_size)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def _gradients(self, number: int, batch_size: int) -> dict[str, Tensor]:
        """Give decoder and discriminator their gradients, and return the losses of both by names for TensorBoard."""
        accelerator = self._accelerator
        assert accelerator is not None, "prepare comes first"
        n_phrases, n_others = (round(share * batch_size) for share in (self._phrase_share, self._base_share))
        items = self._items.draw(number, accelerator.process_index, batch_size, n_phrases, n_others)
        losses: dict[str, Tensor]
        patches: MelPatches
        losses, patches = self._wrapped(items.to(accelerator.device), number)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        accelerator.backward(losses["total"])
        with accelerator.autocast():
            judging_loss = patches.discriminator_loss(self._discriminator)
        judging_loss.backward()
        average_gradients(self._discriminator.parameters(), accelerator)
        shown = {f"loss/g/{name}": loss.detach() for name, loss in losses.items()}
        return {**shown, "loss/d/total": judging_loss.detach()}

    @torch.no_grad()
    def _average(self, number: int) -> None:
        decay = min(MEAN_DECAY, (1 + number) / (10 + number))
        for mean, value in zip(self._averaged.parameters(), self._losses.decoder.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)

    def voice(self) -> FastVoice:
        """Return the voice as it is now: decoder, and a reference of all clips to learn from."""
        base, settings = with_decoder(self._base, self._decoder()), self._settings
        heard = self._recordings
        f0_hz = torch.cat([clip.f0_hz for clip in self._speaker.train]).numpy()
        low, high = np.percentile(f0_hz[f0_hz > 0], RANGE_PERCENTILES)
        card = VoiceCard(
            name=safe_name(settings.name or self._speaker.name),
            description=f"trained on {self._speaker.train_s / 60:.1f} min of sound",
            languages=(),
            median_f0_hz=round(heard.median_f0_hz, 1),
            licence=settings.licence,
            attribution=settings.attribution,
            consent=settings.consent,
            lowest_f0_hz=round(float(low), 1),
            highest_f0_hz=round(float(high), 1),
            base=base.name,
            base_sha256=base.sha256,
            reference_s=round(heard.seconds, 1),
        )
        return FastVoice(card, base, heard.reference(base))

    @torch.no_grad()
    def _decoder(self) -> FastDecoder:
        """Return the decoder of the voice: on the way from the base's weights to the averaged ones.

        Between the two likeness and the words of the base go together better than at either end (Wortsman et al. 2022,
        "Robust fine-tuning of zero-shot models").
        """
        share = LEARNED_SHARE if self._settings.learned_share is None else self._settings.learned_share
        decoder = copy.deepcopy(self._averaged)
        for value, of_base in zip(decoder.parameters(), self._base.networks.decoder.parameters(), strict=True):
            value.copy_(of_base.lerp(value, share))
        return decoder

    @functools.cached_property
    def _recordings(self) -> Recordings:
        """What is heard in all clips to learn from."""
        return listen(self._base, (at_16k(clip.wave) for clip in self._speaker.train), load_tracker("pm"))

    def listen_to(self, given: Sequence[Probe]) -> Judge:
        """See `VoiceInTraining`."""
        clips = [*self._speaker.validation, *self._speaker.train]
        waves = [MonoWave(clip.wave.numpy(), SAMPLE_RATE_HZ) for clip in clips]
        self._judge = make_judge(self._base, self._voices, waves, given)
        self._heard = [hear_frames(self._base, probe.wave) for probe in self._judge.probes]
        return self._judge

    def probe(self) -> ProbeResult:
        """See `Trainee`; every probe is converted, and validation clips are rebuilt."""
        assert self._judge is not None, "listen_to comes first"
        voice = self.voice()
        converted = [_converted(voice, frames) for frames in self._heard]
        rebuilt = [self._rebuilding(voice, clip) for clip in self._speaker.validation]
        return heard_result(self._judge, converted, {"rebuilt_mel": float(np.mean(rebuilt))} if rebuilt else {})

    def sample(self) -> MonoWave:
        """See `VoiceInTraining`."""
        assert self._judge is not None, "listen_to comes first"
        return _converted(self.voice(), self._heard[0])

    def save_voice(self, folder: Path, extras: Mapping[str, bytes]) -> VoiceCard:
        """See `VoiceInTraining`."""
        return self.voice().save(folder, force=True, extras=extras)

    def _rebuilding(self, voice: FastVoice, clip: Clip) -> float:
        """Return how far the log-mel of a rebuilt clip is from its own, L1."""
        rebuilt = voice.render(clip.frames, EXACT)
        log_mel = hear_log_mel(self._base, at_16k(rebuilt)).cpu()
        n_frames = min(len(log_mel), len(clip.log_mel))
        return float((log_mel[:n_frames] - clip.log_mel[:n_frames]).abs().mean())


def _converted(voice: FastVoice, frames: Frames) -> MonoWave:
    return MonoWave(said_by(voice, frames).cpu().numpy(), SAMPLE_RATE_HZ)
