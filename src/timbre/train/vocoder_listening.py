"""How good a vocoder in training is: recordings that it copies through their mel spectrograms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from timbre.dataset.folder import Dataset
from timbre.evaluate.waves import MonoWave
from timbre.nn.draws import SeededDraws
from timbre.pitch.trackers import load_tracker
from timbre.train.listening import Judge, Probe
from timbre.train.probing import N_PROBES, PROBE_S, make_judge
from timbre.train.sovits_listening import judged_clips, waves_of
from timbre.train.trainee import ProbeResult, heard_result
from timbre.train.vocoder_items import VocoderClip, make_clip, read_clip
from timbre.vocoder.nsf_hifigan import NsfHifigan
from timbre.voice.base import load_base


class CopyingAudience:
    """Clips of a speaker, those first that are not learned from, and the probes that were `given` besides."""

    def __init__(
        self, dataset: Dataset, subject: str, vocoder: NsfHifigan, given: Sequence[Probe], device: torch.device
    ) -> None:
        entries = judged_clips(dataset, subject)
        self._device = device
        self.judge: Judge = make_judge(load_base(device=str(device)), [], waves_of(dataset, entries), given)
        self._clips = [_shortened(read_clip(dataset, entry, vocoder), vocoder) for entry in entries[:N_PROBES]]
        self._heard = [_heard(probe.wave, vocoder) for probe in given] or self._clips

    def result(self, vocoder: NsfHifigan) -> ProbeResult:
        """Judge a vocoder that is ready for use.

        The score is the distance of the mel spectrograms of clips and copies, L1 of natural logarithms, with a minus.
        """
        copies = [self._copied(clip, vocoder) for clip in self._clips]
        distance = float(np.mean([self._distance(*pair, vocoder) for pair in zip(copies, self._clips, strict=True)]))
        heard = copies if self._heard is self._clips else [self._copied(clip, vocoder) for clip in self._heard]
        return heard_result(self.judge, heard, {"mel_distance": distance}, -distance)

    def sample(self, vocoder: NsfHifigan) -> MonoWave:
        """Return the copy of the first probe."""
        return self._copied(self._heard[0], vocoder)

    def _copied(self, clip: VocoderClip, vocoder: NsfHifigan) -> MonoWave:
        sound = vocoder.synthesize(clip.mel[None].to(self._device), clip.f0_hz[None].to(self._device), SeededDraws(0))
        return MonoWave(sound[0, 0].float().cpu().numpy(), vocoder.shape.sample_rate_hz).finite()

    def _distance(self, wave: MonoWave, clip: VocoderClip, vocoder: NsfHifigan) -> float:
        mel = vocoder.mel(torch.from_numpy(wave.samples)[None].to(self._device))[0].cpu()
        return float((mel - clip.mel).abs().mean())


def ready_for_use(vocoder: NsfHifigan, number_type: torch.dtype) -> NsfHifigan:
    """Return a copy of a vocoder in training, for use."""
    ready = vocoder.copy_for_use()
    if number_type != torch.float32:
        ready.reduce(number_type)
    return ready


def _heard(wave: MonoWave, vocoder: NsfHifigan) -> VocoderClip:
    """Return a sound as a vocoder hears it."""
    rate, hop = vocoder.shape.sample_rate_hz, vocoder.shape.hop_samples
    samples = wave.at(rate).samples
    return make_clip(samples, load_tracker("pm").track(samples, rate, hop).f0_hz, hop / rate, vocoder)


def _shortened(clip: VocoderClip, vocoder: NsfHifigan) -> VocoderClip:
    """Return the beginning of a clip, no longer than probes are."""
    rate, hop = vocoder.shape.sample_rate_hz, vocoder.shape.hop_samples
    samples = clip.wave[: round(PROBE_S * rate)].numpy()
    return make_clip(samples, clip.f0_hz.numpy(), hop / rate, vocoder)
