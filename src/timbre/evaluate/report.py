"""All measures of one conversion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from timbre.evaluate.faults import Faults, measure_faults
from timbre.evaluate.intelligibility import (
    ContentExtractor,
    Intelligibility,
    content_distance,
    measure_intelligibility,
)
from timbre.evaluate.loudness_fidelity import LoudnessFidelity, measure_loudness_fidelity
from timbre.evaluate.pitch_fidelity import PitchFidelity, measure_pitch_fidelity
from timbre.evaluate.similarity import Similarity, measure_similarity
from timbre.evaluate.waves import MonoWave


@dataclass(frozen=True)
class EvaluationReport:
    """How good one conversion is; None where a measure does not apply."""

    similarity: Similarity
    pitch: PitchFidelity
    loudness: LoudnessFidelity
    intelligibility: Intelligibility | None  # None when the recording is not English or words were not asked
    content_distance: float | None  # None when no content encoder was given
    faults: Faults

    def numbers(self) -> dict[str, float | None]:
        """Return the measures as one flat row; names are unique and stable."""
        words = self.intelligibility
        return {
            "similarity_to_target": self.similarity.to_target,
            "similarity_to_source": self.similarity.to_source,
            "similarity_difference": self.similarity.to_target - self.similarity.to_source,
            "similarity_floor": self.similarity.floor,
            "similarity_ceiling": self.similarity.ceiling,
            "word_disagreement": words.word_disagreement if words else None,
            "source_word_error": words.source_word_error if words else None,
            "converted_word_error": words.converted_word_error if words else None,
            "content_distance": self.content_distance,
            "log_f0_correlation": self.pitch.log_f0_correlation,
            "shift_semitones": self.pitch.shift_semitones,
            "shift_error_semitones": self.pitch.shift_error_semitones,
            "median_error_cents": self.pitch.median_error_cents,
            "octave_error_fraction": self.pitch.octave_error_fraction,
            "voicing_disagreement": self.pitch.voicing_disagreement,
            "envelope_correlation": self.loudness.envelope_correlation,
            "level_difference_db": self.loudness.level_difference_db,
            "clipped_fraction": self.faults.clipped_fraction,
            "clicks": float(self.faults.clicks),
            "clicks_at_joins": float(self.faults.clicks_at_joins),
            "dropped_s": self.faults.dropped_s,
            "dc_offset": self.faults.dc_offset,
            "non_finite_samples": float(self.faults.non_finite_samples),
            "length_difference_s": self.faults.length_difference_s,
        }


def evaluate_triple(
    source: MonoWave,
    converted: MonoWave,
    references: Sequence[MonoWave],
    *,
    english: bool = True,
    transcript: str | None = None,
    asked_shift_semitones: float | None = None,
    join_times_s: Sequence[float] = (),
    extract_content: ContentExtractor | None = None,
) -> EvaluationReport:
    """Measure one conversion against its source and recordings of the wanted voice.

    Words are recognised only when `english` is true. NaN and infinite samples of `converted` are counted as faults and
    muted for the other measures. Raises AudioError when the source or a reference holds no sound, MissingExtraError
    when a package of the extra `evaluate` is not installed.
    """
    whole = converted.finite()
    return EvaluationReport(
        similarity=measure_similarity(source, whole, references),
        pitch=measure_pitch_fidelity(source, whole, asked_shift_semitones),
        loudness=measure_loudness_fidelity(source, whole),
        intelligibility=measure_intelligibility(source, whole, transcript) if english else None,
        content_distance=None if extract_content is None else content_distance(source, whole, extract_content),
        faults=measure_faults(source, converted, join_times_s),
    )
