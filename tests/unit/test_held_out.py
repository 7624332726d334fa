from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.held_out import ENGLISH, MALAYALAM, held_out_pairs, seen_pairs
from recipes.base.hidden import is_hidden

HEADING = "path,source,speaker,seconds\n"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A data folder with only its list: every reader has short recordings and one of 9 s, number 2."""
    rows = [
        f"{speaker}/{number}.flac,{speaker.split('/')[0]},{speaker},{9.0 if number == 2 else 3.0 + number / 100}"
        for speaker in (*ENGLISH, *MALAYALAM)
        for number in range(12)
    ]
    rows += [
        f"sms_tools/{name}/a.flac,sms_tools,sms_tools/{name},2.0" for name in ("singing_female", "vignesh", "soprano")
    ]
    notes = ("A4-3", "As4-3", "Cs3-3", "D3", "E3", "Fs3", "Gs2-4", "seen")
    rows += [f"vocobox/martin/notes_{note}.flac,vocobox,vocobox/martin,{1 + at}" for at, note in enumerate(notes)]
    (tmp_path / "manifest.csv").write_text(HEADING + "\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def test_pairs_to_choose_by_are_of_other_readers(tmp_path: Path) -> None:
    readers = [f"librispeech/{number}" for number in range(100, 130)]
    rows = [f"{name}/a.flac,librispeech,{name},{12 + at % 4}" for at, name in enumerate((*readers, *ENGLISH))]
    (tmp_path / "manifest.csv").write_text(HEADING + "\n".join(rows) + "\n", encoding="utf-8")
    pairs = seen_pairs(tmp_path)
    assert len(pairs) == 12
    assert {pair.source for pair in pairs} == {reference for pair in pairs for reference in pair.references}
    assert not any(
        pair.source in pair.references or any(name in str(pair.source) for name in ENGLISH) for pair in pairs
    )


def test_the_pairs(manifest: Path) -> None:
    pairs = held_out_pairs(manifest)
    assert Counter(pair.group for pair in pairs) == {"english": 20, "malayalam": 2, "sung": 8}
    assert len({pair.name for pair in pairs}) == 30
    first = pairs[0]
    assert first.source == manifest / "librispeech/533/2.flac"  # the first of at least 7 s
    assert first.references == tuple(manifest / f"librispeech/1998/{number}.flac" for number in range(10))
    notes = [pair.source.stem for pair in pairs if pair.sung][3:]
    assert notes == ["notes_Gs2-4", "notes_Fs3", "notes_E3", "notes_D3", "notes_Cs3-3"]  # longest hidden ones


def test_no_pair_uses_a_recording_of_the_training(data_dir: Path) -> None:
    pairs = held_out_pairs(data_dir)
    for pair in pairs:
        assert pair.source not in pair.references
        for path in (pair.source, *pair.references):
            relative = path.relative_to(data_dir)
            row = {"path": relative.as_posix(), "source": relative.parts[0], "speaker": relative.parent.as_posix()}
            assert path.is_file() and is_hidden(row), path
    targets = Counter(pair.references[0].parent for pair in pairs if pair.sung)
    assert len(targets) == 7 and max(targets.values()) == 2


def test_world_moves_pitch_and_keeps_the_length() -> None:
    pytest.importorskip("pyworld", reason="pyworld is not installed")
    from benchmarks.quality.world_baseline import shift_and_warp
    from timbre.evaluate.waves import MonoWave

    time_s = np.arange(8_000) / 16_000
    waves = [
        MonoWave(sum(0.1 / k * np.sin(2 * np.pi * k * hz * time_s) for k in range(1, 12)).astype(np.float32), 16_000)
        for hz in (150.0, 270.0)
    ]
    for whole_octaves, wanted_hz in ((False, 270.0), (True, 300.0)):
        moved = shift_and_warp(waves[0], [waves[1]], whole_octaves)
        assert len(moved.samples) == 8_000
        spectrum = np.abs(np.fft.rfft(moved.samples[1_000:7_000] * np.hanning(6_000), 1 << 16))
        heard_hz = np.argmax(spectrum[: 1 << 12][820:]) + 820  # above 200 Hz, where only the first partial lies
        assert heard_hz * 16_000 / (1 << 16) == pytest.approx(wanted_hz, rel=0.02)


def test_a_vowel_is_held_on_the_notes_and_levels_of_a_song() -> None:
    pytest.importorskip("pyworld", reason="pyworld is not installed")
    from benchmarks.quality.world_baseline import sing_vowels
    from timbre.evaluate.waves import MonoWave

    time_s = np.arange(16_000) / 16_000

    def vowel(hz: float, formant_hz: float) -> np.ndarray:
        partials = range(1, int(7_000 / hz))
        return sum(
            (0.02 + 0.2 * np.exp(-(((k * hz - formant_hz) / 300) ** 2))) * np.sin(2 * np.pi * k * hz * time_s)
            for k in partials
        )

    song = MonoWave((vowel(400.0, 800.0) * np.where(time_s < 0.5, 1.0, 0.25)).astype(np.float32), 16_000)
    voice = MonoWave(vowel(120.0, 2_000.0).astype(np.float32), 16_000)
    silence = MonoWave(np.zeros(16_000, dtype=np.float32), 16_000)
    held, nothing = sing_vowels(song, [voice, silence], np.random.default_rng(0))
    assert held is not None and len(held.samples) == 16_000
    loud, quiet = held.samples[3_000:7_000], held.samples[10_000:14_000]
    assert 20 * np.log10(loud.std() / quiet.std()) == pytest.approx(12, abs=1)
    spectrum = np.abs(np.fft.rfft(loud * np.hanning(4_000), 1 << 16))
    strongest_hz = np.argmax(spectrum) * 16_000 / (1 << 16)
    assert strongest_hz == pytest.approx(2_000, abs=110)  # the voice's formant
    # 400 Hz goes two octaves down: 100 Hz is nearest to 120.
    assert strongest_hz % 100 == pytest.approx(0, abs=4) or strongest_hz % 100 == pytest.approx(100, abs=4)
    assert nothing is None
