"""Training of the fast family: the decoder of the packaged base learns one voice."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from timbre.audio.resample import resample
from timbre.config.convert import ConvertSettings
from timbre.config.fast import SAMPLE_RATE_HZ
from timbre.config.train import TrainSettings
from timbre.dataset.folder import Dataset
from timbre.dsp import frontend
from timbre.evaluate.waves import MonoWave
from timbre.features.frames import Frames
from timbre.pitch.trackers import load_tracker
from timbre.speaker.fast import relative_log_mel
from timbre.train import fast_items
from timbre.train.fast_items import Clip, ItemSource, heard_again, load_clips, seconds_of
from timbre.train.fast_losses import FastLosses
from timbre.train.listening import Judge, Probe, independent_embed, score_of, words_of
from timbre.train.trainee import ProbeResult
from timbre.voice import shelf
from timbre.voice.base import Base, with_decoder
from timbre.voice.card import CARD_FILE, VoiceCard, safe_name
from timbre.voice.fast import FastVoice, read_voice
from timbre.voice.reference import hear

if TYPE_CHECKING:
    from accelerate import Accelerator

BETAS, WEIGHT_DECAY, MAX_GRADIENT = (0.8, 0.98), 0.01, 5.0
WARM_UP_STEPS = 50
MEAN_DECAY = 0.99  # of the averaged weights, which become the voice
N_COPIES, MAX_COPIED_S = 2, 600.0
N_PROBES, N_TARGETS, PROBE_S = 4, 10, 8.0
RANGE_PERCENTILES = (2, 98)


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


def other_voices(base: Base) -> list[FastVoice]:
    """Return the packaged voices, in the order of their names."""
    folders = sorted(path.parent for path in (shelf.ASSETS / "voices").glob(f"*/{CARD_FILE}"))
    return [read_voice(folder, base) for folder in folders]


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


def said_by(voice: FastVoice, frames: Frames) -> Tensor:
    """Return frames in a voice [T * 441], moved to its pitch."""
    voiced = frames.f0_hz[frames.f0_hz > 0]
    factor = voice.card.median_f0_hz / float(voiced.median()) if len(voiced) else 1.0
    return voice.render(replace(frames, f0_hz=frames.f0_hz * factor), ConvertSettings())


class FastTrainee:
    """The decoder that learns, its averaged copy, and what they learn from (a `timbre.train.trainee.Trainee`)."""

    def __init__(self, base: Base, speaker: Speaker, voices: Sequence[FastVoice], settings: TrainSettings) -> None:
        self._base, self._speaker, self._settings = base, speaker, settings
        references = [voice.reference for voice in voices]
        self._items = ItemSource(speaker.train, references, settings.segment_s, settings.seed)
        self._losses = FastLosses(base.networks)
        self._averaged = copy.deepcopy(self._losses.decoder).eval().requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            self._losses.decoder.parameters(), settings.learning_rate, BETAS, weight_decay=WEIGHT_DECAY
        )
        self.modules: dict[str, nn.Module] = {"decoder": self._losses.decoder, "averaged": self._averaged}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"optimizer": self._optimizer}
        self.items_per_epoch = speaker.train_s / settings.segment_s
        self._wrapped: nn.Module = self._losses
        self._judge: Judge | None = None
        self._accelerator: Accelerator | None = None

    def prepare(self, accelerator: Accelerator) -> None:
        """See `Trainee`."""
        self._accelerator = accelerator
        self._averaged.to(accelerator.device)
        self._wrapped = accelerator.prepare_model(self._losses)

    def step(self, number: int) -> dict[str, Tensor]:
        """See `Trainee`."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * min(1.0, (number + 1) / WARM_UP_STEPS)
        losses = self._gradients(number, self._settings.batch_size)
        nn.utils.clip_grad_norm_(self._losses.decoder.parameters(), MAX_GRADIENT)
        self._optimizer.step()
        self._average(number)
        return losses

    def rehearse(self, batch_size: int) -> None:
        """See `Trainee`."""
        self._gradients(0, batch_size)
        self._optimizer.zero_grad(set_to_none=True)

    def _gradients(self, number: int, batch_size: int) -> dict[str, Tensor]:
        accelerator = self._accelerator
        assert accelerator is not None, "prepare comes first"
        n_others = round(self._settings.base_share * batch_size)
        items = self._items.draw(number, accelerator.process_index, batch_size, n_others)
        losses: dict[str, Tensor] = self._wrapped(items.to(accelerator.device), number)
        self._optimizer.zero_grad(set_to_none=True)
        accelerator.backward(losses["total"])
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def _average(self, number: int) -> None:
        decay = min(MEAN_DECAY, (1 + number) / (10 + number))
        for mean, value in zip(self._averaged.parameters(), self._losses.decoder.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)

    def voice(self) -> FastVoice:
        """Return the voice as it is now: the averaged decoder, and a reference of all clips to learn from."""
        base, settings = with_decoder(self._base, self._averaged), self._settings
        heard = hear(base, (_at_16k(clip.wave) for clip in self._speaker.train), load_tracker("pm"))
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
        return FastVoice(card, base, heard.reference)

    def listen_with(self, judge: Judge) -> None:
        """Choose what `probe` listens to."""
        self._judge = judge

    def probe(self) -> ProbeResult:
        """See `Trainee`; every probe is converted, and validation clips are rebuilt."""
        assert self._judge is not None, "listen_with comes first"
        voice = self.voice()
        converted = [self.convert(voice, probe) for probe in self._judge.probes]
        numbers = self._judge.judge(converted)
        if self._speaker.validation:
            numbers["rebuilt_mel"] = float(
                np.mean([self._rebuilding(voice, clip) for clip in self._speaker.validation])
            )
        sounds = {probe.name: wave.samples for probe, wave in zip(self._judge.probes, converted, strict=True)}
        return ProbeResult(score_of(numbers), numbers, sounds, SAMPLE_RATE_HZ)

    def convert(self, voice: FastVoice, probe: Probe) -> MonoWave:
        """Give a probe the voice, moved to its pitch."""
        wave_16k = probe.wave.at(frontend.SAMPLE_RATE_HZ).samples
        n_frames = len(wave_16k) // frontend.HOP_SAMPLES
        track = load_tracker("pm").track(wave_16k, frontend.SAMPLE_RATE_HZ, frontend.HOP_SAMPLES, n_frames)
        device = self._base.device
        frames = voice.extractor.whole(torch.from_numpy(wave_16k).to(device), torch.from_numpy(track.f0_hz).to(device))
        return MonoWave(said_by(voice, frames).cpu().numpy(), SAMPLE_RATE_HZ)

    def _rebuilding(self, voice: FastVoice, clip: Clip) -> float:
        """Return how far the log-mel of a rebuilt clip is from its own, L1."""
        rebuilt = voice.render(clip.frames, ConvertSettings())
        hearing = self._base.networks.content.frontend
        with torch.no_grad():
            narrow = torch.from_numpy(_at_16k(rebuilt)).to(self._base.device).unsqueeze(0)
            log_mel = hearing.log_mel(hearing.power(narrow))[0].cpu()
        n_frames = min(len(log_mel), len(clip.log_mel))
        return float((log_mel[:n_frames] - clip.log_mel[:n_frames]).abs().mean())


