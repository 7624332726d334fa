"""The probes of content encoders, by features of which the truth is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import encoder_quality
from benchmarks.quality import representations
from benchmarks.quality.encoder_probes import (
    Labelled,
    Piece,
    agreement,
    commonest_phone_share,
    phone_accuracy,
    speaker_accuracy,
    word_retrieval,
)
from benchmarks.quality.phone_labels import phone_labels
from benchmarks.quality.probe_material import Recording, SpokenWord, changed_voices, command_words, readers, singing
from benchmarks.quality.time_warping import warped_distances
from timbre.evaluate.summary import bootstrap_mean
from timbre.evaluate.waves import read_mono_wave
from timbre.pitch.trackers import load_tracker

RATE_HZ = 16_000
Frames = NDArray[np.float32]


def noise(seed: int, *shape: int) -> Frames:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def pieces(speaker_weight: float, recording_weight: float) -> list[Piece]:
    """Ten recordings of four pieces for each of four speakers, with the mark of the speaker and of the recording."""
    return [
        Piece(
            noise(1000 * speaker + 10 * recording + piece, 30, 16)
            + speaker_weight * noise(50_000 + speaker, 16)
            + recording_weight * noise(60_000 + 10 * speaker + recording, 16),
            f"s{speaker}",
            f"s{speaker}r{recording}",
            recording % 5,
        )
        for speaker in range(4)
        for recording in range(10)
        for piece in range(4)
    ]


def test_a_speaker_who_is_there_is_found() -> None:
    shares = speaker_accuracy(pieces(3.0, 0.0))
    assert len(shares) == 40 and np.mean(shares) == 1.0


@pytest.mark.parametrize("recording_weight", [0.0, 3.0])
def test_features_without_the_speaker_are_at_chance(recording_weight: float) -> None:
    # With a strong mark of the recording a split inside recordings would find every speaker.
    interval = bootstrap_mean(speaker_accuracy(pieces(0.0, recording_weight)))
    assert interval.low <= 0.25 <= interval.high


def readings(wrong_share: float = 0.0, own_alphabets: bool = False, weight: float = 8.0) -> list[Labelled]:
    """Forty recordings of five speakers and four phones; some labels are wrong, every seventh frame is silent."""
    recordings = []
    for number in range(40):
        rng = np.random.default_rng(number)
        said = rng.integers(0, 4, 150)
        marks = np.roll(np.eye(4), number % 5, axis=0) if own_alphabets else np.eye(4)
        frames = noise(number, 150, 4) + weight * marks[said].astype(np.float32)
        heard = np.where(rng.random(150) < wrong_share, (said + rng.integers(1, 4, 150)) % 4, said)
        phones = ["" if frame % 7 == 0 else "ABCD"[phone] for frame, phone in enumerate(heard)]
        recordings.append(Labelled(frames, phones, f"s{number % 5}"))
    return recordings


def test_phones_of_perfect_features_are_found() -> None:
    assert np.mean(phone_accuracy(readings())) > 0.999


def test_features_without_phones_are_at_chance() -> None:
    recordings = readings(weight=0.0)
    assert np.mean(phone_accuracy(recordings)) == pytest.approx(0.25, abs=0.03)
    assert commonest_phone_share(recordings) == pytest.approx(0.25, abs=0.03)


def test_the_phone_probe_judges_speakers_it_was_not_trained_on() -> None:
    assert np.mean(phone_accuracy(readings(own_alphabets=True))) < 0.45


def test_the_interval_holds_the_true_accuracy() -> None:
    interval = bootstrap_mean(phone_accuracy(readings(wrong_share=0.3)))
    assert interval.low <= 0.7 <= interval.high
    assert 0.005 < interval.high - interval.low < 0.05


def vocabulary(speaker: int, word_weight: float, n_words: int = 12) -> list[Frames]:
    """Words of eight sounds each, at the speaker's own tempo."""
    words = []
    for word in range(n_words):
        own = noise(100 * speaker + word + 7000, 8, 10)
        sounds = word_weight * noise(word, 8, 10) + own
        words.append(np.repeat(sounds, np.random.default_rng(speaker * 50 + word).integers(1, 5, 8), axis=0))
    return words


