"""The first pass over a sound: its pitch, its silences and how its channels mix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbre.audio.mixing import even_weights
from timbre.audio.rumble import blocks_without_rumble
from timbre.audio.slicing import Piece, pieces_from_rms, slice_meter
from timbre.audio.source import SoundSource, mix_weights, mono_blocks
from timbre.config.convert import ConvertSettings
from timbre.config.slicing import SliceSettings
from timbre.dsp.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.pitch.contract import PitchTracker
from timbre.pitch.hum import without_hum
from timbre.pitch.trackers import load_tracker
from timbre.voice.catalog import Voice
from timbre.voice.fast import FastVoice
from timbre.voice.tracking import open_tracker

WINDOW_S = 30
CONTEXT_S = 1


@dataclass(frozen=True)
class Scan:
    """What the first pass found; times in samples at 16 kHz."""

    f0_hz: NDArray[np.float32] | None  # [T], 100 frames a second, 0 where unvoiced; None: not asked for
    pieces: list[Piece]  # voiced and silent stretches that cover the sound
    weights: NDArray[np.float32] | None  # of the channels in the mono mix
    n_samples: int


class WindowedPitch:
    """Follows the pitch of a sound of any length in windows of 30 s that overlap by 1 s on each side.

    The windows lie on a fixed grid, so the result does not depend on how the sound arrives.
    """

    def __init__(self, tracker: PitchTracker) -> None:
        self._tracker = tracker
        self._held: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._first_frame = 0  # of what is held
        self._tracks: list[NDArray[np.float32]] = []
        self._n_done = 0  # frames tracked

    def push(self, wave: NDArray[np.float32], *, last: bool = False) -> None:
        """Take the next samples [N] at 16 kHz; with `last` nothing follows."""
        self._held = np.concatenate((self._held, wave))
        frames_per_s = SAMPLE_RATE_HZ // HOP_SAMPLES
        if last:
            self._held = np.pad(self._held, (0, -len(self._held) % HOP_SAMPLES))
        while True:
            available = self._first_frame + len(self._held) // HOP_SAMPLES
            end = self._n_done + WINDOW_S * frames_per_s
            if available < end + CONTEXT_S * frames_per_s:
                break
            self._track(end, end + CONTEXT_S * frames_per_s)
        if last and self._n_done < available:
            self._track(available, available)

    def finish(self) -> NDArray[np.float32]:
        """Return the pitch of all frames [T]."""
        return np.concatenate(self._tracks) if self._tracks else np.zeros(0, dtype=np.float32)

    def _track(self, end: int, heard_end: int) -> None:
        """Track frames from where it stopped to `end`, listening up to frame `heard_end`."""
        wave = self._held[: (heard_end - self._first_frame) * HOP_SAMPLES]
        n_frames = len(wave) // HOP_SAMPLES
        f0_hz = without_hum(
            self._tracker.track(wave, SAMPLE_RATE_HZ, HOP_SAMPLES, n_frames).f0_hz,
            wave[: n_frames * HOP_SAMPLES],
            SAMPLE_RATE_HZ,
        )
        self._tracks.append(f0_hz[self._n_done - self._first_frame : end - self._first_frame])
        self._n_done = end
        keep = max(self._first_frame, end - CONTEXT_S * (SAMPLE_RATE_HZ // HOP_SAMPLES))
        self._held = self._held[(keep - self._first_frame) * HOP_SAMPLES :]
        self._first_frame = keep


def scan_tracker(voice: Voice, settings: ConvertSettings) -> PitchTracker | None:
    """Return the tracker that the first pass needs for `voice`, if any.

    The fast family is rendered on that very track; others track each stretch on their own frames, and need the
    recording's range only where the shift depends on it.
    """
    if isinstance(voice, FastVoice):
        return open_tracker(settings)
    return load_tracker("pm") if settings.pitch_shift == "auto" and voice.card.median_f0_hz > 0 else None


def scan(source: SoundSource, tracker: PitchTracker | None, settings: ConvertSettings, *, rumble: bool) -> Scan:
    """Listen to the whole of `source` once (twice where it has several channels), block by block.

    Without a tracker the pitch is left out. With `rumble` what lies below voices is heard too, as so-vits-svc does.
    """
    weights = even_weights(source.n_channels) if settings.compatible else mix_weights(source)
    slicing = SliceSettings(threshold_db=settings.slice_threshold_db, min_length_ms=1000, max_silence_kept_ms=300)
    meter = slice_meter(SAMPLE_RATE_HZ, slicing)
    pitch = None if tracker is None else WindowedPitch(tracker)
    blocks = mono_blocks(source, weights, SAMPLE_RATE_HZ)
    for block in blocks if rumble else blocks_without_rumble(blocks, SAMPLE_RATE_HZ):
        meter.push(block)
        if pitch is not None:
            pitch.push(block)
    f0_hz = None
    if pitch is not None:
        pitch.push(np.zeros(0, dtype=np.float32), last=True)
        f0_hz = pitch.finish()
    pieces = pieces_from_rms(meter.finish(), meter.n_samples, SAMPLE_RATE_HZ, slicing)
    return Scan(f0_hz, pieces, weights, meter.n_samples)
