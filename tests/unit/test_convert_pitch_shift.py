"""By how much "auto" moves the pitch."""

from __future__ import annotations

import numpy as np
import pytest

from timbre.convert.pitch_shift import decide_shift

HELD = np.repeat((330.0, 349.0), 150).astype(np.float32)  # two held notes of 1.5 s: singing


@pytest.mark.parametrize(
    ("voice_hz", "semitones"),
    [(113.0, -12), (170.0, -12), (180.0, -12), (205.0, 0), (350.0, 0), (420.0, 12), (60.0, -24)],
)
def test_singing_goes_by_octaves_to_where_the_voice_would_sing(voice_hz: float, semitones: float) -> None:
    shift = decide_shift("auto", HELD, voice_hz)
    assert shift.semitones == semitones
    above = 339 * 2 ** (semitones / 12) / voice_hz  # of the median of speech
    assert 2**-0.26 < above < 2**0.76


def test_speech_goes_to_the_median_and_what_is_asked_is_done() -> None:
    speech = np.tile(np.concatenate((np.linspace(150, 250, 20), np.zeros(15))), 20).astype(np.float32)
    assert decide_shift("auto", speech, 100.0).semitones == pytest.approx(-12, abs=0.1)
    assert decide_shift(3.0, speech, 100.0).semitones == 3.0
    assert decide_shift("auto", np.zeros(50, dtype=np.float32), 100.0).semitones == 0
