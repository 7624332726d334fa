"""Timbre turns a voice into another voice: same melody, words and expression, another person's timbre.

Nothing heavy is imported here; each public name is loaded at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timbre.config.convert import ConvertSettings
    from timbre.convert.arrays import load_sovits_voice, load_voice, voice_like
    from timbre.errors import TimbreError
    from timbre.voice.shelf import list_voices

__version__ = "0.1.0"

__all__ = [
    "ConvertSettings",
    "TimbreError",
    "__version__",
    "list_voices",
    "load_sovits_voice",
    "load_voice",
    "voice_like",
]

_HOMES = {
    "ConvertSettings": "timbre.config.convert",
    "TimbreError": "timbre.errors",
    "list_voices": "timbre.voice.shelf",
    "load_sovits_voice": "timbre.convert.arrays",
    "load_voice": "timbre.convert.arrays",
    "voice_like": "timbre.convert.arrays",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'timbre' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
