"""How good a so-vits-svc model in training is: probes that it converts, and clips that it says again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from timbre.config.convert import ConvertSettings
from timbre.dataset.folder import Dataset
from timbre.dsp import frontend
from timbre.errors import MissingWeightsError
from timbre.evaluate.waves import MonoWave
from timbre.features.clips import ClipExtractor
from timbre.features.frames import Frames
from timbre.train.diffusion_listening import clip_frames, heard_frames
from timbre.train.listening import Judge, Probe
from timbre.train.probing import N_TARGETS, PROBE_S, make_judge, other_voices
from timbre.voice.base import Base, load_base
from timbre.voice.sovits.voice import SovitsVoice

N_REBUILT = 4


class VitsAudience:
    """Probes and validation clips, heard once, and who judges what a voice makes of them.

    Where the content encoder is not on this machine, probes are clips of the speaker as the dataset holds them. Raises
    MissingWeightsError where probes were `given` that it would have to hear.
    """

    def __init__(
        self, dataset: Dataset, subject: str, voice: SovitsVoice, given: Sequence[Probe], precision: str
    ) -> None:
        self.notes: list[str] = []
        self._settings = ConvertSettings(speaker=subject, precision=precision)
        self._base = load_base(device=str(voice.device))
        self._extractor = self._find_extractor(voice, needed=bool(given))
        held_out, known = (dataset.clips(split, subject) for split in ("validation", "train"))
        clips = [*held_out, *known][:N_TARGETS]
        waves = [MonoWave(dataset.wave(clip), dataset.manifest.sample_rate_hz) for clip in clips]
        others = other_voices(self._base) if self._extractor is not None else []
        self.judge: Judge = make_judge(self._base, others, waves, given)
        most_frames = round(PROBE_S * voice.sample_rate_hz / voice.hop_samples)
        own = [clip_frames(dataset, clip, min(clip.n_frames, most_frames)) for clip in clips]
        rebuilt = min(len(held_out), N_REBUILT)
        self._rebuilt = list(zip(own[:rebuilt], waves[:rebuilt], strict=True))
        if self._extractor is None:
            self._heard = own[: len(self.judge.probes)]
        else:
            median_f0_hz = voice.card.median_f0_hz
            self._heard = [
                heard_frames(probe.wave, self._extractor, voice.device, median_f0_hz) for probe in self.judge.probes
            ]

    def converted(self, voice: SovitsVoice, n_probes: int | None = None) -> list[MonoWave]:
        """Return the first probes, by default all, as a voice says them."""
        return [self._said(voice, frames) for frames in self._heard[:n_probes]]

    def rebuilding(self, voice: SovitsVoice) -> float | None:
        """Return how far validation clips that a voice says again are from themselves; None where there are none.

        It is the mean distance of the natural logarithms of mel band powers, as the packaged base hears them.
        """
        distances = [
            float(_log_mel_distance(self._base, self._said(voice, frames), wave)) for frames, wave in self._rebuilt
        ]
        return float(np.mean(distances)) if distances else None

    def _said(self, voice: SovitsVoice, frames: Frames) -> MonoWave:
        sound = voice.renderer(self._settings, self._extractor).render(frames)
        return MonoWave(sound.float().cpu().numpy(), voice.sample_rate_hz).finite()

    def _find_extractor(self, voice: SovitsVoice, *, needed: bool) -> ClipExtractor | None:
        try:
            return voice.extractor(self._settings)
        except MissingWeightsError:
            if needed:
                raise
            self.notes.append(
                f"the content encoder {voice.frame.encoder} is not on this machine, so that the probes are clips of "
                "the speaker, said again"
            )
            return None


@torch.no_grad()
def _log_mel_distance(base: Base, one: MonoWave, other: MonoWave) -> Tensor:
    """Return the mean distance of what a base hears in two sounds, as far as both go."""
    hearing = base.networks.content.frontend

    def log_mel(wave: MonoWave) -> Tensor:
        samples = torch.from_numpy(wave.at(frontend.SAMPLE_RATE_HZ).samples).to(base.device)
        return hearing.log_mel(hearing.power(samples[None]))[0]

    first, second = log_mel(one), log_mel(other)
    n_frames = min(len(first), len(second))
    return (first[:n_frames] - second[:n_frames]).abs().mean()
