"""`timbre prepare`: make a dataset of recordings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from timbre.cli.progress import preparation_bar
from timbre.cli.settings_options import with_settings
from timbre.cli.tables import json_line
from timbre.config.cutting import CutSettings
from timbre.config.prepare import PrepareSettings
from timbre.errors import SettingsError

if TYPE_CHECKING:
    from timbre.prepare.pipeline import PrepareResult
    from timbre.prepare.plan import Plan

_SHOWN_LEFT_OUT = 20


@with_settings(CutSettings, keyword="cutting")
@with_settings(PrepareSettings)
def prepare(
    *,
    raw: Path = typer.Argument(
        ..., help="folder of the recordings, with one sub-folder for each speaker or of one speaker", show_default=False
    ),
    output: Path = typer.Option(
        ..., "--output", "-o", help="folder of the dataset, a new one or one to bring up to date", show_default=False
    ),
    skip_loudnorm: bool = typer.Option(False, "--skip-loudnorm", help="the same as --loudness none"),
    dry_run: bool = typer.Option(False, "--dry-run", help="only say what there is to do and what it will cost"),
    json: bool = typer.Option(False, "--json", help="print the plan and the result as one JSON object each"),
    settings: PrepareSettings,
    cutting: CutSettings,
) -> None:
    """Make a dataset of recordings: cut into clips of one loudness, with all features that training needs.

    Only what is missing is made: after an interruption it goes on where it was, and another setting redoes what it
    touches. Recordings with a label file (NAME.labels.csv and so on, or in --labels) are cut by it, others at silences.
    What cannot be used is left out and told at the end.
    """
    if skip_loudnorm:
        if settings.loudness == "peak":
            raise SettingsError("--skip-loudnorm and --loudness peak were both given; use one of them")
        settings = dataclasses.replace(settings, loudness="none")
    from timbre.prepare.pipeline import Preparation

    with preparation_bar() as bar, Preparation(raw, output, settings, cutting) as preparation:
        plan = preparation.plan()
        bar.say(json_line(_plan_record(plan)) if json else _plan_text(plan))
        if dry_run:
            return
        result = preparation.make(plan, bar.move)
        bar.say(json_line(_result_record(result)) if json else _result_text(result))


def _plan_text(plan: Plan) -> str:
    work, cost = plan.work, plan.cost
    found = f"{_count(work.n_recordings, 'recording')} of {_count(work.n_speakers, 'speaker')}"
    lines = [f"{found}, {_duration(work.seconds)} of sound"]
    if cost is None:
        return f"{lines[0]}: all is there already"
    to_do = [f"cut {_count(work.n_to_cut, 'recording')} ({_duration(work.to_cut_s)})"] if work.n_to_cut else []
    to_do += [f"make {kind} for {_duration(seconds)}" for kind, seconds in work.to_hear_s.items() if seconds]
    lines.append(f"to do: {', '.join(to_do)}; about {_count(work.expected_clips, 'clip')} in all")
    lines.append(
        f"estimate: {_duration(cost.wall_s)} with {_count(cost.n_workers, 'worker')}, "
        f"{cost.memory_bytes / 1e9:.1f} GB of memory each, "
        f"{cost.disk_bytes / 1e6:.0f} MB on the disk ({cost.free_disk_bytes / 1e9:.0f} GB are free)"
    )
    return "\n".join(lines)


def _result_text(result: PrepareResult) -> str:
    manifest = result.manifest
    seconds = {name: 0.0 for name in manifest.speakers}
    for clip in manifest.clips:
        seconds[clip.speaker] += clip.end_s - clip.start_s
    n_validation = sum(clip.split == "validation" for clip in manifest.clips)
    did = "nothing was to do" if result.n_cut == result.n_heard == 0 else f"{result.n_heard} made now"
    lines = [f"{result.folder}: {_count(len(manifest.clips), 'clip')} ({n_validation} for validation), {did}"]
    lines += [f"  {name}: {_duration(length)}" for name, length in seconds.items()]
    lines += [f"  note: {note}" for note in result.notes]
    if result.n_other_files:
        lines.append(f"  note: passed over {_count(result.n_other_files, 'other file')}")
    if manifest.left_out:
        lines.append(f"  left out: {len(manifest.left_out)}")
    for each in manifest.left_out[:_SHOWN_LEFT_OUT]:
        place = "" if each.start_s is None else f" at {each.start_s:.1f} s"
        lines.append(f"    {each.source}{place}: {each.reason}")
    if len(manifest.left_out) > _SHOWN_LEFT_OUT:
        lines.append(f"    and {len(manifest.left_out) - _SHOWN_LEFT_OUT} more (see left_out in dataset.json)")
    return "\n".join(lines)


def _plan_record(plan: Plan) -> dict[str, Any]:
    record = dataclasses.asdict(plan)
    if plan.cost is not None:
        record["cost"]["wall_s"] = plan.cost.wall_s
    return record


def _result_record(result: PrepareResult) -> dict[str, Any]:
    manifest = result.manifest
    return {
        "folder": result.folder,
        "clips": len(manifest.clips),
        "seconds": sum(clip.end_s - clip.start_s for clip in manifest.clips),
        "speakers": list(manifest.speakers),
        "cut": result.n_cut,
        "made": result.n_heard,
        "other_files": result.n_other_files,
        "left_out": [dataclasses.asdict(each) for each in manifest.left_out],
        "notes": list(result.notes),
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
