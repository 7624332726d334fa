"""`timbre slice`: cut recordings into clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from timbre.cli.progress import conversion_bar
from timbre.cli.settings_options import with_settings
from timbre.cli.tables import format_table, json_line
from timbre.config.cutting import ClipFileSettings, CutSettings
from timbre.errors import SettingsError

if TYPE_CHECKING:
    from timbre.prepare.slicing_files import SourceCuts


@with_settings(ClipFileSettings, leave_out=("keep_channels",), keyword="files")
@with_settings(CutSettings)
def slice_command(
    *,
    source: list[Path] = typer.Argument(
        ..., help="recordings to cut, or folders of them, in any sound format", show_default=False
    ),
    output: Path = typer.Option(..., "--output", "-o", help="folder for the clips", show_default=False),
    labels: Path | None = typer.Option(
        None,
        "--labels",
        help="cut by the labels of this file instead (one recording): CSV, TSV, Audacity labels or Praat TextGrid",
        show_default=False,
    ),
    tier: str | None = typer.Option(
        None, "--tier", help="which tier of the TextGrid, by default the first with text", show_default=False
    ),
    keep_channels: bool = typer.Option(
        False,
        "--keep-channels/--mono",
        help="keep the channels, or mix them to one [default: mono]",
        show_default=False,
    ),
    force: bool = typer.Option(False, "--force", help="overwrite existing files"),
    dry_run: bool = typer.Option(False, "--dry-run", help="only list the cuts"),
    json: bool = typer.Option(False, "--json", help="print one JSON object per clip and per stretch left out"),
    files: ClipFileSettings,
    settings: CutSettings,
) -> None:
    """Cut recordings into clips: at silences, into 4 to 15 s, or by the labels of a file.

    The clips are SOURCE_001.wav and so on, or have the labels' names, in a folder for each speaker.
    """
    if tier is not None and labels is None:
        raise SettingsError("--tier belongs to --labels; give the TextGrid by --labels, or leave it out")
    if labels is not None and settings != CutSettings():
        raise SettingsError("--labels says where to cut; leave out the settings for cutting at silences")
    from timbre.prepare.slicing_files import LabelFile, slice_files

    files = dataclasses.replace(files, keep_channels=keep_channels)
    label_file = None if labels is None else LabelFile(labels, tier)
    with conversion_bar() as bar:
        for cuts in slice_files(
            source, output, settings, files, labels=label_file, force=force, dry_run=dry_run, on_progress=bar.move
        ):
            for text in _json_lines(cuts, files) if json else [_table(cuts, files, dry_run)]:
                bar.say(text)
            for note in cuts.notes:
                typer.echo(f"note: {cuts.source}: {note}", err=True)


def _json_lines(cuts: SourceCuts, files: ClipFileSettings) -> Iterator[str]:
    """Yield one line for each clip, and one for each stretch left out, with the reason."""
    for clip in cuts.clips:
        yield json_line(
            {
                "source": clip.source,
                "output": clip.output,
                "speaker": clip.speaker,
                "start_s": clip.start_s,
                "end_s": clip.end_s,
                "n_samples": clip.n_samples,
                "rate": files.rate,
            }
        )
    for stretch in cuts.left_out:
        yield json_line(stretch)


def _table(cuts: SourceCuts, files: ClipFileSettings, dry_run: bool) -> str:
    """Return the clips of one recording with their times, and below what was left out."""
    rows = [
        [str(clip.output), _clock(clip.start_s), _clock(clip.end_s), f"{clip.n_samples / files.rate:.2f}"]
        for clip in cuts.clips
    ]
    seconds = sum(clip.n_samples for clip in cuts.clips) / files.rate
    done = "would be written" if dry_run else "written"
    lines = [f"{cuts.source}: {len(rows)} clips of {seconds:.1f} s in all {done}"]
    if rows:
        lines.append(format_table(["clip", "from", "to", "seconds"], rows))
    lines += [f"left out: {_span(each.start_s, each.end_s)}{each.reason}" for each in cuts.left_out]
    return "\n".join(lines)


def _span(start_s: float | None, end_s: float | None) -> str:
    return "" if start_s is None or end_s is None else f"{_clock(start_s)} to {_clock(end_s)}: "


def _clock(seconds: float) -> str:
    """Return a time as h:mm:ss.mmm, without hours where there are none."""
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{rest // 1000:02d}.{rest % 1000:03d}"
