"""The measures on real recordings: the two bounds of speaker similarity, and the recogniser."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from timbre.evaluate.intelligibility import measure_intelligibility, recognise_english
from timbre.evaluate.pitch_fidelity import measure_pitch_fidelity
from timbre.evaluate.similarity import embed_speaker, mean_voice, voice_cosine
from timbre.evaluate.waves import MonoWave, read_mono_wave

pytestmark = pytest.mark.slow
SPEAKERS = ("533", "1998", "2414", "3005", "3331")


def recordings(data_dir: Path, speaker: str) -> list[MonoWave]:
    paths = sorted((data_dir / "librispeech" / speaker).glob("*.flac"))
    if not paths:
        pytest.skip(f"recordings of librispeech/{speaker} are not here")
    return [read_mono_wave(path) for path in paths]


def test_similarity_has_the_published_bounds(data_dir: Path) -> None:
    voices = {name: [embed_speaker(wave) for wave in recordings(data_dir, name)] for name in SPEAKERS}
    ceiling = [
        voice_cosine(voice, mean_voice(own[:place] + own[place + 1 :]))
        for own in voices.values()
        for place, voice in enumerate(own)
    ]
    floor = [
        voice_cosine(voice, mean_voice(voices[other]))
        for one, other in itertools.permutations(SPEAKERS, 2)
        for voice in voices[one]
    ]
    assert np.mean(ceiling) == pytest.approx(0.93, abs=0.02)
    assert np.mean(floor) == pytest.approx(0.57, abs=0.04)
    assert min(ceiling) > np.mean(floor)


def test_the_recogniser_hears_words_and_forgets_earlier_sounds(data_dir: Path) -> None:
    first, second = recordings(data_dir, "1998")[:2]
    heard = recognise_english(first)
    assert {"poisoning", "patient's", "evidence"} <= set(heard)
    recognise_english(second)
    assert recognise_english(first) == heard


def test_noise_costs_words(data_dir: Path) -> None:
    source = recordings(data_dir, "1998")[0]
    noise = np.random.default_rng(0).standard_normal(len(source.samples)) * float(np.std(source.samples))
    rates = []
    for level_db in (-30, 0):
        noisy = MonoWave((source.samples + noise * 10 ** (level_db / 20)).astype(np.float32), source.sample_rate_hz)
        result = measure_intelligibility(source, noisy)
        assert result.word_disagreement is not None
        rates.append(result.word_disagreement)
    assert 0.1 < rates[0] < 0.6 < rates[1]


def test_a_little_noise_leaves_a_sung_melody(data_dir: Path) -> None:
    path = data_dir / "sms_tools" / "singing_female" / "singing-female.flac"
    if not path.is_file():
        pytest.skip("sms_tools/singing_female is not here")
    sung = read_mono_wave(path)
    noise = np.random.default_rng(0).standard_normal(len(sung.samples)) * float(np.std(sung.samples)) * 10 ** (-30 / 20)
    result = measure_pitch_fidelity(sung, MonoWave((sung.samples + noise).astype(np.float32), sung.sample_rate_hz))
    assert result.log_f0_correlation is not None and result.log_f0_correlation > 0.98
    assert result.median_error_cents is not None and 0 < result.median_error_cents < 5
    assert result.shift_semitones == pytest.approx(0.0, abs=0.02)
