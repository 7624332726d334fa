"""Progress bars on stderr, and results on stdout that do not run into them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from timbre.audio.listing import FileProgress
    from timbre.prepare.pipeline import Progress as PrepareProgress
    from timbre.train.engine import Progress as TrainProgress


LOG_EVERY_S = 300.0


class _ShownBar:
    """A bar with the time left; `say` results while it is shown."""

    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def say(self, line: str) -> None:
        """Print a result on stdout at once, with the bar out of the way."""
        self._print(line, sys.stdout)

    def note(self, line: str) -> None:
        """Print what is no result on stderr, with the bar out of the way."""
        self._print(line, sys.stderr)

    def _print(self, line: str, stream: TextIO) -> None:
        self._bar.stop()
        print(line, file=stream, flush=True)
        self._bar.start()


class ConversionBar(_ShownBar):
    """A bar for files; `move` it and `say` results while it is shown."""

    def move(self, progress: FileProgress) -> None:
        """Show how far the work is."""
        number = f"{progress.file_index + 1}/{progress.n_files} " if progress.n_files > 1 else ""
        self._bar.update(
            self._task,
            description=f"{number}{progress.source.name}",
            completed=progress.done_s,
            total=progress.total_s,
        )


class TrainingBar(_ShownBar):
    """A bar for a training; `move` it and `say` results while it is shown."""

    _told_s = 0.0

    def move(self, progress: TrainProgress) -> None:
        """Show how far the training is, its loss and its best score; in a log as a line every few minutes."""
        best = "" if progress.best is None else f", best score {progress.best.score:.3f}"
        description = f"step {progress.step}, loss {progress.total_loss:.3f}{best}"
        self._bar.update(
            self._task, description=description, completed=progress.done, total=1.0 if progress.done else None
        )
        if self._bar.disable and progress.spent_s - self._told_s >= LOG_EVERY_S:
            self._told_s = progress.spent_s
            self.note(f"{progress.spent_s / 60:.0f} min: {description}")


class PreparationBar(_ShownBar):
    """A bar for making a dataset; `move` it and `say` results while it is shown."""

    def move(self, progress: PrepareProgress) -> None:
        """Show how far the work is."""
        self._bar.update(self._task, description=progress.doing, completed=progress.done, total=progress.total)


@contextmanager
def preparation_bar() -> Iterator[PreparationBar]:
    """Show a bar on stderr while the block runs; nothing is drawn where stderr is no terminal."""
    with _bar() as bar:
        yield PreparationBar(bar, bar.add_task("looking and warming up", total=None))


@contextmanager
def training_bar() -> Iterator[TrainingBar]:
    """Show a bar on stderr while the block runs; nothing is drawn where stderr is no terminal."""
    with _bar() as bar:
        yield TrainingBar(bar, bar.add_task("reading and warming up", total=None))


@contextmanager
def conversion_bar() -> Iterator[ConversionBar]:
    """Show a bar on stderr while the block runs; nothing is drawn where stderr is no terminal."""
    with _bar() as bar:
        yield ConversionBar(bar, bar.add_task("loading", total=None))


@contextmanager
def count_bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how much of all of `name` is done, as told to what this gives, while the block runs."""
    with _bar() as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    return Bar(*columns, console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal)
