"""Reads interval tiers of Praat TextGrid files, in the long and the short text form.

Both hold the same values in the same order: numbers, quoted strings and <flags> that stand free; all other words are
explanations, and a `!` begins a comment (Praat manual, "TextGrid file formats").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from timbre.errors import DatasetError

_VALUE = re.compile(
    r'"(?P<string>(?:[^"]|"")*)"'
    r"|<(?P<flag>\w+)>"
    r"|(?<!\S)(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)"
    r"|(?P<comment>![^\n]*)"
    r'|[^\s"!]+'
)


@dataclass(frozen=True)
class Interval:
    """A stretch of time with text."""

    start_s: float
    end_s: float
    text: str
    line: int  # where its text begins, from 1


def is_textgrid(text: str) -> bool:
    """Say whether a text is of Praat's kind (the reader then says whether it is a TextGrid)."""
    return "ooTextFile" in text[:200]


def read_textgrid(text: str, name: str, tier: str | None) -> list[Interval]:
    """Return the intervals with text of the interval tier named `tier`, by default of the first that holds any.

    Raises DatasetError, with the line, for another kind of file or a damaged one, and where there is no such tier.
    """
    tiers = list(_tiers(_Values(text, name)))
    known = ", ".join(repr(each) for each, _ in tiers) or "none"
    for tier_name, intervals in tiers:
        if tier_name == tier or (tier is None and intervals):
            return intervals
    wanted = "with text" if tier is None else f"named {tier!r}"
    raise DatasetError(f"{name} has no interval tier {wanted}; its interval tiers are: {known}")


class _Values:
    """The free-standing values of a text, taken one after the other."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._found = self._scan(text)
        self.line = 1  # of the value that was taken last

    def string(self) -> str:
        """Take the next value, which must be a string."""
        return self._take("string").replace('""', '"')

    def number(self) -> float:
        """Take the next value, which must be a number."""
        return float(self._take("number"))

    def flag(self) -> str:
        """Take the next value, which must be a flag."""
        return self._take("flag")

    def refuse(self, got: str, wanted: str) -> DatasetError:
        """Return the error for a value that does not belong there."""
        return DatasetError(f"{self._name} line {self.line}: {got} stands where {wanted} should; export it again")

    def _take(self, kind: str) -> str:
        match, self.line = next(self._found, (None, self.line))
        if match is None:
            raise DatasetError(f"{self._name} ends after line {self.line}, amid its tiers; export it again")
        if match.lastgroup != kind:
            raise self.refuse(match[0][:40], f"a {kind}")
        return str(match[kind])

    def _scan(self, text: str) -> Iterator[tuple[re.Match[str], int]]:
        line, counted = 1, 0
        for match in _VALUE.finditer(text):
            if match.lastgroup not in (None, "comment"):
                line += text.count("\n", counted, match.start())
                counted = match.start()
                yield match, line


def _tiers(values: _Values) -> Iterator[tuple[str, list[Interval]]]:
    """Yield the name of each interval tier with its intervals that hold text."""
    for wanted in ("ooTextFile", "TextGrid"):
        if not (got := values.string()).startswith(wanted):  # old files say "ooTextFile short"
            raise values.refuse(repr(got), repr(wanted))
    values.number(), values.number()  # the start and end of the whole
    if values.flag() != "exists":
        return
    for _ in range(_count(values)):
        if (kind := values.string()) not in ("IntervalTier", "TextTier"):
            raise values.refuse(repr(kind), "the kind of a tier")
        name = values.string()
        values.number(), values.number()  # the start and end of the tier
        if kind == "IntervalTier":
            intervals = [_interval(values) for _ in range(_count(values))]
            yield name, [each for each in intervals if each.text]
        else:
            for _ in range(_count(values)):  # points
                values.number(), values.string()


def _count(values: _Values) -> int:
    """Take how many tiers, intervals or points follow."""
    number = values.number()
    if number < 0 or not number.is_integer():
        raise values.refuse(f"{number:g}", "a count")
    return int(number)


def _interval(values: _Values) -> Interval:
    start_s, end_s, text = values.number(), values.number(), values.string()
    return Interval(start_s, end_s, text.strip(), values.line)
