"""Word edit distance."""

from __future__ import annotations

from collections.abc import Sequence


def edit_distance(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Return the fewest insertions, deletions and replacements that turn `reference` into `heard`."""
    previous = list(range(len(heard) + 1))
    for row, wanted in enumerate(reference, start=1):
        current = [row]
        for column, word in enumerate(heard, start=1):
            replaced = previous[column - 1] + (wanted != word)
            current.append(min(replaced, previous[column] + 1, current[-1] + 1))
        previous = current
    return previous[-1]


def word_error_rate(reference: Sequence[str], heard: Sequence[str]) -> float | None:
    """Return the edit distance per reference word (may exceed 1); None when the reference holds no word."""
    return edit_distance(reference, heard) / len(reference) if reference else None


def split_words(text: str) -> tuple[str, ...]:
    """Split a transcript into lower-case words without punctuation (apostrophes stay)."""
    plain = "".join(
        letter if letter.isalnum() or letter == "'" else " " for letter in text.replace("\u2019", "'").lower()
    )
    return tuple(word for word in plain.split() if word.strip("'"))
