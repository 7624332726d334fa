"""Progress bars on stderr, and results on stdout that do not run into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from timbre.convert.files import Progress


class ConversionBar:
    """A bar with the time left; `move` it and `say` results while it is shown."""

    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def move(self, progress: Progress) -> None:
        """Show how far the conversion is."""
        number = f"{progress.file_index + 1}/{progress.n_files} " if progress.n_files > 1 else ""
        self._bar.update(
            self._task,
            description=f"{number}{progress.source.name}",
            completed=progress.done_s,
            total=progress.total_s,
        )

    def say(self, line: str) -> None:
        """Print a result on stdout at once, with the bar out of the way."""
        self._bar.stop()
        print(line, flush=True)
        self._bar.start()


@contextmanager
def conversion_bar() -> Iterator[ConversionBar]:
    """Show a bar on stderr while the block runs; nothing is drawn where stderr is no terminal."""
    with _bar() as bar:
        yield ConversionBar(bar, bar.add_task("loading", total=None))


@contextmanager
def download_bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how many of all bytes of `name` are there, as told to what this gives, while the block runs."""
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