def test_the_same_words_are_found_at_any_tempo() -> None:
    shares = word_retrieval([vocabulary(speaker, 5.0) for speaker in range(5)])
    assert shares == [1.0] * 5


def test_words_of_random_features_are_at_chance() -> None:
    shares = word_retrieval([vocabulary(speaker, 0.0) for speaker in range(7)])
    assert np.mean(shares) == pytest.approx(1 / 12, abs=0.05)


def test_warped_distances_are_those_of_a_plain_search() -> None:
    first = [noise(1, 5, 3), noise(2, 9, 3)]
    second = [noise(3, 7, 3), noise(4, 1, 3), noise(5, 4, 3)]
    expected = [[plain_distance(ours, theirs) for theirs in second] for ours in first]
    np.testing.assert_allclose(warped_distances(first, second), expected, atol=1e-5)
    slow = np.repeat(first[1], 3, axis=0)
    np.testing.assert_allclose(warped_distances([first[1]], [slow]), 0.0, atol=1e-5)


def plain_distance(first: Frames, second: Frames) -> float:
    unit = [frames / np.linalg.norm(frames, axis=1, keepdims=True) for frames in (first, second)]
    cost = 1 - unit[0] @ unit[1].T
    best = np.full((len(first) + 1, len(second) + 1), np.inf)
    for row in range(len(first)):
        for column in range(len(second)):
            steps = (best[row, column + 1], best[row + 1, column], best[row, column] + cost[row, column])
            best[row + 1, column + 1] = cost[row, column] + (min(steps) if row or column else 0)
    return float(best[-1, -1] / (len(first) + len(second) - 1))


def test_a_copy_with_the_same_features_agrees() -> None:
    originals = [noise(seed, 60, 8) + 20 for seed in range(4)]
    for one in agreement(originals, originals):
        assert one.cosine == pytest.approx(1.0, abs=1e-5) and one.rank < 0.01


@pytest.mark.parametrize("constant", [False, True])
def test_features_that_hear_nothing_rank_in_the_middle(constant: bool) -> None:
    copies = [noise(seed, 60, 8) + 20 for seed in range(8)]
    if constant:
        copies = [np.full_like(copy, 0.3) for copy in copies]
    found = agreement(copies[:4], copies[4:])
    assert np.mean([one.rank for one in found]) == pytest.approx(0.5, abs=0.06)


def test_representations_share_one_frame_grid() -> None:
    samples = noise(0, 1234) * 0.1
    assert representations.log_mel()(samples).shape == (7, 80)
    heard = representations.other_encoder(CountingEncoder())(samples)
    assert heard[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 2]  # centres at 200, 520 and 840 against 0, 160, 320, ...


