"""What a voice says about itself."""

from __future__ import annotations

import json
import math
import re
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from timbre.errors import VoiceError

CARD_FILE = "voice.json"
FORMAT = 1
_MAX_NAME, _MAX_NAME_BYTES = 80, 180  # a result's file name holds the voice's beside the recording's
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]')  # some system refuses it in a file name


@dataclass(frozen=True, kw_only=True)
class VoiceCard:
    """What a voice says about itself; stored as voice.json in its folder. "" and 0 stand for what is not known."""

    name: str
    description: str
    languages: tuple[str, ...]
    median_f0_hz: float
    licence: str
    attribution: str
    consent: str = ""  # how the speaker agreed to this use
    lowest_f0_hz: float = 0.0  # range of the recordings it was made from
    highest_f0_hz: float = 0.0
    speakers: tuple[str, ...] = ()  # where it holds several
    base: str = ""  # name of the base model it needs; "" where it brings all its networks
    base_sha256: str = ""  # of that base's weights: a voice fits one base only
    decoder_sha256: str = ""  # of the voice's own decoder; "" where it uses the base's
    reference_s: float = 0.0  # seconds of sound it was made from
    family: str = "fast"
    format: int = FORMAT
    path: str = ""  # folder it was read from; not stored

    def save(self, folder: Path) -> None:
        """Write voice.json into `folder`."""
        values = asdict(self)
        del values["path"]
        text = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
        # A file name in it may be no text; what cannot be encoded is escaped as JSON escapes it.
        (folder / CARD_FILE).write_text(text, encoding="utf-8", errors="backslashreplace")

    @classmethod
    def read(cls, folder: Path) -> VoiceCard:
        """Read voice.json of `folder`; raises VoiceError where it is missing, damaged or of a newer format."""
        path = folder / CARD_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise VoiceError(f"{folder} is not a voice: it holds no {CARD_FILE}") from error
        except (OSError, ValueError, RecursionError) as error:
            raise VoiceError(f"{path} cannot be read ({error}); the voice is damaged") from error
        if isinstance(values, dict) and values.get("format", FORMAT) != FORMAT:
            raise VoiceError(f"{path} has format {values['format']}; this version of timbre reads format {FORMAT}")
        fault = _fault(values)
        if fault is not None:
            raise VoiceError(f"{path} {fault}; the voice is damaged: get or make it again")
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values | lists | {"path": str(folder)})


def safe_name(text: str) -> str:
    """Return `text` as a name that can be part of a file name on every system."""
    clean = _NOT_IN_NAMES.sub("_", text).strip(" .")[:_MAX_NAME]
    return clean.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").rstrip(" .") or "voice"


def _fault(values: Any) -> str | None:
    """Say what in the content of a voice.json is wrong; None where all is right."""
    if not isinstance(values, dict):
        return "holds no JSON object"
    known = {field.name: field for field in fields(VoiceCard) if field.name != "path"}
    needed = {name for name, field in known.items() if field.default is MISSING}
    for text, keys in (("lacks", needed - values.keys()), ("holds the unknown", values.keys() - known.keys())):
        if keys:
            return f"{text} {', '.join(sorted(keys))}"
    for name, value in values.items():
        if not _is_of(str(known[name].type), value):
            return f"has {name} {value!r}, which is no {known[name].type}"
    if values["name"] != safe_name(values["name"]):
        return f"has the name {values['name']!r}, which cannot be part of a file name"
    return None


def _is_of(kind: str, value: Any) -> bool:
    """Say whether `value` from JSON fits a field annotated with `kind`."""
    if kind == "str":
        return isinstance(value, str)
    if kind == "tuple[str, ...]":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    is_number = isinstance(value, int if kind == "int" else (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0
