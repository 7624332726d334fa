"""Turns the fields of a settings class into command line options.

A command takes a keyword, mostly `settings`; the decorator replaces it by one option per field and builds it from what
was typed. Types, ranges and choices are checked by the settings class alone, so that each surface gives the same
sentence.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer

from timbre.config.options import Settings

_R = TypeVar("_R")


def with_settings(
    settings_class: type[Settings], leave_out: Sequence[str] = (), keyword: str = "settings"
) -> Callable[[Callable[..., _R]], Callable[..., _R]]:
    """Decorate a command whose `keyword` is to be built from options.

    Fields named in `leave_out` get no option and keep their default. The command raises SettingsError for a value that
    the settings class refuses.
    """
    fields = [field for field in dataclasses.fields(settings_class) if field.name not in leave_out]
    hints = typing.get_type_hints(settings_class)

    def decorate(command: Callable[..., _R]) -> Callable[..., _R]:
        @functools.wraps(command)
        def with_options(**given: Any) -> _R:
            typed = {field.name: given.pop(field.name) for field in fields}
            values = {name: _parsed(value, hints[name]) for name, value in typed.items() if value is not None}
            return command(**{keyword: settings_class.from_mapping(values)}, **given)

        plain = inspect.signature(command, eval_str=True)
        kept = [each for each in plain.parameters.values() if each.name != keyword]
        parameters = kept + [_parameter(field, hints[field.name]) for field in fields]
        with_options.__annotations__ = {each.name: each.annotation for each in parameters}
        with_options.__dict__["__signature__"] = plain.replace(parameters=parameters)
        return with_options

    return decorate


def _parameter(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    """Return the option of one field; None means that it was not given."""
    name = field.name.replace("_", "-")
    if hint is bool:
        info = typer.Option(None, f"--{name}/--no-{name}", help=_help(field), show_default=False)
        annotation: Any = bool | None
    else:
        info = typer.Option(None, f"--{name}", help=_help(field), metavar=_metavar(field, hint), show_default=False)
        annotation = str | None
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=annotation)


def _help(field: dataclasses.Field[Any]) -> str:
    """Return the field's help with its range and default."""
    low, high = field.metadata.get("low"), field.metadata.get("high")
    default = {True: "yes", False: "no"}.get(field.default) if isinstance(field.default, bool) else field.default
    facts = [f"{low:.10g} to {high:.10g}"] if low is not None and high is not None else []
    facts += [f"default: {default}"] if default is not None else []
    families = field.metadata.get("families")
    facts += [f"only {', '.join(families)}"] if families else []
    return " ".join([field.metadata.get("help", ""), *([f"[{'; '.join(facts)}]"] if facts else [])])


def _metavar(field: dataclasses.Field[Any], hint: Any) -> str:
    """Return what stands for the value in the help, such as NUMBER|auto."""
    words = {float: "NUMBER", int: "INTEGER", str: "TEXT"}
    kinds = [kind for kind in _kinds(hint) if kind is not type(None)]
    choices = tuple(field.metadata.get("choices") or ())
    shown = [words.get(kind, "VALUE") for kind in kinds if not (kind is str and choices)]
    return "|".join([*dict.fromkeys(shown), *choices])


def _parsed(value: str | bool, hint: Any) -> Any:
    """Return the typed word as the number it is meant to be, or unchanged for the settings class to judge."""
    kinds = _kinds(hint)
    if isinstance(value, str):
        for kind in (int, float):
            if kind in kinds:
                try:
                    return kind(value)
                except ValueError:
                    continue
    return value


def _kinds(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
