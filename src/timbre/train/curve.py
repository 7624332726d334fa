"""The history of scores as a small picture."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, MARGIN = 640, 240, 36
COLOURS = ("#1b6ca8", "#c2571a", "#3a7d44", "#7b4ea3", "#555555")


def draw_curves(steps: Sequence[int], rows: Mapping[str, Sequence[float]], best_step: int) -> str:
    """Return an SVG of one line for each row over the steps, with a mark at the best one.

    Each row has one number for each step; all rows share the axis.
    """
    values = [value for row in rows.values() for value in row]
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def x(step: int) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * step / max(steps[-1], 1)

    def y(value: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / span

    at, top, bottom = f"{x(best_step):.1f}", MARGIN, HEIGHT - MARGIN
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<line x1="{at}" x2="{at}" y1="{top}" y2="{bottom}" stroke="#cccccc"/>',
        f'<text x="4" y="{top}">{high:.3f}</text><text x="4" y="{bottom}">{low:.3f}</text>',
        f'<text x="{at}" y="{HEIGHT - 10}" text-anchor="middle">best: step {best_step}</text>',
    ]
    for number, (name, row) in enumerate(rows.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in zip(steps, row, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{MARGIN + 140 * number}" y="16" fill="{colour}">{html.escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
