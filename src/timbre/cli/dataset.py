"""`timbre dataset`: what a dataset holds and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from timbre.cli.progress import count_bar
from timbre.cli.tables import json_line

if TYPE_CHECKING:
    from timbre.prepare.checkup.facts import DatasetFacts
    from timbre.prepare.checkup.findings import Judgement
    from timbre.prepare.checkup.survey import DatasetSurvey, SpeakerSurvey

EXIT_UNFIT = 1
_PIPE_WIDTH = 140  # characters, where stdout is no terminal

dataset = typer.Typer(rich_markup_mode=None)

_FOLDER = typer.Argument(..., help="folder of a dataset", show_default=False, metavar="DATASET")
_JSON = typer.Option(False, "--json", help="print one JSON object")


@dataset.command("show")
def show_command(folder: Path = _FOLDER, json: bool = _JSON) -> None:
    """Show what a dataset holds: speakers, clips, lengths, loudness, pitch, settings and what was left out."""
    from timbre.dataset.folder import open_dataset
    from timbre.prepare.checkup.facts import gather_facts
    from timbre.prepare.checkup.report import facts_values

    facts = gather_facts(open_dataset(folder))
    if json:
        print(json_line(facts_values(facts)))
    else:
        _print_facts(facts)


@dataset.command("doctor")
def doctor_command(
    folder: Path = _FOLDER,
    json: bool = _JSON,
    page: bool = typer.Option(
        True, "--page/--no-page", help="write report.html and report.json into the dataset", show_default=False
    ),
) -> None:
    """Listen to a dataset and say what it is worth, what is wrong with it and what to do about it.

    The report with pictures is written into the dataset. The exit code is 1 when it will not train well.
    """
    from timbre.dataset.folder import open_dataset
    from timbre.prepare.checkup.findings import judge
    from timbre.prepare.checkup.report import report_values, write_reports
    from timbre.prepare.checkup.survey import survey_dataset

    opened = open_dataset(folder)
    with count_bar("listening") as on_progress:
        survey = survey_dataset(opened, on_progress)
    judgement = judge(survey)
    written = write_reports(opened, survey, judgement) if page else ()
    if json:
        print(json_line(report_values(survey, judgement)))
    else:
        _print_facts(survey.facts)
        _print_measures(survey)
        _print_judgement(judgement)
        for path in written:
            print(path)
    if not judgement.trains:
        raise typer.Exit(EXIT_UNFIT)


def _print_facts(facts: DatasetFacts) -> None:
    from timbre.prepare.checkup.facts import flat_settings
    from timbre.prepare.checkup.pitch_range import note_name
    from timbre.prepare.checkup.thresholds import NOTE_HEARD_S

    rows = []
    for speaker in facts.speakers:
        notes = speaker.pitch.covered_notes(NOTE_HEARD_S)
        rows.append(
            [
                speaker.name,
                str(speaker.n_clips),
                f"{speaker.seconds / 60:.1f}",
                f"{speaker.train_s / 60:.1f} + {speaker.validation_s / 60:.1f}",
                _numbers(speaker.shortest_s, speaker.median_s, speaker.longest_s),
                _numbers(speaker.loudness_lufs),
                f"{note_name(notes[0])} to {note_name(notes[-1])}" if notes else "-",
                f"{100 * speaker.pitch.voiced_share:.0f} %",
            ]
        )
    headings = ["speaker", "clips", "minutes", "train + validation", "lengths (s)", "LUFS before", "notes", "voiced"]
    _print_table(headings, rows)
    print(f"encoder {facts.encoder} ({facts.content_width} wide), pitch {facts.pitch}, {facts.sample_rate_hz} Hz")
    print("settings " + ", ".join(f"{name} {value}" for name, value in flat_settings(facts.settings).items()))
    if facts.left_out:
        print(f"left out: {len(facts.left_out)}")
        _print_table(
            ["recording", "from (s)", "why"],
            [[each.source, _numbers(each.start_s), each.reason] for each in facts.left_out],
        )


def _print_measures(survey: DatasetSurvey) -> None:
    rows = [
        [
            speaker.name,
            _numbers(speaker.signal_to_noise_db),
            _numbers(speaker.bandwidth_hz and speaker.bandwidth_hz / 1000),
            _room(speaker),
            str(sum(clip.measures.clipped_share > 0 for clip in speaker.clips)),
            str(sum(clip.measures.mains_hz > 0 for clip in speaker.clips)),
            str(sum(clip.is_stranger for clip in speaker.clips)),
        ]
        for speaker in survey.speakers
    ]
    _print_table(
        ["speaker", "over noise (dB)", "up to (kHz)", "room (s)", "clipped", "with hum", "unlike the rest"], rows
    )


def _room(speaker: SpeakerSurvey) -> str:
    from timbre.prepare.checkup.reverberation import DRY_S

    dry = speaker.reverberation_s is not None and speaker.reverberation_s < DRY_S
    return "dry" if dry else _numbers(speaker.reverberation_s)


def _print_judgement(judgement: Judgement) -> None:
    print(judgement.sentence)
    for number, finding in enumerate(judgement.findings, 1):
        print(f"{number:>3}. [{finding.level}] {finding.sentence}\n     {finding.advice}")


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the terminal; names may hold anything, so that no markup is read."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    table = Table(*headings, box=box.SIMPLE, pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)


def _numbers(*values: float | None) -> str:
    return " / ".join("-" if value is None else f"{value:.1f}" for value in values)
