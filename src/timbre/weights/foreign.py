"""What building a network from the weights of another program takes, whatever the network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from timbre.errors import WeightsError

_UNFITTING = (
    KeyError,
    ValueError,
    IndexError,
    TypeError,
    ArithmeticError,
    AttributeError,
    RuntimeError,  # torch's own
)


@contextmanager
def incomplete_refused(file_name: str, network: str) -> Iterator[None]:
    """Raise WeightsError for names, shapes and settings that do not fit together to the network called `network`."""
    try:
        yield
    except _UNFITTING as error:
        raise WeightsError(f"{file_name!r} holds no complete {network} network; download or copy it again") from error


def translated(name: str, renames: Mapping[str, str]) -> str | None:
    """Return a tensor's name with its beginning replaced by what the first fitting pattern of `renames` stands for.

    None where no pattern fits.
    """
    for pattern, ours in renames.items():
        match = re.match(pattern, name)
        if match:
            return match.expand(ours) + name[match.end() :]
    return None
