"""The progress bar of a conversion, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timbre.convert.files import Progress


@contextmanager
def conversion_bar() -> Iterator[Callable[[Progress], None]]:
    """Show a bar with the time left while the block runs; yields the callback that moves it.

    Nothing is drawn where stderr is no terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("loading", total=None)

        def move(progress: Progress) -> None:
            number = f"{progress.file_index + 1}/{progress.n_files} " if progress.n_files > 1 else ""
            bar.update(
                task,
                description=f"{number}{progress.source.name}",
                completed=progress.done_s,
                total=progress.total_s,
            )

        yield move
