"""The second pass for voices that hear whole stretches: cut at silences, rendered one by one, faded together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.audio.assembly import Clip, assemble, plan_clips
from timbre.audio.compatible_assembly import assemble_compatible, count_frames
from timbre.audio.loudness import match_loudness_envelope
from timbre.audio.slicing import Piece
from timbre.audio.source import SoundSource, mono_blocks
from timbre.config.assembly import AssemblySettings
from timbre.config.convert import ConvertSettings
from timbre.config.slicing import SliceSettings
from timbre.convert.scan import Scan
from timbre.dsp.frontend import SAMPLE_RATE_HZ as SCAN_RATE_HZ
from timbre.dsp.sinc_resample import sinc_resample
from timbre.features.frames import Frames
from timbre.features.speaker_mix import CountedMix, SpeakerTimeline, TimedMix
from timbre.voice.sovits.voice import SovitsVoice

Wave = NDArray[np.float32]


class _Rendering:
    """One sound on its way through a voice, stretch by stretch: its pitch is tracked, it is described and rendered."""

    def __init__(
        self, voice: SovitsVoice, shift_semitones: float, settings: ConvertSettings, mix: SpeakerTimeline | None
    ) -> None:
        self._voice, self._ratio = voice, 2 ** (shift_semitones / 12)
        self._extractor = voice.extractor(settings)
        self._renderer = voice.renderer(settings, self._extractor, mix)
        self._tracker = voice.tracker(settings)

    def frames(self, wave: Wave) -> Frames:
        """Describe `wave` [N] at the voice's rate."""
        track = self._tracker.track(wave, self._voice.sample_rate_hz, self._voice.hop_samples)
        return self._extractor.frames(torch.from_numpy(wave).to(self._voice.device), track, self._ratio)

    def sound(self, frames: Frames, first_frame: int, join_frame: int | None) -> Wave:
        """Render frames [T]: [T * hop]."""
        return self._renderer.render(frames, first_frame, join_frame).cpu().numpy()


class _ClipRendering(_Rendering):
    """The same for clips."""

    def describe(self, heard: Wave, clip: Clip) -> Frames:
        """Describe what is heard of a clip."""
        return self.frames(heard)

    def render(self, described: Frames, clip: Clip) -> Wave:
        """Render it, so that it takes over in the middle of the fade from the clip before."""
        hop = self._voice.hop_samples
        join_frame = (clip.start + clip.fade_samples // 2) // hop if clip.fade_samples else None
        return self.sound(described, clip.heard_start // hop, join_frame)


def render_clips(
    voice: SovitsVoice,
    source: SoundSource,
    scanned: Scan,
    shift_semitones: float,
    settings: ConvertSettings,
    total: int,
) -> Iterator[tuple[Wave, Wave]]:
    """Yield what was heard and what came out, both at the voice's rate, `total` samples of each."""
    rate, hop = voice.sample_rate_hz, voice.hop_samples
    tracks = voice.mixed_speakers(settings)
    mix = None if tracks is None else TimedMix(tracks, hop / total)
    clips = plan_clips(
        _pieces_at(scanned, rate, total, settings),
        hop,
        longest_samples=round(settings.longest_chunk_s * rate),
        overlap_samples=round(settings.overlap_s * settings.overlap_retain * rate),
        context_samples=round(settings.context_s * rate),
    )
    rendering = _ClipRendering(voice, shift_semitones, settings, mix)
    with _helper(voice.device) as helper:
        yield from assemble(mono_blocks(source, scanned.weights, rate), total, clips, rendering, helper)


def _helper(device: torch.device) -> AbstractContextManager[Executor | None]:
    """Lend a thread that describes one clip, mostly work of the processor, while another device renders the one before.

    Where the processor renders as well there is none: two kinds of work side by side took a third longer on two cores
    than one after the other with every step divided between the cores.
    """
    return nullcontext() if device.type == "cpu" else ThreadPoolExecutor(1, "describe")


def _pieces_at(scanned: Scan, rate: int, total: int, settings: ConvertSettings) -> list[Piece]:
    """Return the pieces of the scan in samples at `rate`."""
    if settings.silence == "convert":
        return [Piece(False, 0, total)]
    borders = [min(total, round(piece.end * rate / SCAN_RATE_HZ)) for piece in scanned.pieces[:-1]] + [total]
    return [
        Piece(piece.silent, start, end)
        for piece, start, end in zip(scanned.pieces, [0, *borders], borders, strict=False)
    ]


def render_compatible(
    voice: SovitsVoice, source: SoundSource, scanned: Scan, shift_semitones: float, settings: ConvertSettings
) -> Wave:
    """Return the whole sound cut, padded, joined and levelled as so-vits-svc 4.1 did (pipeline spec 6.3, 6.4)."""
    rate, hop, source_rate = voice.sample_rate_hz, voice.hop_samples, source.sample_rate_hz
    samples = np.concatenate(list(mono_blocks(source, scanned.weights, source_rate)))
    slicing = SliceSettings(threshold_db=settings.slice_threshold_db)
    assembly = AssemblySettings(
        clip_s=settings.max_chunk_s or 0.0,
        crossfade_s=settings.overlap_s if settings.max_chunk_s else 0.0,
        crossfade_retain=settings.overlap_retain,
        pad_s=settings.context_s,
    )
    tracks = voice.mixed_speakers(settings)
    n_frames = count_frames(samples, source_rate, rate, hop, slicing, assembly)
    mix = None if tracks is None else CountedMix(tracks, n_frames)
    rendering = _Rendering(voice, shift_semitones, settings, mix)

    def convert(samples: Wave, sample_rate_hz: int, first_frame: int) -> Wave:
        wave = sinc_resample(torch.from_numpy(samples), sample_rate_hz, rate).numpy()
        sound = rendering.sound(rendering.frames(wave), first_frame, None)
        return match_loudness_envelope(wave, rate, sound, rate, settings.loudness_envelope)

    return assemble_compatible(samples, source_rate, convert, rate, hop, slicing, assembly)
