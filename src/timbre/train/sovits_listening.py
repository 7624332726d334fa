"""Probes as the content encoder of a so-vits-svc voice in training hears them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from timbre.config.convert import ConvertSettings
from timbre.dataset.folder import Dataset
from timbre.dataset.manifest import ClipEntry
from timbre.errors import MissingWeightsError
from timbre.evaluate.waves import MonoWave
from timbre.features.clips import ClipExtractor
from timbre.features.frames import Frames
from timbre.pitch.trackers import load_tracker
from timbre.train.listening import Judge, Probe
from timbre.train.probing import N_TARGETS, PROBE_S, make_judge, other_voices
from timbre.voice.base import Base
from timbre.voice.sovits.voice import SovitsVoice


def judged_clips(dataset: Dataset, subject: str) -> list[ClipEntry]:
    """Return the clips of a speaker that likeness is judged by, those first that are not learned from."""
    return [*dataset.clips("validation", subject), *dataset.clips("train", subject)][:N_TARGETS]


def waves_of(dataset: Dataset, clips: Sequence[ClipEntry]) -> list[MonoWave]:
    """Return the sounds of clips."""
    return [MonoWave(dataset.wave(clip), dataset.manifest.sample_rate_hz) for clip in clips]


class HeardProbes:
    """Probes, heard once, and who judges what a voice makes of them.

    Where the content encoder is not on this machine, probes are clips of the speaker as the dataset holds them. Raises
    MissingWeightsError instead where it is `needed`, or where probes were `given`, which it would have to hear. Their
    pitch moves to that of the speaker, `median_f0_hz`.
    """

    def __init__(
        self,
        dataset: Dataset,
        subject: str,
        median_f0_hz: float,
        voice: SovitsVoice,
        base: Base,
        given: Sequence[Probe],
        settings: ConvertSettings,
        *,
        needed: bool = False,
    ) -> None:
        self.notes: list[str] = []
        self.extractor = self._find_extractor(voice, settings, needed=needed or bool(given))
        clips = judged_clips(dataset, subject)
        others = other_voices(base) if self.extractor is not None else []
        self.judge: Judge = make_judge(base, others, waves_of(dataset, clips), given)
        probes = self.judge.probes
        if self.extractor is None:
            self.frames = [clip_frames(dataset, clip) for clip in clips[: len(probes)]]
        else:
            self.frames = [_heard(probe.wave, self.extractor, voice.device, median_f0_hz) for probe in probes]

    def _find_extractor(self, voice: SovitsVoice, settings: ConvertSettings, *, needed: bool) -> ClipExtractor | None:
        try:
            return voice.extractor(settings)
        except MissingWeightsError:
            if needed:
                raise
            self.notes.append(
                f"the content encoder {voice.frame.encoder} is not on this machine, so that the probes are clips of "
                "the speaker, said again"
            )
            return None


def clip_frames(dataset: Dataset, clip: ClipEntry) -> Frames:
    """Return a clip as the dataset holds it, no more than is heard of a probe."""
    features, manifest = dataset.features(clip), dataset.manifest
    most_frames = round(PROBE_S * manifest.frame_rate_hz) // manifest.hop_samples
    content, f0_hz, voiced, volume = (
        torch.from_numpy(values[:most_frames])
        for values in (features.content, features.f0_hz, features.voiced, features.volume)
    )
    return Frames(content, f0_hz, voiced, 2 * torch.log(volume), manifest.hop_samples, manifest.frame_rate_hz)


def _heard(wave: MonoWave, extractor: ClipExtractor, device: torch.device, median_f0_hz: float) -> Frames:
    """Return what an encoder hears in a sound, moved to the pitch of a speaker."""
    samples = wave.at(extractor.sample_rate_hz).samples
    n_frames = len(samples) // extractor.hop_samples
    track = load_tracker("pm").track(samples, extractor.sample_rate_hz, extractor.hop_samples, n_frames)
    voiced = track.f0_hz[track.voiced]
    ratio = median_f0_hz / float(np.median(voiced)) if len(voiced) and median_f0_hz > 0 else 1.0
    return extractor.frames(torch.from_numpy(samples).to(device), track, ratio)
