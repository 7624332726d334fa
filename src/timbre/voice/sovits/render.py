"""Turn the Frames of a stretch of sound into a so-vits-svc voice (pipeline spec 6.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from timbre.config.convert import ConvertSettings
from timbre.dsp.sinc_resample import sinc_resample
from timbre.features.clips import ClipExtractor
from timbre.features.frames import Frames
from timbre.features.speaker_mix import SpeakerTimeline
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.draws import Draws, SeededDraws, TimelineDraws
from timbre.nn.harmonic_source import SourceForm, harmonic_phases
from timbre.pitch.gaps import bridge
from timbre.retrieval.contract import ContentRetrieval
from timbre.vocoder.enhancer import Enhancer
from timbre.vocoder.nsf_hifigan import NsfHifigan

REFERENCE_SEED = 52468  # with which so-vits-svc began every chunk


@dataclass(frozen=True)
class Networks:
    """The networks a rendering uses, ready on one device; those it does not use may be absent."""

    synthesizer: Synthesizer | None
    unit2mel: Unit2Mel | None
    vocoder: NsfHifigan | None
    sample_rate_hz: int
    hop_samples: int
    source_rate_hz: int  # at which the harmonics are counted
    source_form: SourceForm


class _PhaseClock:
    """Lets the harmonics of one generator go on from stretch to stretch; they are counted at `rate_hz`."""

    def __init__(self, rate_hz: int, hop_samples: int) -> None:
        self._rate_hz, self._hop_samples = rate_hz, hop_samples
        self._first_frame = 0
        self._phases: Tensor | None = None  # [T, harmonics] cycles at the start of each frame of the last stretch

    def start(self, f0_hz: Tensor, first_frame: int, join_frame: int | None) -> Tensor:
        """Return the phases [harmonics] for a stretch with the pitch `f0_hz` [T] to begin with.

        At `join_frame` they agree with the last stretch; None: they begin anew.
        """
        phases = harmonic_phases(f0_hz[None], self._rate_hz, self._hop_samples)[0]
        start = torch.zeros_like(phases[0])
        if join_frame is not None and self._phases is not None:
            there = min(max(0, join_frame - self._first_frame), len(self._phases) - 1)
            here = min(max(0, join_frame - first_frame), len(phases) - 1)
            start = self._phases[there] - phases[here]
        self._first_frame, self._phases = first_frame, start + phases
        return start


class SovitsRenderer:
    """One rendering in progress: stretches of one sound, in order, each overlapping the one before.

    Phases of the harmonics and noise continue from stretch to stretch, so that overlapping renderings of one sound
    agree and can fade into each other. With `compatible` each stretch begins anew, as in so-vits-svc. Only diffusion
    needs the extractor.
    """

    def __init__(
        self,
        networks: Networks,
        extractor: ClipExtractor | None,
        speaker: int | SpeakerTimeline,
        retrieval: ContentRetrieval | None,
        settings: ConvertSettings,
    ) -> None:
        self.networks, self.extractor, self.settings = networks, extractor, settings
        self.speaker, self.retrieval = speaker, retrieval
        self._source_clock = _PhaseClock(networks.source_rate_hz, networks.hop_samples)
        self._vocoder_clock = _PhaseClock(networks.sample_rate_hz, networks.hop_samples)

    @torch.inference_mode()
    def render(self, frames: Frames, first_frame: int = 0, join_frame: int | None = None) -> Tensor:
        """Render frames [T] that begin at `first_frame` of the sound; returns [T * hop_samples].

        From `join_frame` on the result takes over from the stretch rendered before; None: it begins on its own.
        """
        settings, n_frames = self.settings, len(frames.f0_hz)
        if self.retrieval is not None:
            frames = replace(frames, content=self.retrieval.mix(frames.content, settings.retrieval_ratio))
        draws: Draws = (
            SeededDraws(REFERENCE_SEED) if settings.compatible else TimelineDraws(settings.seed, first_frame, n_frames)
        )
        held_hz = bridge(np.where(frames.voiced.cpu(), frames.f0_hz.cpu(), 0)).astype(np.float32)
        f0_hz = torch.from_numpy(held_hz).to(frames.content)
        speaker = self._speaker(first_frame, n_frames).to(f0_hz.device)
        join_frame = None if settings.compatible else join_frame
        sound = f0_hz.new_zeros(0)
        if self.networks.synthesizer is not None and not settings.only_diffusion:
            start = self._source_clock.start(f0_hz, first_frame, join_frame)
            sound, f0_hz = self._synthesize(self.networks.synthesizer, frames, f0_hz, speaker, draws, start)
        if settings.shallow_diffusion or settings.only_diffusion or settings.enhance:
            start = self._vocoder_clock.start(f0_hz, first_frame, join_frame)
            if settings.enhance:
                sound = self._enhance(sound, f0_hz, draws, start)
            else:
                sound = self._diffuse(frames, f0_hz, speaker, sound, draws, start)
        return sound

    def _speaker(self, first_frame: int, n_frames: int) -> Tensor:
        """Return the speaker's number [1], or the weights of all up to the last that is mixed [T, S]."""
        if isinstance(self.speaker, int):
            return torch.tensor([self.speaker])
        return self.speaker.weights(first_frame, n_frames)

    def _synthesize(
        self, synthesizer: Synthesizer, frames: Frames, f0_hz: Tensor, speaker: Tensor, draws: Draws, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        volume = torch.exp(0.5 * frames.loudness)[None] if synthesizer.shape.vol_embedding else None
        sound, used_f0_hz = synthesizer.infer(
            frames.content.T[None],
            f0_hz[None],
            frames.voiced[None].to(f0_hz),
            speaker,
            draws,
            noise_scale=self.settings.noise_scale,
            predict_f0=self.settings.predict_pitch,
            volume=volume,
            source_form=self.networks.source_form,
            start_cycles=start,
        )
        return sound[0, 0], used_f0_hz[0]

    def _diffuse(
        self, frames: Frames, f0_hz: Tensor, speaker: Tensor, sound: Tensor, draws: Draws, start: Tensor
    ) -> Tensor:
        """Render by diffusion, alone or from `sound` on (models spec 9.7)."""
        unit2mel, vocoder, settings = self.networks.unit2mel, self.networks.vocoder, self.settings
        assert unit2mel is not None and vocoder is not None  # what a rendering needs is checked before it begins
        content, mel = frames.content, None
        volume = torch.exp(0.5 * frames.loudness)
        if settings.shallow_diffusion:
            synthesizer = self.networks.synthesizer
            assert synthesizer is not None and self.extractor is not None
            mel = vocoder.mel(sound[None]).transpose(1, 2)
            if not synthesizer.shape.vol_embedding:
                volume = self.extractor.volume(sound)
            if settings.second_encoding:
                content = self.extractor.content(sound, len(f0_hz))
        if speaker.is_floating_point() and unit2mel.shape.n_spk > 1:
            speaker = torch.nn.functional.pad(speaker, (0, unit2mel.shape.n_spk - speaker.shape[-1]))
        condition = unit2mel.condition(content[None], f0_hz[None, :, None], volume[None, :, None], speaker)
        mel = unit2mel.sample(
            condition,
            draws,
            method=settings.diffusion_method or unit2mel.shape.infer_method,
            speedup=settings.diffusion_speedup or unit2mel.shape.infer_speedup,
            k_step=settings.diffusion_steps if mel is not None else None,
            mel=mel,
        )
        return vocoder.synthesize(mel.transpose(1, 2), f0_hz[None], draws, start_cycles=start)[0, 0]

    def _enhance(self, sound: Tensor, f0_hz: Tensor, draws: Draws, start: Tensor) -> Tensor:
        """Render again with the vocoder (models spec 10.4), at the rate and length of `sound`."""
        vocoder, rate = self.networks.vocoder, self.networks.sample_rate_hz
        assert vocoder is not None
        enhanced, enhanced_rate = Enhancer(vocoder).enhance(
            sound[None],
            rate,
            f0_hz[None],
            self.networks.hop_samples,
            self.settings.enhancer_key,
            0.0,
            draws,
            start_cycles=start,
        )
        resampled = sinc_resample(enhanced, enhanced_rate, rate)[: len(sound)]
        return torch.nn.functional.pad(resampled, (0, len(sound) - len(resampled)))
