"""Converts a synthesised two-second vowel and checks that its pitch survives; measures the speed on the way."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbre.doctor.privacy import shorten_home
from timbre.errors import TimbreError

TONE_HZ = 220.0
TONE_S = 2.0
# A perfectly steady tone of 220 Hz is periodic at 110 Hz too, which trackers may prefer; a little vibrato settles it.
VIBRATO_HZ, VIBRATO_CENTS = 5.0, 10.0
SAMPLE_RATE_HZ = 44_100
TOLERANCE_CENTS = 50.0
_FORMANTS_HZ = ((700.0, 90.0), (1200.0, 110.0), (2600.0, 160.0))  # centre and half width, an open vowel


@dataclass(frozen=True)
class SelfTest:
    """What the short conversion showed; numbers are None where it did not get that far."""

    passed: bool
    voice: str | None
    error: str | None = None
    pitch_error_cents: float | None = None
    voiced_ratio: float | None = None
    load_s: float | None = None
    convert_s: float | None = None
    times_real_time: float | None = None


def run_self_test() -> SelfTest | None:
    """Convert the tone with the first voice of this machine; None where there is no voice to test with."""
    from timbre.voice.shelf import list_voices

    cards = list_voices()
    if not cards:
        return None
    try:
        return _convert_tone(cards[0].name)
    except TimbreError as error:
        return SelfTest(passed=False, voice=cards[0].name, error=shorten_home(str(error)))


def vowel_tone() -> NDArray[np.float32]:
    """Synthesise a sung vowel [N] of TONE_HZ at SAMPLE_RATE_HZ: harmonics under three formants, soft ends."""
    time_s = np.arange(int(TONE_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    cents = VIBRATO_CENTS * np.sin(2 * np.pi * VIBRATO_HZ * time_s)
    phase = 2 * np.pi * np.cumsum(TONE_HZ * 2 ** (cents / 1200)) / SAMPLE_RATE_HZ
    wave = np.zeros_like(time_s)
    for harmonic in range(1, int(8000 / TONE_HZ)):
        hz = harmonic * TONE_HZ
        level = sum(1 / (1 + ((hz - centre) / width) ** 2) for centre, width in _FORMANTS_HZ) + 0.02
        wave += level * np.sin(harmonic * phase) / math.sqrt(harmonic)
    edge = np.minimum(1.0, np.minimum(time_s, TONE_S - time_s) / 0.05)
    return np.asarray(0.3 * wave * edge / np.abs(wave).max(), dtype=np.float32)


def _convert_tone(voice_name: str) -> SelfTest:
    """Convert the tone through files, as a user does, and judge the result."""
    import soundfile

    from timbre.config.convert import ConvertSettings
    from timbre.convert.files import convert_files
    from timbre.voice.catalog import load_voice

    settings = ConvertSettings(pitch_shift=0.0)
    with tempfile.TemporaryDirectory(prefix="timbre-doctor-") as folder:
        source, output = Path(folder) / "tone.wav", Path(folder) / "converted.wav"
        soundfile.write(source, vowel_tone(), SAMPLE_RATE_HZ)
        start_s = time.perf_counter()
        voice = load_voice(voice_name, device=settings.device)
        loaded_s = time.perf_counter()
        for _ in convert_files([source], output, voice, settings):
            pass  # the work is done as the results are taken
        done_s = time.perf_counter()
        wave, rate_hz = soundfile.read(output, dtype="float32", always_2d=True)
    pitch_error_cents, voiced_ratio = _pitch_error(wave.mean(axis=1), rate_hz)
    return SelfTest(
        passed=pitch_error_cents is not None and pitch_error_cents <= TOLERANCE_CENTS and voiced_ratio >= 0.5,
        voice=voice_name,
        pitch_error_cents=pitch_error_cents,
        voiced_ratio=voiced_ratio,
        load_s=loaded_s - start_s,
        convert_s=done_s - loaded_s,
        times_real_time=TONE_S / (done_s - loaded_s),
    )


def _pitch_error(wave: NDArray[np.float32], rate_hz: int) -> tuple[float | None, float]:
    """Return the median distance from TONE_HZ in cents (None where nothing is voiced) and the voiced part, 0 to 1."""
    from timbre.pitch.trackers import load_tracker

    track = load_tracker("pm").track(wave, rate_hz, hop_samples=rate_hz // 100)
    if not track.voiced.any():
        return None, 0.0
    cents = 1200 * np.log2(track.f0_hz[track.voiced] / TONE_HZ)
    return abs(float(np.median(cents))), float(track.voiced.mean())
