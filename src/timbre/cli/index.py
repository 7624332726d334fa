"""`timbre index`: make what conversion retrieves from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from timbre.cli.progress import count_bar
from timbre.cli.settings_options import with_settings
from timbre.cli.tables import json_line
from timbre.config.indexing import IndexSettings

if TYPE_CHECKING:
    from timbre.train.indexing import IndexResult


@with_settings(IndexSettings)
def index(
    *,
    folder: Path = typer.Argument(..., help="folder of a dataset", show_default=False, metavar="DATASET"),
    speaker: list[str] = typer.Option(
        [], "--speaker", help="only this speaker; may be given again for others", show_default=False
    ),
    export_sovits: bool = typer.Option(
        False, "--export-sovits", help="also write it as so-vits-svc reads it: kmeans_10000.pt or feature_and_index.pkl"
    ),
    json: bool = typer.Option(False, "--json", help="print one JSON object"),
    settings: IndexSettings,
) -> None:
    """Gather what the speakers of a dataset have said, so that a conversion can be drawn towards it.

    The result is DATASET/index/KIND.safetensors; give it to `timbre voice import` or `timbre convert`, kmeans with
    --cluster and retrieval with --index. It is made again only when the dataset or the settings have changed.
    """
    from timbre.dataset.folder import open_dataset
    from timbre.train.indexing import make_index

    dataset = open_dataset(folder)
    with count_bar("indexing") as on_count:
        result = make_index(
            dataset,
            settings,
            speakers=speaker,
            export_sovits=export_sovits,
            on_progress=lambda done: on_count(round(1000 * done), 1000),
        )
    print(json_line(dataclasses.asdict(result)) if json else _sentences(result))


def _sentences(result: IndexResult) -> str:
    did = "made" if result.is_new else "nothing was to do"
    lines = [f"{result.path}: {did}"]
    if result.replaced_stale:
        lines.append("  note: the one that was there was made from other clips, features or settings, or was damaged")
    for name, facts in result.speakers.items():
        far = "" if facts.mean_distance == 0 else f", {facts.mean_distance:.3g} from a frame to the nearest on average"
        lines.append(f"  {name}: {facts.n_rows} rows of {facts.n_frames} frames{far}")
    if result.exported is not None:
        lines.append(str(result.exported))
    return "\n".join(lines)
