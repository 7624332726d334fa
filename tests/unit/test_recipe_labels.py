"""Phone letters and held-out recordings of the base recipe."""

import numpy as np
import pytest

from recipes.base.espeak import Utterance
from recipes.base.hidden import HIDDEN_PATHS, is_hidden
from recipes.base.ipa import base_letters
from recipes.base.prolong import prolong
from recipes.base.synthetic_speech import PhoneTable, frame_phones


@pytest.mark.parametrize(
    ("ipa", "letters"),
    [
        ("ˈaɪ", "aɪ"),
        ("iː", "i"),
        ("tʃ", "tʃ"),
        ("ts.h", "tʂ"),
        ("onɡ5", "oŋ"),
        ("ɔ̃", "ɔ"),
        ("ç", "ç"),
        ("pʰ", "p"),
        ("h", "h"),
        ("(en)", ""),
        ("ʲ", ""),
        ("??", "ʊɾ"),
    ],
)
def test_base_letters(ipa: str, letters: str) -> None:
    assert base_letters(ipa) == tuple(letters)


def test_frames_get_the_phone_at_their_centre_and_closures_go_to_the_plosive() -> None:
    wave = np.full(8000, 1000, dtype=np.int16)
    wave[3200:4800] = 0  # closure: a vowel ends, the plosive is reported at its release
    table = PhoneTable()
    labels = frame_phones(Utterance(wave, [(0, "aɪ"), (4800, "t")], 16_000), 50, table)
    names = {number: letter for letter, number in table.numbers.items()}
    assert [names[int(label)] for label in labels] == ["a"] * 15 + ["ɪ"] * 5 + ["t"] * 30


def test_long_silence_is_a_pause_and_unnamed_sound_is_unknown() -> None:
    wave = np.full(16_000, 1000, dtype=np.int16)
    wave[4000:8000] = 0
    labels = frame_phones(Utterance(wave, [(0, "a"), (8000, "t"), (12_000, "")], 16_000), 100, PhoneTable())
    assert set(labels[26:49].tolist()) == {0}
    assert set(labels[76:].tolist()) == {-1}


def test_prolong_keeps_pitch_and_adds_the_reported_samples() -> None:
    rate, period = 22_050, 147  # 150 Hz
    time = np.arange(4410)
    wave = np.rint(8000 * np.sin(2 * np.pi * time / period)).astype(np.int16)
    longer, added = prolong(wave, 0, len(wave), rate, 3.0)
    assert len(longer) == len(wave) + added
    assert added == pytest.approx(2 * len(wave), rel=0.15)
    spectrum = np.abs(np.fft.rfft(longer * np.hanning(len(longer))))
    assert spectrum.argmax() * rate / len(longer) == pytest.approx(150, abs=2)
    assert np.abs(np.diff(longer.astype(int))).max() < 450  # no click: the sine itself moves 342 per sample


def test_hidden_recordings() -> None:
    def row(path: str, source: str, speaker: str) -> dict[str, str]:
        return {"path": path, "source": source, "speaker": speaker}

    assert is_hidden(row("sms_tools/vignesh/vignesh.flac", "sms_tools", "sms_tools/vignesh"))
    assert is_hidden(row("librispeech/533/a.ogg", "librispeech", "librispeech/533"))
    assert is_hidden(row(next(iter(HIDDEN_PATHS)), "vocobox", "vocobox/martin"))
    assert not is_hidden(row("librispeech/5333/a.ogg", "librispeech", "librispeech/5333"))
    assert not is_hidden(row("vocobox/martin/notes_D2.flac", "vocobox", "vocobox/martin"))
    assert len(HIDDEN_PATHS) == 10
