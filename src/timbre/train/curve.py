"""The history of scores as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from timbre.train.pictures import drawing_library

WIDTH_INCHES, ROW_INCHES, DOTS_PER_INCH = 7.0, 1.5, 100
LEVEL_MARGIN = 0.2  # of a panel with levels, for their words
LEAST_SPAN = 0.05  # of a panel, so that chance does not look like a rise


def draw_curves(
    steps: Sequence[int],
    rows: Mapping[str, Sequence[float]],
    best_step: int,
    levels: Mapping[str, Mapping[str, float]] | None = None,
) -> bytes:
    """Return a PNG with one panel for each row over the steps, and a line through all of them at the best one.

    Each row has one number for each step, NaN where there is none. `levels` has named numbers of a row that do not
    change: broken lines across its panel. Raises MissingExtraError where matplotlib is not installed.
    """
    library = drawing_library()
    figure = library.figure.Figure(figsize=(WIDTH_INCHES, 0.6 + ROW_INCHES * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (name, row) in zip(panels, rows.items(), strict=True):
        panel.plot(steps, row, marker="o", markersize=3)
        panel.axvline(best_step, color="tab:orange", linewidth=1.5, zorder=0)
        shown = (levels or {}).get(name, {})
        panel.margins(y=LEVEL_MARGIN if shown else None)
        for words, level in shown.items():
            panel.axhline(level, color="gray", linewidth=1, linestyle="--", zorder=0)
            panel.annotate(words, (0.01, level), xycoords=panel.get_yaxis_transform(), fontsize=7, va="bottom")
        low, high = panel.get_ylim()
        more = max(0.0, LEAST_SPAN - (high - low)) / 2
        panel.set_ylim(low - more, high + more)
        panel.set_ylabel(name.replace("_", " "))
        panel.grid(alpha=0.3)
    panels[0].set_title(f"best: step {best_step} (a larger score is better)")
    panels[-1].set_xlabel("step")
    panels[-1].xaxis.set_major_locator(library.ticker.MaxNLocator(integer=True))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
    return file.getvalue()
