"""What a voice says about itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from timbre.errors import VoiceError

CARD_FILE = "voice.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class VoiceCard:
    """What a voice says about itself; stored as voice.json in its folder."""

    name: str
    description: str
    languages: tuple[str, ...]
    median_f0_hz: float
    licence: str
    attribution: str
    base: str  # name of the base model it needs
    base_sha256: str  # of that base's weights: a voice fits one base only
    reference_s: float  # seconds of sound it was made from
    family: str = "fast"
    format: int = FORMAT
    path: str = ""  # folder it was read from; not stored

    def save(self, folder: Path) -> None:
        """Write voice.json into `folder`."""
        values = asdict(self)
        del values["path"]
        (folder / CARD_FILE).write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> VoiceCard:
        """Read voice.json of `folder`; raises VoiceError where it is missing, damaged or of a newer format."""
        path = folder / CARD_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise VoiceError(f"{folder} is not a voice: it holds no {CARD_FILE}") from error
        except (OSError, ValueError) as error:
            raise VoiceError(f"{path} cannot be read ({error}); the voice is damaged") from error
        known = {field.name for field in fields(cls)} - {"path"}
        if not isinstance(values, dict) or set(values) != known:
            raise VoiceError(f"{path} does not hold the keys of a voice ({', '.join(sorted(known))})")
        if values["format"] != FORMAT:
            raise VoiceError(f"{path} has format {values['format']}; this version of timbre reads format {FORMAT}")
        return cls(**values | {"languages": tuple(values["languages"]), "path": str(folder)})
