"""Live conversion gives what the whole conversion gives, block by block."""

from __future__ import annotations

import numpy as np
import pytest

from tests.toys import glide
from timbre.config.convert import ConvertSettings
from timbre.errors import AudioError, SettingsError
from timbre.pitch.pm import PmTracker
from timbre.stream.engine import STRAIGHT_UP_TO, StreamConverter, _below_full_scale
from timbre.voice.fast import FastVoice

SETTINGS = ConvertSettings(pitch_shift=0.0)


@pytest.mark.parametrize("block", [1, 160, 320, 777])
def test_blocks_of_any_size_give_the_same_sound(toy_voice: FastVoice, block: int) -> None:
    wave = glide(0.4 if block == 1 else 1.0, 16_000)[: 1600 if block == 1 else None]
    reference = StreamConverter(toy_voice, SETTINGS, PmTracker()).push(wave, last=True)
    engine = StreamConverter(toy_voice, SETTINGS, PmTracker())
    parts = [
        engine.push(wave[start : start + block], last=start + block >= len(wave))
        for start in range(0, len(wave), block)
    ]
    sound = np.concatenate(parts)
    assert len(sound) == len(reference) == len(wave) // 160 * 441
    # The live tracker hears 0.17 s at a time, so pitch may differ by rounding; power and length may not.
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(np.sqrt(np.mean(reference**2)), rel=0.1)


def test_sound_appears_after_the_stated_delay(toy_voice: FastVoice) -> None:
    engine = StreamConverter(toy_voice, SETTINGS, PmTracker())
    wave = glide(1.0, 16_000)
    n_in = n_out = 0
    worst_s = 0.0
    for start in range(0, 12_800, 160):
        n_out += len(engine.push(wave[start : start + 160]))
        n_in += 160
        worst_s = max(worst_s, n_in / 16_000 - n_out / 44_100)
    assert worst_s <= engine.delay_s + 1e-9


def test_automatic_pitch_shift_is_refused(toy_voice: FastVoice) -> None:
    with pytest.raises(SettingsError, match="whole recording"):
        StreamConverter(toy_voice, ConvertSettings(), PmTracker())


def test_nan_is_refused(toy_voice: FastVoice) -> None:
    engine = StreamConverter(toy_voice, SETTINGS, PmTracker())
    with pytest.raises(AudioError, match="NaN"):
        engine.push(np.array([np.nan], dtype=np.float32))


def test_blocks_and_settings_that_cannot_be_live_are_refused(toy_voice: FastVoice) -> None:
    with pytest.raises(SettingsError, match="live conversion tracks with pm"):
        StreamConverter(toy_voice, ConvertSettings(pitch_shift=0.0, pitch="fcpe"))
    with pytest.raises(SettingsError, match="loudness_envelope is for recordings"):
        StreamConverter(toy_voice, ConvertSettings(pitch_shift=0.0, loudness_envelope=0.0), PmTracker())
    with pytest.raises(SettingsError, match="sovits"):
        StreamConverter(toy_voice, ConvertSettings(pitch_shift=0.0, speaker="anna"), PmTracker())
    engine = StreamConverter(toy_voice, SETTINGS, PmTracker())
    for block in (np.zeros((1, 320), dtype=np.float32), np.zeros(320, dtype=np.int16)):
        with pytest.raises(AudioError, match="it must be mono"):
            engine.push(block)


def test_peaks_are_bent_below_full_scale_and_soft_sound_stays() -> None:
    sound = np.linspace(-3, 3, 1001, dtype=np.float32)
    bent = _below_full_scale(sound)
    soft = np.abs(sound) <= STRAIGHT_UP_TO
    np.testing.assert_array_equal(bent[soft], sound[soft])
    assert np.abs(bent).max() < 1 and (np.diff(bent) >= 0).all() and bent.dtype == np.float32