@dataclass
class CountingEncoder:
    """Gives the number of each frame."""

    dimensions: int = 1
    sample_rate_hz: int = RATE_HZ
    hop_samples: int = 320

    def encode(self, wave: Tensor) -> Tensor:
        return torch.arange((len(wave) - 400) // 320 + 1).float().unsqueeze(1)

    def to(self, device: str) -> "CountingEncoder":
        return self

    def reduce(self, number_type: torch.dtype) -> None:
        raise AssertionError


def voice(f0_hz: float, seconds: float) -> Frames:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.sum([np.sin(2 * np.pi * k * f0_hz * time_s) * 0.1 / k for k in range(1, 20)], axis=0).astype(np.float32)


def test_silence_is_not_loud() -> None:
    samples = np.concatenate((np.zeros(1600, np.float32), voice(200.0, 0.1), 1e-4 * voice(200.0, 0.1)))
    assert representations.loud_frames(samples)[[2, 8, 11, 15, 18, 25, 29]].tolist() == [0, 0, 1, 1, 1, 0, 0]
    assert not representations.loud_frames(np.zeros(0, np.float32)).any()


def test_changed_voices_keep_the_length_and_move_the_pitch() -> None:
    samples = np.concatenate((voice(200.0, 0.8), 0.02 * noise(0, 4000)))
    copies = changed_voices(samples)
    medians_hz = []
    for copy in copies:
        assert copy.shape == samples.shape and copy.dtype == np.float32
        track = load_tracker("pm").track(copy, RATE_HZ, 160)
        medians_hz.append(float(np.median(track.f0_hz[track.voiced])))
    assert medians_hz == pytest.approx([270.0, 150.0], rel=0.01)
    np.testing.assert_array_equal(copies, changed_voices(samples))


def test_words_are_cut_out_of_their_takes(tmp_path: Path) -> None:
    takes = ["arabic_commands/a/take01_a.wav", "arabic_commands/a/take02_a.wav"]
    rows = [f"{path},arabic_commands,arabic_commands/a,speech,yes no" for path in takes]
    (tmp_path / "manifest.csv").write_text("path,source,speaker,kind,transcript\n" + "\n".join(rows) + "\n")
    for path, level in zip(takes, (0.2, 0.4), strict=True):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        samples = np.repeat(np.array([level, -level], np.float32), RATE_HZ)
        soundfile.write(tmp_path / path, samples, RATE_HZ)
    words = command_words(tmp_path)
    assert [(word.word, word.take, len(word.samples)) for word in words] == [
        ("yes", 1, RATE_HZ),
        ("no", 1, RATE_HZ),
        ("yes", 2, RATE_HZ),
        ("no", 2, RATE_HZ),
    ]
    assert [float(word.samples[100]) for word in words] == pytest.approx([0.2, -0.2, 0.4, -0.4], abs=0.01)
    assert readers(tmp_path) == [] and singing(tmp_path) == []


def test_phone_labels_lie_where_the_sounds_are(data_dir: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed")
    samples = read_mono_wave(data_dir / "librispeech/1998/1998-15444-0008.flac").at(RATE_HZ).samples
    labels = phone_labels(samples)
    assert len(labels) == len(samples) // 160
    log_mel = representations.log_mel()(samples)
    brightness = (log_mel[:, 60:] - log_mel[:, 10:30].mean(axis=1, keepdims=True)).mean(axis=1)
    hissing, vowel = (np.isin(labels, names) for names in (["S", "SH", "Z"], ["IY", "AA", "EH", "EY", "UH"]))
    assert brightness[hissing].mean() > brightness[vowel].mean() + 2
    quiet = np.array([label == "" for label in labels])
    assert log_mel[quiet].mean() < log_mel[~quiet].mean() - 2


def test_phone_labels_of_silence_are_empty() -> None:
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed")
    assert phone_labels(np.zeros(8000, np.float32)) == [""] * 50


def test_the_table_has_every_column_and_the_same_numbers_again(capsys: pytest.CaptureFixture[str]) -> None:
    material = noisy_material()
    hear = representations.log_mel()
    rows = {"chance": encoder_quality.chance(material), "log-mel": encoder_quality.probe(hear, material)}
    assert rows["log-mel"] == encoder_quality.probe(hear, material)
    assert all(list(measures) == list(encoder_quality.COLUMNS) for measures in rows.values())
    chances = [rows["chance"][name].mean for name in ("reader", "word_speaker", "word")]
    assert chances == pytest.approx([1 / 2, 1 / 3, 1 / 2])
    assert rows["log-mel"]["same_speech"].mean == pytest.approx(1.0, abs=1e-4)  # the copies are the originals
    encoder_quality.print_rows(rows)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines[-1].split("|")) == len(encoder_quality.COLUMNS) + 3 and lines[-1].startswith("| log-mel |")


def noisy_material() -> encoder_quality.Material:
    def recordings(speaker: str) -> Sequence[Recording]:
        return [Recording(f"{speaker}{n}", speaker, 0.1 * noise(ord(speaker) + n, 8000)) for n in range(5)]

    heard = [*recordings("a"), *recordings("b")]
    words = [
        SpokenWord(word, speaker, take, 0.1 * noise(take, 4000))
        for speaker in "abc"
        for take in (1, 2)
        for word in ("yes", "no")
    ]
    phones = {one.name: ["A", "B"] * 25 for one in heard}
    changed = {kind: [(one.samples, [one.samples]) for one in heard[:3]] for kind in ("speech", "singing")}
    return encoder_quality.Material(heard, phones, words, changed)
