"""`timbre evaluate`: measure how good a conversion is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from timbre.cli.tables import format_table, json_line
from timbre.errors import SettingsError

if TYPE_CHECKING:
    from timbre.evaluate.files import FolderReport
    from timbre.evaluate.summary import MeanInterval

_LABELS = {
    "similarity_to_target": ("voice like the target", "cosine, higher is better"),
    "similarity_to_source": ("voice like the source", "cosine, lower is better"),
    "similarity_difference": ("target minus source", "higher is better"),
    "similarity_floor": ("  floor", "the source itself against the target"),
    "similarity_ceiling": ("  ceiling", "the target's recordings against each other"),
    "word_disagreement": ("words changed", "edits per recognised source word; noise alone gives 0.3-0.4"),
    "source_word_error": ("word error, source", "edits per word of the transcript"),
    "converted_word_error": ("word error, converted", "edits per word of the transcript"),
    "content_distance": ("content distance", "0 is the same"),
    "log_f0_correlation": ("melody correlation", "of log pitch; 1 is the same"),
    "shift_semitones": ("pitch shift", "semitones, median"),
    "shift_error_semitones": ("pitch shift error", "semitones from the asked shift"),
    "median_error_cents": ("pitch error", "cents, median"),
    "octave_error_fraction": ("octave errors", "of the frames voiced in both"),
    "voicing_disagreement": ("voicing changed", "of all frames"),
    "envelope_correlation": ("loudness correlation", "1 is the same"),
    "level_difference_db": ("level difference", "dB"),
    "clipped_fraction": ("clipped", "of all samples"),
    "clicks": ("clicks", "not in the source"),
    "clicks_at_joins": ("clicks at joins", "of those"),
    "dropped_s": ("sound dropped", "seconds"),
    "dc_offset": ("DC offset", "full scale 1"),
    "non_finite_samples": ("broken samples", "NaN or infinite"),
    "length_difference_s": ("length difference", "seconds"),
}


def evaluate(
    folder: Path | None = typer.Argument(
        None,
        help="folder of conversions: sub-folders with source.*, converted.* and like*.*, or a triples.csv",
        show_default=False,
    ),
    source: Path | None = typer.Option(None, "--source", help="the recording that was converted", show_default=False),
    converted: Path | None = typer.Option(None, "--converted", help="what the conversion made", show_default=False),
    like: list[Path] = typer.Option(
        [], "--like", help="a recording of the wanted voice; repeatable", show_default=False
    ),
    transcript: str | None = typer.Option(None, "--transcript", help="what is said in the source", show_default=False),
    shift: float | None = typer.Option(
        None, "--shift", help="pitch shift that was asked for, in semitones", show_default=False
    ),
    language: str = typer.Option("en", "--language", help="spoken language; words are compared for en only"),
    seed: int = typer.Option(0, "--seed", help="seed of the intervals of the means"),
    json: bool = typer.Option(
        False, "--json", help="print one JSON object per conversion, then one per group of means"
    ),
) -> None:
    """Measure how good a conversion is: voice, melody, words, loudness and signal faults.

    Give one conversion (--source, --converted, --like) or a folder of them.
    """
    single = (source, converted, like or None, transcript, shift)
    if folder is not None:
        if any(value is not None for value in single):
            raise SettingsError("a folder and a single conversion were both given; use one of them")
        _evaluate_folder(folder, language, seed, json)
        return
    if source is None or converted is None or not like:
        raise SettingsError("the conversion is incomplete; give a folder, or --source, --converted and --like")
    if shift is not None and not math.isfinite(shift):
        raise SettingsError(f"the shift is {shift}; it must be a number of semitones")
    from timbre.evaluate.files import evaluate_files
    from timbre.evaluate.triples import DEFAULT_GROUP, Triple

    triple = Triple(
        str(converted), DEFAULT_GROUP, source, converted, tuple(like), None, transcript, asked_shift_semitones=shift
    )
    report = evaluate_files(triple, language)
    if json:
        print(json_line({"name": triple.name, "group": triple.group, **report.numbers()}))
    else:
        known = {name: value for name, value in report.numbers().items() if value is not None}
        rows = [(_label(name)[0], _number(value), _label(name)[1]) for name, value in known.items()]
        print(format_table(("measure", "value", "unit"), rows))


def _evaluate_folder(folder: Path, language: str, seed: int, json: bool) -> None:
    from timbre.evaluate.files import evaluate_folder

    result = evaluate_folder(folder, language, seed, on_progress=_tell_progress)
    if json:
        _print_json(result)
        return
    for group, means in result.means.items():
        rows = [(_label(name)[0], _mean(mean), _label(name)[1]) for name, mean in means.items()]
        print(f"{group}: mean of {max(mean.n_values for mean in means.values())} conversions, with 95 % interval")
        print(format_table(("measure", "value", "unit"), rows) + "\n")


def _print_json(result: FolderReport) -> None:
    for row in result.rows:
        print(json_line({"name": row.name, "group": row.group, **row.report.numbers()}))
    for group, means in result.means.items():
        print(json_line({"mean_of": group, "measures": means}))


def _tell_progress(index: int, count: int, name: str) -> None:
    typer.echo(f"{index + 1}/{count} {name}", err=True)


def _label(name: str) -> tuple[str, str]:
    return _LABELS.get(name, (name, ""))


def _number(value: float) -> str:
    rounded = round(value, 3) + 0.0  # no minus zero
    return f"{rounded:.0f}" if rounded == int(rounded) else f"{rounded:.3f}"


def _mean(mean: MeanInterval) -> str:
    return f"{mean.mean:.3f} ({mean.low:.3f} to {mean.high:.3f})"
