"""Whether a network that was read is the one that an encoder needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from timbre.errors import WeightsError

if TYPE_CHECKING:
    from timbre.content.encoders import EncoderSpec


def check_fit(spec: EncoderSpec, path: Path, facts: Mapping[str, tuple[int, int]]) -> None:
    """Raise WeightsError for the first fact, of (got, needed) by name, in which the network of `path` is another."""
    for what, (got, needed) in facts.items():
        if got != needed:
            raise WeightsError(
                f"{path.name!r} has {got} {what}, but {spec.name} needs {needed}; give {spec.file_names[0]}"
            )
