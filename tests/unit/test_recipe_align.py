"""Forced alignment of the base recipe: known times must be found again."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from recipes.base.align import AlignmentError, align, align_corpus

N_CLASSES = 6


def _posteriors(
    classes: list[int], *, contrast: float = 3.0, noise: float = 0.0, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Log posteriors [T, C] that favour the given class of each frame."""
    logits = (
        np.random.default_rng(seed).normal(0, noise, (len(classes), N_CLASSES))
        if noise
        else np.zeros((len(classes), N_CLASSES))
    )
    logits[np.arange(len(classes)), classes] += contrast
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def _runs(*parts: tuple[int, int]) -> list[int]:
    return [phone for phone, length in parts for _ in range(length)]


def test_known_times_are_recovered_through_noise() -> None:
    truth = _runs((0, 7), (1, 5), (2, 9), (3, 2), (0, 6), (4, 8), (1, 4), (0, 3))
    found = align(_posteriors(truth, contrast=4.0, noise=1.0), [[1, 2, 3], [4, 1]])
    assert np.mean(found.classes == truth) > 0.95
    assert found.classes.dtype == np.int16


def test_silence_between_words_and_at_the_ends_is_optional() -> None:
    truth = _runs((1, 4), (2, 5), (3, 4), (4, 5))
    found = align(_posteriors(truth), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(found.classes, truth)
    assert found.agreement == 1.0


def test_silence_inside_a_word_is_never_used() -> None:
    heard = _runs((1, 8), (0, 4), (2, 8))
    assert 0 in align(_posteriors(heard), [[1], [2]]).classes
    assert 0 not in align(_posteriors(heard), [[1, 2]]).classes


def test_repeated_phones_each_keep_two_frames() -> None:
    found = align(_posteriors(_runs((1, 8))), [[1, 3, 1]])
    lengths = [(phone, len(list(run))) for phone, run in itertools.groupby(found.classes.tolist())]
    assert [phone for phone, _ in lengths] == [1, 3, 1]
    assert lengths[1] == (3, 2)


def test_path_equals_exhaustive_search() -> None:
    scores = _posteriors([0] * 8, contrast=0.0, noise=2.0, seed=5)
    words = [[1, 2], [1]]
    best, best_classes = -np.inf, None
    for silences in itertools.product([False, True], repeat=3):
        sequence = [
            *([0] if silences[0] else []),
            1,
            2,
            *([0] if silences[1] else []),
            1,
            *([0] if silences[2] else []),
        ]
        for lengths in itertools.product(range(2, 9), repeat=len(sequence)):
            if sum(lengths) == len(scores):
                classes = _runs(*zip(sequence, lengths, strict=True))
                total = float(scores[np.arange(8), classes].sum())
                if total > best:
                    best, best_classes = total, classes
    np.testing.assert_array_equal(align(scores, words).classes, best_classes)


def test_prior_gives_rare_phones_their_frames_back() -> None:
    prior = np.log(np.asarray([0.1, 0.6, 0.01, 0.1, 0.1, 0.09]))
    likelihood = np.zeros((12, N_CLASSES))
    likelihood[:6, 1] = likelihood[6:, 2] = 2.0
    joint = likelihood + prior
    posteriors = joint - np.log(np.exp(joint).sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(align(posteriors, [[1, 2]], prior, prior_weight=1.0).classes, _runs((1, 6), (2, 6)))
    np.testing.assert_array_equal(align(posteriors, [[1, 2]]).classes, _runs((1, 10), (2, 2)))


def test_agreement_counts_the_frames_chosen_freely() -> None:
    found = align(_posteriors(_runs((1, 6), (5, 2), (2, 8))), [[1, 2]])
    assert found.agreement == pytest.approx(14 / 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [([[]], "no phones"), ([[1, 2, 3]], "3 phones for 5 frames"), ([[9]], "classes 1..5"), ([[0]], "classes 1..5")],
)
def test_impossible_transcripts_are_refused(words: list[list[int]], message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        align(_posteriors([0] * 5), words)


def test_corpus_keeps_recordings_that_agree() -> None:
    right = _runs((0, 3), (1, 6), (2, 6), (0, 3))
    sounds = {"right": _posteriors(right), "wrong": _posteriors(_runs((5, 20))), "short": _posteriors([1, 1])}
    words = {"right": [[1, 2]], "wrong": [[3, 4]], "short": [[1, 2, 3]]}
    kept = align_corpus(sounds.__getitem__, words)
    assert list(kept) == ["right"]
    np.testing.assert_array_equal(kept["right"], right)
    assert set(align_corpus(sounds.__getitem__, words, keep_agreement=-1.0)) == {"right", "wrong"}
