"""How good a diffusion model in training is: probes that it renders again each time, and validation items."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.config.convert import ConvertSettings
from timbre.dataset.folder import Dataset
from timbre.dsp.volume import frame_volume
from timbre.evaluate.waves import MonoWave
from timbre.features.clips import ClipExtractor
from timbre.features.frames import Frames
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.nn.draws import SeededDraws
from timbre.nn.precision import reduced_type
from timbre.pitch.gaps import bridge
from timbre.train.diffusion_items import DiffusionItemSource
from timbre.train.listening import Judge, Probe
from timbre.train.sovits_listening import HeardProbes, judged_clips, waves_of
from timbre.voice.base import load_base
from timbre.voice.sovits.building import BuiltNetworks
from timbre.voice.sovits.voice import SovitsVoice

SAMPLER, SAMPLER_STEPS = "unipc", 10
"""Few steps, so that listening takes little time; a conversion takes as many as its settings say."""

N_VALIDATED, N_SAMPLED = 16, 4
MOST_MEL_ERROR = 0.1  # between a dataset and the vocoder that it was prepared for


@dataclass(frozen=True, eq=False)
class HeardProbe:
    """What the model is given for a probe, on T frames."""

    units: Tensor  # [1, T, U]
    f0_hz: Tensor  # [1, T], gaps bridged
    volume: Tensor  # [1, T, 1]
    speaker: Tensor  # [1]
    mel: Tensor | None  # [1, T, M], to refine; None: it begins with noise
    depth: int  # steps of the schedule to go down


class ProbeRenderer:
    """Renders probes with the diffusion model as it is at that time.

    `voice` has a vocoder and the settings of the diffusion model. With a main model, for which it needs `extractor`,
    that one's conversion is refined; without, the model renders alone from noise, or refines the probe itself where it
    was not trained so deep.
    """

    def __init__(
        self, voice: SovitsVoice, speaker: str, extractor: ClipExtractor | None, settings: ConvertSettings
    ) -> None:
        assert voice.diffusion_shape is not None
        self._voice, self._shape, self._extractor = voice, voice.diffusion_shape, extractor
        self._speaker, self._settings = torch.tensor([self._shape.speakers[speaker]]), settings
        networks = BuiltNetworks(voice.parts, voice.shape, voice.diffusion_shape, voice.device)
        self._vocoder = networks.vocoder(reduced_type(settings.precision, voice.device))

    @torch.no_grad()
    def hear(self, frames: Frames, wave: MonoWave) -> HeardProbe:
        """Return what the model is given for a probe, of which `wave` is the sound."""
        voice, shape, n_frames = self._voice, self._shape, len(frames.f0_hz)
        content, f0_hz, voiced, volume = frames.content, frames.f0_hz, frames.voiced, torch.exp(0.5 * frames.loudness)
        bridged_hz = torch.from_numpy(bridge(np.where(voiced.cpu(), f0_hz.cpu(), 0))).float()
        mel, depth = None, shape.k_step_max
        if voice.shape is not None:
            assert self._extractor is not None
            sound = voice.renderer(self._settings, self._extractor).render(frames)
            mel, depth = self._mel(sound, n_frames), min(self._settings.diffusion_steps, shape.k_step_max)
            volume = volume if voice.shape.vol_embedding else frame_volume(sound, voice.hop_samples)
        elif shape.k_step_max < shape.timesteps:
            mel = self._mel(torch.from_numpy(wave.at(voice.sample_rate_hz).samples), n_frames)
        tensors = (content[None], bridged_hz[None], volume[None, :, None], self._speaker)
        units, f0_hz, volume, speaker = (tensor.to(voice.device) for tensor in tensors)
        return HeardProbe(units, f0_hz, volume, speaker, mel, depth)

    @torch.no_grad()
    def render(self, probe: HeardProbe, model: Unit2Mel) -> MonoWave:
        """Return the probe as the model renders it."""
        draws = SeededDraws(self._settings.seed)
        condition = model.condition(probe.units, probe.f0_hz[..., None], probe.volume, probe.speaker)
        mel = _sampled(model, condition, probe.mel, probe.depth, draws)
        sound = self._vocoder.synthesize(mel.transpose(1, 2), probe.f0_hz, draws)
        return MonoWave(sound[0, 0].float().cpu().numpy(), self._voice.sample_rate_hz).finite()

    @torch.no_grad()
    def mel_error(self, wave: MonoWave, mel: NDArray[np.float32]) -> float:
        """Return how far what the vocoder hears in a sound is from `mel` [T, M] of the dataset, L1."""
        own = self._mel(torch.from_numpy(wave.at(self._voice.sample_rate_hz).samples), len(mel))[0].cpu()
        return float((own - torch.from_numpy(mel[: len(own)])).abs().mean())

    def _mel(self, sound: Tensor, n_frames: int) -> Tensor:
        """Sound [N] -> what the vocoder hears in it, [1, n_frames, M]."""
        return self._vocoder.mel(sound[None].to(self._voice.device)).transpose(1, 2)[:, :n_frames]


class DiffusionAudience:
    """Probes, heard once, and their judge.

    Raises MissingWeightsError where the content encoder is not on this machine and probes were `given`, or the voice
    has a main model, which must hear them.
    """

    def __init__(
        self,
        dataset: Dataset,
        subject: str,
        median_f0_hz: float,  # of the subject
        voice: SovitsVoice,
        given: Sequence[Probe],
        precision: str,
    ) -> None:
        settings = ConvertSettings(speaker=subject if subject in voice.speakers else None, precision=precision)
        base, needed = load_base(device=str(voice.device)), voice.shape is not None
        probes = HeardProbes(dataset, subject, median_f0_hz, voice, base, given, settings, needed=needed)
        self.judge: Judge = probes.judge
        self.notes = probes.notes
        self._renderer = ProbeRenderer(voice, subject, probes.extractor, settings)
        waves = [probe.wave for probe in self.judge.probes]
        self._heard = [self._renderer.hear(*each) for each in zip(probes.frames, waves, strict=True)]
        clip = judged_clips(dataset, subject)[0]
        (wave,), mel = waves_of(dataset, [clip]), dataset.features(clip).mel
        if mel is not None and self._renderer.mel_error(wave, mel) > MOST_MEL_ERROR:
            self.notes.append(
                "the vocoder hears other mel spectrograms than the dataset was prepared with, so that neither the "
                "probes nor conversions with it will sound right"
            )

    def rendered(self, model: Unit2Mel) -> list[MonoWave]:
        """Return all probes as the model renders them."""
        return [self._renderer.render(heard, model) for heard in self._heard]

    def sample(self, model: Unit2Mel) -> MonoWave:
        """Return the first probe as the model renders it."""
        return self._renderer.render(self._heard[0], model)


class Validation:
    """Items that are not learned from, always the same ones with the same chance."""

    def __init__(self, source: DiffusionItemSource) -> None:
        self._source = source

    @torch.no_grad()
    def numbers(self, model: Unit2Mel, device: torch.device) -> dict[str, float]:
        """Return the loss, and how far sampled mel spectrograms are from the true ones, L1 of natural logarithms."""
        items, draws = self._source.draw(0, 0, 1, N_VALIDATED)
        items = items.to(device)
        condition = model.condition(items.units, items.f0_hz, items.volume, items.speaker, items.aug_shift)
        loss = model.training_loss(condition, items.mel, draws)
        shape, mel = model.shape, items.mel[:N_SAMPLED]
        start = mel if shape.k_step_max < shape.timesteps else None
        sampled = _sampled(model, condition[:N_SAMPLED], start, shape.k_step_max, SeededDraws(0))
        return {"mel_distance": float((sampled - mel).abs().mean()), "validation_loss": float(loss)}


def ready_for_use(model: Unit2Mel, number_type: torch.dtype) -> Unit2Mel:
    """Return the model for sampling, in a reduced type a copy of it."""
    if number_type == torch.float32:
        return model
    reduced = copy.deepcopy(model)
    reduced.reduce(number_type)
    return reduced


def _sampled(model: Unit2Mel, condition: Tensor, mel: Tensor | None, depth: int, draws: SeededDraws) -> Tensor:
    """Condition [B, T, Hh] and what to refine, [B, T, M] or None for noise -> log-mel [B, T, M]."""
    speedup = max(1, depth // SAMPLER_STEPS)
    return model.sample(condition, draws, method=SAMPLER, speedup=speedup, k_step=depth, mel=mel)
