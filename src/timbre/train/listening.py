"""How good a voice is: what probes that it converted are worth, as one number and its parts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from timbre.errors import TimbreError
from timbre.evaluate.intelligibility import ContentExtractor, compare_words, content_distance, recognise_english
from timbre.evaluate.loudness_fidelity import measure_loudness_fidelity
from timbre.evaluate.pitch_fidelity import measure_pitch_fidelity
from timbre.evaluate.similarity import embed_speaker, holds_sound, mean_voice, similarity_among, voice_cosine
from timbre.evaluate.waves import MonoWave

Embed = Callable[[MonoWave], NDArray[np.float32]]


@dataclass(frozen=True)
class Probe:
    """A sound to convert."""

    name: str
    wave: MonoWave
    words: tuple[str, ...] = ()  # that a recogniser hears in it


@dataclass(frozen=True)
class Bounds:
    """What similarity can be worth."""

    floor: float  # of the probes as they are
    ceiling: float  # of other recordings of the speaker


class Judge:
    """Scores conversions by the voice of the recordings `targets`.

    `embed` gives the voice vector of a sound, `extract` its content.
    """

    def __init__(
        self, probes: Sequence[Probe], targets: Sequence[MonoWave], embed: Embed, extract: ContentExtractor
    ) -> None:
        self.probes, self._embed, self._extract = probes, embed, extract
        vectors = [embed(target) for target in targets]
        self._target = mean_voice(vectors)
        self.bounds = Bounds(
            floor=float(np.mean([voice_cosine(embed(probe.wave), self._target) for probe in probes])),
            ceiling=similarity_among(vectors),
        )

    def judge(self, converted: Sequence[MonoWave]) -> dict[str, float]:
        """Return the mean measures of all probes; what cannot be measured is left out.

        "similarity" is the cosine of voices, "content_distance" that of content, "pitch_error_cents", "loudness"
        (correlation of the envelopes), and "word_disagreement" where the probes have words.
        """
        rows = [self._measures(probe, wave) for probe, wave in zip(self.probes, converted, strict=True)]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}

    def _measures(self, probe: Probe, wave: MonoWave) -> dict[str, float]:
        similarity = voice_cosine(self._embed(wave), self._target) if holds_sound(wave) else 0.0
        row: dict[str, float | None] = {
            "similarity": similarity,
            "content_distance": content_distance(probe.wave, wave, self._extract),
            "pitch_error_cents": measure_pitch_fidelity(probe.wave, wave).median_error_cents,
            "loudness": measure_loudness_fidelity(probe.wave, wave).envelope_correlation,
        }
        if probe.words:
            row["word_disagreement"] = compare_words(probe.words, recognise_english(wave)).word_disagreement
        return {name: value for name, value in row.items() if value is not None}


def score_of(numbers: dict[str, float]) -> float:
    """Return the one number by which checkpoints are compared: similarity minus content distance."""
    return numbers["similarity"] - numbers["content_distance"]


@functools.cache
def independent_embed() -> Embed | None:
    """Return the independent speaker encoder, None where it is not installed."""
    from timbre.evaluate.speaker_encoder import load_speaker_encoder

    try:
        load_speaker_encoder()
    except TimbreError:
        return None
    return embed_speaker


def words_of(wave: MonoWave) -> tuple[str, ...]:
    """Return the English words in a sound; none where the recogniser is not installed."""
    return recognise_english(wave) if find_spec("pocketsphinx") is not None else ()
