"""Evaluates conversions that lie on disk: one, or a folder of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timbre.audio.reader import probe_audio
from timbre.errors import AudioError
from timbre.evaluate.report import EvaluationReport, evaluate_triple
from timbre.evaluate.summary import MeanInterval, summarise
from timbre.evaluate.triples import Triple, find_triples
from timbre.evaluate.waves import read_mono_wave

OVERALL = "overall"


@dataclass(frozen=True)
class NamedReport:
    """The measures of one conversion of a folder."""

    name: str
    group: str
    report: EvaluationReport


@dataclass(frozen=True)
class FolderReport:
    """The measures of all conversions of a folder, and their means per group and overall."""

    rows: tuple[NamedReport, ...]
    means: dict[str, dict[str, MeanInterval]]  # group -> measure; the key "overall" is over all rows


def evaluate_files(triple: Triple, language: str = "en") -> EvaluationReport:
    """Evaluate one conversion; `language` holds when the triple names none, and only English words are recognised.

    Raises AudioError for unreadable or silent recordings, MissingExtraError when a package is not installed.
    """
    return evaluate_triple(
        read_mono_wave(triple.source),
        read_mono_wave(triple.converted),
        [read_mono_wave(path) for path in triple.like],
        english=_is_english(triple.language or language),
        transcript=triple.transcript,
        asked_shift_semitones=triple.asked_shift_semitones,
    )


def evaluate_folder(
    folder: Path, language: str = "en", seed: int = 0, on_progress: Callable[[int, int, str], None] | None = None
) -> FolderReport:
    """Evaluate all conversions that `find_triples` lists; `on_progress` gets (index, count, name) before each.

    Raises SettingsError for a folder without conversions, and what `evaluate_files` raises.
    """
    triples = find_triples(folder)
    for triple in triples:  # a bad file is named before any work is done
        for path in (triple.source, triple.converted, *triple.like):
            with _of(triple):
                probe_audio(path)
    rows: list[NamedReport] = []
    for index, triple in enumerate(triples):
        if on_progress is not None:
            on_progress(index, len(triples), triple.name)
        with _of(triple):
            rows.append(NamedReport(triple.name, triple.group, evaluate_files(triple, language)))
    return FolderReport(tuple(rows), mean_tables(rows, seed))


@contextmanager
def _of(triple: Triple) -> Iterator[None]:
    """Tell in which conversion a file was bad: in all of them they have the same names."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"conversion {triple.name}: {error}") from error


def mean_tables(rows: Sequence[NamedReport], seed: int = 0) -> dict[str, dict[str, MeanInterval]]:
    """Return the mean and interval of each measure, per group (in order of appearance) and overall."""
    groups = dict.fromkeys(row.group for row in rows)
    tables = {group: [row.report.numbers() for row in rows if row.group == group] for group in groups}
    tables[OVERALL] = [row.report.numbers() for row in rows]
    return {group: summarise(numbers, seed) for group, numbers in tables.items()}


def _is_english(language: str) -> bool:
    return language.lower().replace("_", "-").split("-")[0] in ("en", "english")
