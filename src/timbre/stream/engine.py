"""Live conversion: short blocks in, short blocks out, all state carried, nothing computed twice.

No devices here; whoever has them pushes what came in and plays what comes out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.audio.rumble import RumbleFilter
from timbre.config.convert import ConvertSettings
from timbre.config.fast import N_FFT
from timbre.dsp.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES
from timbre.errors import AudioError, SettingsError
from timbre.models.fast.synthesis import LOOKAHEAD_FRAMES
from timbre.pitch.contract import PitchTracker
from timbre.pitch.hum import without_hum
from timbre.pitch.trackers import load_tracker
from timbre.voice.fast import FastVoice

PITCH_WINDOW_FRAMES = 17
OF_RECORDINGS = ("slice_threshold_db", "max_chunk_s", "crossfade_s", "loudness_envelope", "format")
STRAIGHT_UP_TO = 0.9
_USUAL = ConvertSettings()


class StreamConverter:
    """Converts mono 16 kHz sound block by block into a voice at 44.1 kHz.

    The pitch is tracked by pm in the last 0.17 s, or by `tracker`. The encoder's look-ahead covers what the tracker and
    the pulses need to see, so they add no delay of their own. Silence is rendered like all else. Peaks above 0.9 are
    bent to stay below full scale, as a limiter that looks ahead would add delay.
    """

    def __init__(self, voice: FastVoice, settings: ConvertSettings, tracker: PitchTracker | None = None) -> None:
        if isinstance(settings.pitch_shift, str):
            raise SettingsError(
                "pitch_shift is 'auto', which needs the whole recording; give semitones for live conversion"
            )
        if settings.pitch not in ("auto", "pm") and tracker is None:
            raise SettingsError(f"pitch is {settings.pitch!r}, and live conversion tracks with pm; leave it out")
        asked = next((name for name in OF_RECORDINGS if getattr(settings, name) != getattr(_USUAL, name)), None)
        if asked is not None:
            raise SettingsError(f"{asked} is for recordings and has no effect in live conversion; leave it out")
        voice.check(settings)
        self._voice = voice
        self._tracker = tracker or load_tracker("pm")
        self._ratio = 2 ** (settings.pitch_shift / 12)
        exact = replace(settings, precision="exact")  # short steps gain nothing by less
        self._extractor, self._renderer = voice.extractor(exact), voice.renderer(exact)
        self._state = self._extractor.fresh_state()
        self._rumble = RumbleFilter(SAMPLE_RATE_HZ)
        self._wave: NDArray[np.float32] = np.zeros(0, dtype=np.float32)  # what pitch still needs
        self._first_frame = 0  # of self._wave
        self._n_frames = 0  # content frames rendered

    @property
    def delay_s(self) -> float:
        """Algorithmic delay: look-ahead and half a window of the encoder, a hop, half a window of the synthesis."""
        encoder = self._voice.base.networks.content.lookahead_frames * HOP_SAMPLES + WINDOW_SAMPLES // 2
        return (encoder + HOP_SAMPLES) / SAMPLE_RATE_HZ + N_FFT / 2 / self._voice.sample_rate_hz

    def push(self, wave: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        """Hear more samples [n] and return what is finished [m]; with `last` the rest comes out and the stream ends.

        Raises AudioError for NaN or infinity, several channels, and whole numbers.
        """
        if wave.ndim != 1 or not np.issubdtype(wave.dtype, np.floating):
            raise AudioError(
                f"the block has the shape {wave.shape} and holds {wave.dtype} numbers; it must be mono [samples] and "
                "floating point within -1..1"
            )
        if not np.isfinite(wave).all():
            raise AudioError("the block holds NaN or infinity; check the sound device or the program that sends it")
        device = self._voice.base.device
        wave = self._rumble.push(np.asarray(wave, dtype=np.float32))
        block = torch.from_numpy(wave).to(device)
        heard, self._state = self._extractor.step(block, self._state, last=last)
        self._wave = np.concatenate((self._wave, wave))
        n = len(heard.content)
        f0_hz = torch.from_numpy(self._pitch(n + LOOKAHEAD_FRAMES)).to(device) if n else block.new_zeros(0)
        self._n_frames += n
        sound = self._renderer.push(heard.frames(f0_hz[:n]), f0_ahead_hz=f0_hz[n:] if n else None, last=last)
        return _below_full_scale(sound.cpu().numpy())

    def _pitch(self, count: int) -> NDArray[np.float32]:
        """Return the shifted pitch of `count` frames from the next one on, out of the last 0.17 s."""
        n_held = len(self._wave) // HOP_SAMPLES
        wave = self._wave[: n_held * HOP_SAMPLES]
        tracked_hz = self._tracker.track(wave, SAMPLE_RATE_HZ, HOP_SAMPLES, n_held).f0_hz
        start = self._n_frames - self._first_frame
        f0_hz = without_hum(tracked_hz, wave, SAMPLE_RATE_HZ)[start : start + count]
        f0_hz = np.pad(f0_hz, (0, count - len(f0_hz)), mode="edge" if len(f0_hz) else "constant")
        drop = max(0, n_held - max(PITCH_WINDOW_FRAMES, n_held - start))
        self._wave = self._wave[drop * HOP_SAMPLES :]
        self._first_frame += drop
        return np.asarray(f0_hz * np.float32(self._ratio), dtype=np.float32)


def _below_full_scale(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bend samples beyond `STRAIGHT_UP_TO` so that none reaches 1; softer ones stay as they are."""
    level, room = np.abs(sound), 1 - STRAIGHT_UP_TO
    bent = STRAIGHT_UP_TO + room * np.tanh((level - STRAIGHT_UP_TO) / room)
    return np.where(level > STRAIGHT_UP_TO, np.copysign(np.minimum(bent, 1 - 2.0**-15), sound), sound)
