"""Stand-ins for classes in a foreign pickle: they keep what they are given and do nothing."""

from __future__ import annotations

from typing import Any


class InertStub:
    """An object of a class that is not allowed; `dotted_name` says which, and nothing of that class was run.

    `args` are the arguments it was made with, `state` is what was set on it (mostly a dictionary of its
    attributes), `items` and `entries` what was put into it as a list or dictionary.
    """

    dotted_name = ""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    state: Any
    items: list[Any]
    entries: dict[Any, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> InertStub:
        """Accept any arguments."""
        stub = super().__new__(cls)
        stub.args, stub.kwargs, stub.state, stub.items, stub.entries = args, kwargs, None, [], {}
        return stub

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.entries[key] = value

    def append(self, item: Any) -> None:
        """Keep an item, as a pickled list subclass asks for."""
        self.items.append(item)

    def extend(self, items: list[Any]) -> None:
        """Keep items, as a pickled list subclass asks for."""
        self.items.extend(items)

    def add(self, item: Any) -> None:
        """Keep an item, as a pickled set subclass asks for."""
        self.items.append(item)

    def __repr__(self) -> str:
        return f"<inert {self.dotted_name}>"


def inert_class(dotted_name: str) -> type[InertStub]:
    """Make a fresh class that stands for `dotted_name`."""
    return type(dotted_name.rpartition(".")[2] or "unnamed", (InertStub,), {"dotted_name": dotted_name})
