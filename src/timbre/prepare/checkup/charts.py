"""Small charts as SVG text; colours come from the style sheet of the page, so that they fit light and dark."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 520, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 42
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM


@dataclass(frozen=True)
class Bar:
    """One bar: what stands under it ("" for nothing), how high it is, and what it says when pointed at."""

    label: str
    value: float
    tip: str


@dataclass(frozen=True)
class Line:
    """One curve through points (x, y)."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def bar_chart(title: str, bars: Sequence[Bar], x_label: str, y_label: str, *, at_edges: bool = False) -> str:
    """Return a chart of bars side by side, labelled in their middle or `at_edges` at their left.

    `title` is for those who cannot see it.
    """
    highest = _nice_ceiling(max((bar.value for bar in bars), default=0.0))
    step = _PLOT_WIDTH / max(1, len(bars))
    parts = [*_frame(x_label, y_label), *_y_ticks(0.0, highest)]
    for place, bar in enumerate(bars):
        left, height = _LEFT + place * step, _PLOT_HEIGHT * bar.value / highest
        parts.append(
            f'<rect class="bar" x="{left + 0.08 * step:.1f}" y="{_TOP + _PLOT_HEIGHT - height:.1f}" '
            f'width="{0.84 * step:.1f}" height="{height:.1f}"><title>{escape(bar.tip)}</title></rect>'
        )
        if bar.label:
            parts.append(_text(left if at_edges else left + step / 2, _HEIGHT - _BOTTOM + 15, bar.label, "middle"))
    return _svg(title, parts)


def line_chart(
    title: str, lines: Sequence[Line], x_ticks: Sequence[tuple[float, str]], x_label: str, y_label: str
) -> str:
    """Return a chart of curves; x runs from the first to the last tick, y over 80 below the highest point."""
    high = 20 * np.ceil(max((max(line.y) for line in lines), default=0.0) / 20)
    low = high - 80
    first, last = x_ticks[0][0], x_ticks[-1][0]
    parts = [*_frame(x_label, y_label), *_y_ticks(float(low), float(high))]
    for position, label in x_ticks:
        parts.append(
            _text(_LEFT + _PLOT_WIDTH * (position - first) / (last - first), _HEIGHT - _BOTTOM + 15, label, "middle")
        )
    for number, line in enumerate(lines):
        points = " ".join(
            f"{_LEFT + _PLOT_WIDTH * (x - first) / (last - first):.1f},"
            f"{_TOP + _PLOT_HEIGHT * min(1.0, (high - y) / (high - low)):.1f}"
            for x, y in zip(line.x, line.y, strict=True)
        )
        parts.append(
            f'<polyline class="line line{number % 6}" points="{points}"><title>{escape(line.name)}</title></polyline>'
        )
    return _svg(title, parts)


def picture_chart(title: str, png: bytes, seconds: float, highest_hz: float) -> str:
    """Return a spectrogram picture with its scales of time and frequency."""
    data = base64.b64encode(png).decode("ascii")
    parts = [
        f'<image x="{_LEFT}" y="{_TOP}" width="{_PLOT_WIDTH}" height="{_PLOT_HEIGHT}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{data}"/>',
        *_frame("seconds", "kHz"),
    ]
    for second in np.linspace(0, seconds, 5):
        parts.append(_text(_LEFT + _PLOT_WIDTH * second / seconds, _HEIGHT - _BOTTOM + 15, f"{second:.1f}", "middle"))
    for hertz in np.arange(0, highest_hz, 5000):
        parts.append(_text(_LEFT - 6, _TOP + _PLOT_HEIGHT * (1 - hertz / highest_hz) + 4, f"{hertz / 1000:g}", "end"))
    return _svg(title, parts)


def histogram(values: Sequence[float], weights: Sequence[float], step: float, unit: str, y_unit: str) -> list[Bar]:
    """Return bars `step` wide that add up the weights of the values, at most about forty of them."""
    if not values:
        return []
    low, high = np.floor(min(values) / step), np.floor(max(values) / step)
    widening = max(1.0, np.ceil((high - low + 1) / 40))
    step, low, high = step * widening, np.floor(low / widening), np.floor(high / widening)
    edges: NDArray[np.float64] = np.arange(low, high + 2) * step
    counts, _ = np.histogram(values, edges, weights=weights)
    every = max(1, -(-len(counts) // 10))
    return [
        Bar(
            f"{edge:g}" if place % every == 0 else "",
            float(count),
            f"{edge:g} to {edge + step:g} {unit}: {count:.3g} {y_unit}",
        )
        for place, (edge, count) in enumerate(zip(edges[:-1].tolist(), counts.tolist(), strict=True))
    ]


def _nice_ceiling(value: float) -> float:
    """Return the next of 1, 2, 4, 8 times a power of ten, which have round quarters; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10 ** np.floor(np.log10(value))
    return float(next(factor * power for factor in (1, 2, 4, 8, 10) if factor * power >= value * (1 - 1e-9)))


def _y_ticks(low: float, high: float) -> list[str]:
    parts = []
    for value in np.linspace(low, high, 5):
        y = _TOP + _PLOT_HEIGHT * (high - value) / (high - low)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{value:.4g}", "end"))
    return parts


def _frame(x_label: str, y_label: str) -> list[str]:
    middle = _TOP + _PLOT_HEIGHT / 2
    turned = f'<g transform="rotate(-90 12 {middle:.1f})">{_text(12, middle + 4, y_label, "middle")}</g>'
    return [_text(_LEFT + _PLOT_WIDTH / 2, _HEIGHT - 6, x_label, "middle"), turned]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">' + "".join(parts) + "</svg>"
