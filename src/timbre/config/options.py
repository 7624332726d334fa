"""Settings declared once: a dataclass field with help, range and choices, checked on construction."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from timbre.errors import SettingsError

_S = TypeVar("_S", bound="Settings")


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    family: str | tuple[str, ...] = (),
) -> Any:
    """Declare one setting: its default, help text, allowed range or choices, and the only families it applies to."""
    families = (family,) if isinstance(family, str) else family
    facts = {"help": help, "low": low, "high": high, "choices": choices, "families": families}
    return dataclasses.field(default=default, metadata=facts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings: values are checked once, on construction.

    Raises SettingsError for a value of the wrong type, out of range, or not among the choices.
    """

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = _checked(field, hints[field.name], getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    @classmethod
    def from_mapping(cls: type[_S], values: Mapping[str, Any]) -> _S:
        """Build settings from plain values; an unknown key is an error with a suggestion."""
        names = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in names:
                near = difflib.get_close_matches(str(key), names, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known are: {', '.join(names)}"
                raise SettingsError(f"unknown setting {key!r}{hint}")
        return cls(**dict(values))

    def check_family(self, family: str, voice: str) -> None:
        """Raise SettingsError for a setting that was changed but has no effect with a voice of `family`.

        `voice` is how to call that one in a sentence.
        """
        for field in dataclasses.fields(self):
            only = field.metadata.get("families")
            if only and family not in only and getattr(self, field.name) != field.default:
                raise SettingsError(
                    f"{field.name} is for voices of the family {' or '.join(only)}, and {voice} is of the family "
                    f"{family}; leave it out"
                )

    def to_mapping(self) -> dict[str, Any]:
        """Return the settings as plain values, ready for JSON."""
        return dataclasses.asdict(self)


_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "yes or no"}


def _checked(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    """Return `value` in the declared type, or raise SettingsError."""
    accepted = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in accepted and isinstance(value, int) and not isinstance(value, bool) and int not in accepted:
        value = float(value)
    fits = value is None if value is None else type(value) in accepted
    if (value is None and type(None) not in accepted) or (value is not None and not fits):
        wanted = " or ".join(_KINDS.get(kind, str(kind)) for kind in accepted if kind is not type(None))
        raise SettingsError(f"{field.name} is {value!r}; it must be {wanted}")
    low, high, choices = (field.metadata.get(key) for key in ("low", "high", "choices"))
    if choices is not None and isinstance(value, str) and value not in choices:
        wanted = "a number or " if float in accepted or int in accepted else ""
        raise SettingsError(f"{field.name} is {value!r}; it must be {wanted}one of: {', '.join(choices)}")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and (value != value or (low is not None and value < low) or (high is not None and value > high)):
        raise SettingsError(f"{field.name} is {value}; it must be {_range_text(low, high)}")
    return value


def _range_text(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "a number"
    if high is None:
        return f"at least {low:.10g}"
    if low is None:
        return f"at most {high:.10g}"
    return f"from {low:.10g} to {high:.10g}"
