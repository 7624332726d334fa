"""How good a so-vits-svc model in training is: probes that it converts, and clips that it says again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from timbre.config.convert import ConvertSettings
from timbre.dataset.folder import Dataset
from timbre.dsp import frontend
from timbre.evaluate.waves import MonoWave
from timbre.features.frames import Frames
from timbre.train.listening import Judge, Probe
from timbre.train.probing import hear_log_mel
from timbre.train.sovits_listening import HeardProbes, clip_frames, waves_of
from timbre.voice.base import Base, load_base
from timbre.voice.sovits.voice import SovitsVoice

N_REBUILT = 4


class VitsAudience:
    """Probes and validation clips, heard once, and who judges what a voice makes of them.

    Raises MissingWeightsError where probes were `given` and the content encoder is not on this machine.
    """

    def __init__(
        self, dataset: Dataset, subject: str, voice: SovitsVoice, given: Sequence[Probe], precision: str
    ) -> None:
        self._settings = ConvertSettings(speaker=subject, precision=precision)
        self._base = load_base(device=str(voice.device))
        median_f0_hz = voice.card.median_f0_hz
        self._probes = HeardProbes(dataset, subject, median_f0_hz, voice, self._base, given, self._settings)
        self.judge: Judge = self._probes.judge
        self.notes = self._probes.notes
        held_out = dataset.clips("validation", subject)[:N_REBUILT]
        frames = [clip_frames(dataset, clip) for clip in held_out]
        self._rebuilt = list(zip(frames, waves_of(dataset, held_out), strict=True))

    def converted(self, voice: SovitsVoice, n_probes: int | None = None) -> list[MonoWave]:
        """Return the first probes, by default all, as a voice says them."""
        return [self._said(voice, frames) for frames in self._probes.frames[:n_probes]]

    def rebuilding(self, voice: SovitsVoice) -> float | None:
        """Return how far validation clips that a voice says again are from themselves; None where there are none.

        It is the mean distance of the natural logarithms of mel band powers, as the packaged base hears them.
        """
        distances = [_log_mel_distance(self._base, self._said(voice, frames), wave) for frames, wave in self._rebuilt]
        return float(np.mean(distances)) if distances else None

    def _said(self, voice: SovitsVoice, frames: Frames) -> MonoWave:
        sound = voice.renderer(self._settings, self._probes.extractor).render(frames)
        return MonoWave(sound.float().cpu().numpy(), voice.sample_rate_hz).finite()


def _log_mel_distance(base: Base, one: MonoWave, other: MonoWave) -> float:
    """Return the mean distance of what a base hears in two sounds, as far as both go."""
    first, second = (hear_log_mel(base, wave.at(frontend.SAMPLE_RATE_HZ).samples) for wave in (one, other))
    n_frames = min(len(first), len(second))
    return float((first[:n_frames] - second[:n_frames]).abs().mean())
