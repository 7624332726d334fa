"""Reading the settings of other programs key by key, each with a sentence for what is missing or wrong."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timbre.errors import SettingsError

_ENCODINGS = ("utf-8-sig", "gb18030")  # settings were written in the encoding of the machine
_LAST_ENCODING = "latin-1"  # which can read anything


def decoded(raw: bytes) -> str:
    """Return the text of a settings file, in UTF-8 or else in a Chinese or Western encoding."""
    for encoding in _ENCODINGS:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode(_LAST_ENCODING)


@dataclass(frozen=True)
class JsonObject:
    """An object of a settings file; each method returns one value and raises SettingsError where it does not fit."""

    values: Mapping[str, Any]
    file_name: str
    advice: str  # what to do when a key is missing: the end of a sentence

    @classmethod
    def of(cls, content: Any, file_name: str, advice: str) -> JsonObject:
        """Take what was read from the file, which must be an object."""
        if not isinstance(content, Mapping):
            raise SettingsError(f"{file_name} holds {reprlib.repr(content)}, not an object; {advice}")
        return cls(content, file_name, advice)

    def section(self, name: str, defaults: Mapping[str, Any] | None = None) -> JsonObject:
        """Return the object called `name`, with `defaults` for the keys that it lacks."""
        inner = JsonObject.of(self.required(name), f"the object {name!r} of {self.file_name}", self.advice)
        return JsonObject({**(defaults or {}), **inner.values}, inner.file_name, inner.advice)

    def required(self, key: str) -> Any:
        """Return the value of any type."""
        if key not in self.values:
            raise SettingsError(f"{self.file_name} has no {key}; {self.advice}")
        return self.values[key]

    def whole(self, key: str, low: int | None = 1) -> int:
        """Return a whole number from `low`, or with None any."""
        value = self.required(key)
        if type(value) is not int or (low is not None and value < low):
            raise self._wrong(key, value, "a whole number" if low is None else f"a whole number from {low}")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.required(key)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def text(self, key: str) -> str:
        """Return a text."""
        value = self.required(key)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a text")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """Return one of some texts."""
        value = self.required(key)
        if value not in choices:
            raise self._wrong(key, value, f"one of: {', '.join(choices)}")
        return str(value)

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.required(key)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self._wrong(key, value, "a number")
        return float(value)

    def wholes(self, key: str) -> tuple[int, ...]:
        """Return a list of at least one whole number from 1."""
        value = self.required(key)
        if not _is_list_of_wholes(value):
            raise self._wrong(key, value, "a list of whole numbers from 1")
        return tuple(value)

    def lists_of_wholes(self, key: str) -> tuple[tuple[int, ...], ...]:
        """Return a list of such lists."""
        value = self.required(key)
        if not isinstance(value, (list, tuple)) or not all(map(_is_list_of_wholes, value)):
            raise self._wrong(key, value, "a list of lists of whole numbers from 1")
        return tuple(map(tuple, value))

    def _wrong(self, key: str, value: Any, wanted: str) -> SettingsError:
        return SettingsError(f"{self.file_name} says {key} is {reprlib.repr(value)}; it must be {wanted}")


def _is_whole(value: Any) -> bool:
    return type(value) is int and value >= 1  # a bool is no number here


def _is_list_of_wholes(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(_is_whole, value))
