"""`timbre train`: train a voice on a dataset."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from timbre.cli.progress import training_bar
from timbre.cli.settings_options import with_settings
from timbre.cli.tables import json_line
from timbre.config.train import TrainSettings

if TYPE_CHECKING:
    from timbre.train.pipeline import Begun, TrainResult


@with_settings(TrainSettings)
def train(
    *,
    dataset: Path = typer.Argument(..., help="folder of a dataset (see: timbre prepare)", show_default=False),
    output: Path = typer.Option(
        ..., "--output", "-o", help="folder of the run, a new one or one to go on with", show_default=False
    ),
    probe: list[Path] = typer.Option(
        [], "--probe", help="recordings of other speakers to listen to while training", show_default=False
    ),
    json: bool = typer.Option(False, "--json", help="print what is begun and the result as one JSON object each"),
    settings: TrainSettings,
) -> None:
    """Train a voice on a dataset; the same command goes on after an interruption.

    The voice is RUN/voice, made of the best checkpoint by probes that are converted and judged while it trains. The
    record is RUN/events (tensorboard --logdir RUN/events), RUN/scores.json and RUN/scores.png.
    """
    from timbre.train.pipeline import Listeners
    from timbre.train.pipeline import train as run_training

    with training_bar() as bar:

        def tell(begun: Begun) -> None:
            bar.say(json_line(dataclasses.asdict(begun)) if json else _begun_text(begun))

        try:
            result = run_training(dataset, output, settings, probe, Listeners(tell, bar.move))
        except KeyboardInterrupt as stop:
            if stop.args:
                bar.note(str(stop))
            raise
        if result is not None:
            made = f"result: {output}" if result.voice is None else f"voice: {result.voice.path}"
            bar.say(json_line(_result_record(result)) if json else f"{result.summary}\n{made}")


def _begun_text(begun: Begun) -> str:
    estimate = begun.estimate
    lines = [
        f"{begun.speaker}: {begun.train_s / 60:.1f} min of sound to learn from, "
        f"on {begun.device} in {begun.number_type}"
        + (f" by {begun.n_processes} processes" if begun.n_processes > 1 else ""),
        f"estimate: {estimate.seconds_per_1000_steps / 60:.1f} min for 1000 steps, "
        f"{estimate.batch_bytes / 1e9:.2f} GB of memory for a batch; batches of up to {estimate.largest_batch} fit",
    ]
    if begun.bounds is not None:
        floor, ceiling = begun.bounds.floor, begun.bounds.ceiling
        lines.append(f"similarity can be worth {floor:.3f} (unconverted) to {ceiling:.3f} (the speaker)")
    return "\n".join([*lines, *(f"note: {note}" for note in begun.notes)])


def _result_record(result: TrainResult) -> dict[str, Any]:
    return {
        "voice": result.voice and result.voice.path,
        "steps": result.ended.step,
        "reason": result.ended.reason,
        "best": dataclasses.asdict(result.ended.best),
        "bounds": result.bounds and dataclasses.asdict(result.bounds),
        "summary": result.summary,
    }
