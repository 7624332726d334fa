"""Numbers as sentences for people hold them."""

from __future__ import annotations

_LONGEST_IN_SECONDS = 120.0


def counted(number: float, unit: str) -> str:
    """Return a number of units, such as "1 step" or "2.5 minutes"."""
    shown = str(number) if isinstance(number, int) else f"{number:g}"
    return f"{shown} {unit}{'' if number == 1 else 's'}"


def asked(number: float, unit: str) -> str:
    """Return that so many units were asked for."""
    return f"{counted(number, unit)} {'was' if number == 1 else 'were'} asked for"


def length(seconds: float) -> str:
    """Return how long something is, in seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < _LONGEST_IN_SECONDS else f"{seconds / 60:.1f} minutes"
