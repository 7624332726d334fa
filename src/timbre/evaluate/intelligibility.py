"""Intelligibility: are the source's words still there?

For English, an independent recogniser (pocketsphinx's packaged model) hears both recordings. It is brittle: 30 dB of
noise on the source already changes a third or more of its words, so read the number beside that of a plain resynthesis
(`benchmarks/base_quality.py` prints it).
For any language, `content_distance` compares the features of a content encoder given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbre.errors import AudioError, MissingExtraError
from timbre.evaluate.waves import MonoWave
from timbre.evaluate.word_errors import split_words, word_error_rate

SAMPLE_RATE_HZ = 16_000

ContentExtractor = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # 16 kHz wave [N] -> features [T, D]


@dataclass(frozen=True)
class Intelligibility:
    """What an English recogniser heard, and how far apart; rates are edits per word and may exceed 1."""

    source_words: tuple[str, ...]
    converted_words: tuple[str, ...]
    word_disagreement: float | None  # converted against source; None when no word was heard in the source
    source_word_error: float | None  # against the transcript; None without one
    converted_word_error: float | None


def recognise_english(wave: MonoWave) -> tuple[str, ...]:
    """Return the words heard; the same sound always gives the same words.

    Raises MissingExtraError when pocketsphinx is not installed.
    """
    samples = wave.at(SAMPLE_RATE_HZ).finite().samples
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
    decoder = _decoder()
    decoder.reinit_feat()  # forgets the noise floor and channel of earlier sounds
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return split_words(hypothesis.hypstr) if hypothesis is not None else ()


def measure_intelligibility(source: MonoWave, converted: MonoWave, transcript: str | None = None) -> Intelligibility:
    """Recognise both English recordings and compare their words, and each with `transcript` when given.

    Raises MissingExtraError when pocketsphinx is not installed.
    """
    return compare_words(recognise_english(source), recognise_english(converted), transcript)


def compare_words(
    source_words: tuple[str, ...], converted_words: tuple[str, ...], transcript: str | None = None
) -> Intelligibility:
    """Compare two recognitions, and each with `transcript` when given."""
    truth = split_words(transcript) if transcript is not None else ()
    return Intelligibility(
        source_words=source_words,
        converted_words=converted_words,
        word_disagreement=word_error_rate(source_words, converted_words),
        source_word_error=word_error_rate(truth, source_words),
        converted_word_error=word_error_rate(truth, converted_words),
    )


def content_distance(source: MonoWave, converted: MonoWave, extract_content: ContentExtractor) -> float:
    """Return the mean cosine distance (0 same, 2 opposite) of two recordings' content, frame by frame.

    Works for any language and needs no time warping, because a conversion keeps the source's timing. Frames past the
    shorter recording are left out. Raises AudioError when there is no frame to compare.
    """
    features = [
        np.asarray(extract_content(wave.at(SAMPLE_RATE_HZ).finite().samples), dtype=np.float64)
        for wave in (source, converted)
    ]
    n_frames = min(len(features[0]), len(features[1]))
    if n_frames == 0:
        raise AudioError("the content encoder gave no frame for one of the sounds; both must be longer")
    first, second = (feature[:n_frames] for feature in features)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosine = np.sum(first * second, axis=1) / np.maximum(norms, 1e-12)
    return float(np.mean(1.0 - cosine))


@lru_cache(maxsize=1)
def _decoder() -> Any:
    """Load the recogniser once: one pass, few active states (about 0.12 s of CPU per second).

    Every frame is scored with four Gaussians (ds=1, topn=4). Skipping every second frame (ds=2, topn=2) costs 0.09 s,
    but then a WORLD resynthesis without any change loses 0.74 of the words instead of 0.34.
    """
    try:
        from pocketsphinx import Decoder
    except ModuleNotFoundError as error:
        raise MissingExtraError("pocketsphinx", "evaluate", "word recognition") from error
    return Decoder(ds=1, topn=4, maxhmmpf=3000, fwdflat=False, bestpath=False, loglevel="FATAL")