def make_judge(base: Base, speaker: Speaker, voices: Sequence[FastVoice], given: Sequence[Probe]) -> Judge:
    """Return who listens: to the `given` probes, or else to clips of the speaker that other voices say.

    Validation clips come first. Without the independent speaker encoder the one of the base compares voices.
    """
    clips = [*speaker.validation, *speaker.train]
    probes = list(given)
    for number, clip in enumerate(clips[:N_PROBES] if not given and voices else ()):
        voice = voices[number % len(voices)]
        probes.append(Probe(f"{number + 1} by {voice.card.name}", _mono(said_by(voice, clip.frames))))
    if not probes:
        probes = [Probe(f"{number + 1}", _mono(clip.wave)) for number, clip in enumerate(clips[:N_PROBES])]
    targets = [_mono(clip.wave) for clip in clips[:N_TARGETS]]
    embed = independent_embed()
    return Judge(probes, targets, embed or (lambda wave: _base_vector(base, wave)), lambda wave: _content(base, wave))


def given_probe(name: str, wave: MonoWave) -> Probe:
    """Return a probe of a recording, no more than its first seconds, with the words that are heard in it."""
    short = MonoWave(wave.samples[: round(PROBE_S * wave.sample_rate_hz)], wave.sample_rate_hz)
    return Probe(name, short, words_of(short))


def _mono(wave: Tensor) -> MonoWave:
    return MonoWave(wave.cpu().numpy()[: round(PROBE_S * SAMPLE_RATE_HZ)], SAMPLE_RATE_HZ)


def _at_16k(wave: Tensor) -> NDArray[np.float32]:
    return resample(wave.cpu().numpy(), SAMPLE_RATE_HZ, frontend.SAMPLE_RATE_HZ)


@torch.no_grad()
def _base_vector(base: Base, wave: MonoWave) -> NDArray[np.float32]:
    hearing = base.networks.content.frontend
    samples = torch.from_numpy(wave.at(frontend.SAMPLE_RATE_HZ).samples).to(base.device).unsqueeze(0)
    vector: NDArray[np.float32] = (
        base.networks.speaker(relative_log_mel(hearing.log_mel(hearing.power(samples))))[0].cpu().numpy()
    )
    return vector


def _content(base: Base, wave_16k: NDArray[np.float32]) -> NDArray[np.float32]:
    content: NDArray[np.float32] = fast_items.hear_content(base, wave_16k).numpy()
    return content
