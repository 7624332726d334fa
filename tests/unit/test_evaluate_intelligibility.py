import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from timbre.errors import AudioError, MissingExtraError
from timbre.evaluate import intelligibility
from timbre.evaluate.intelligibility import compare_words, content_distance
from timbre.evaluate.waves import MonoWave
from timbre.evaluate.word_errors import edit_distance, split_words, word_error_rate

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=6)


@pytest.mark.parametrize(
    ("reference", "heard", "edits"),
    [
        ("the cat sat", "the cat sat", 0),
        ("the cat sat", "the hat sat", 1),
        ("the cat sat", "cat sat", 1),
        ("the cat sat", "the cat sat down now", 2),
        ("the cat sat", "", 3),
        ("a b c d", "b c d a", 2),
    ],
)
def test_known_edit_distances(reference: str, heard: str, edits: int) -> None:
    assert edit_distance(reference.split(), heard.split()) == edits


@settings(deadline=None)
@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_a_metric(first: list[str], second: list[str], third: list[str]) -> None:
    assert edit_distance(first, second) == edit_distance(second, first)
    assert (edit_distance(first, second) == 0) == (first == second)
    assert edit_distance(first, third) <= edit_distance(first, second) + edit_distance(second, third)


def test_word_error_rate() -> None:
    assert word_error_rate(["a", "b"], ["a", "c", "d"]) == 1.0
    assert word_error_rate([], ["a"]) is None


def test_split_words() -> None:
    assert split_words("Don\u2019t stop -- the 'Music', N\u00e4he 42!") == (
        "don't",
        "stop",
        "the",
        "'music'",
        "n\u00e4he",
        "42",
    )


def test_compare_words_with_a_transcript() -> None:
    result = compare_words(("one", "two", "tree"), ("one", "tree"), "One, two, three.")
    assert result.word_disagreement == pytest.approx(1 / 3)
    assert result.source_word_error == pytest.approx(1 / 3)
    assert result.converted_word_error == pytest.approx(2 / 3)
    assert compare_words(("one",), ("one",)).source_word_error is None


def test_a_missing_recogniser_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    intelligibility._decoder.cache_clear()
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(MissingExtraError, match=r"timbre\[evaluate\]"):
        intelligibility.recognise_english(MonoWave(np.ones(1600, dtype=np.float32), 16_000))


def first_two_samples_of_each_frame(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    return wave[: len(wave) // 160 * 160].reshape(-1, 160)[:, :2]


def content(columns: list[list[float]]) -> MonoWave:
    frames = np.zeros((len(columns), 160), dtype=np.float32)
    frames[:, :2] = columns
    return MonoWave(frames.reshape(-1), 16_000)


def test_content_distance_of_known_features() -> None:
    source = content([[1, 0], [0, 1], [1, 1]])
    assert content_distance(source, source, first_two_samples_of_each_frame) == pytest.approx(0.0, abs=1e-6)
    louder = content([[0.5, 0], [0, 0.5], [0.5, 0.5]])
    assert content_distance(source, louder, first_two_samples_of_each_frame) == pytest.approx(0.0, abs=1e-6)
    other = content([[0, 1], [0, 1], [-1, -1], [1, 0]])
    assert content_distance(source, other, first_two_samples_of_each_frame) == pytest.approx((1 + 0 + 2) / 3)


def test_content_distance_needs_a_frame() -> None:
    short = MonoWave(np.ones(100, dtype=np.float32), 16_000)
    with pytest.raises(AudioError, match="longer"):
        content_distance(short, short, first_two_samples_of_each_frame)
