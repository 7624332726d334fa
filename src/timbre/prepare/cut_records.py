"""What was found when a recording was cut, kept beside the dataset so that it is cut once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from timbre.config.cutting import CutSettings
from timbre.config.prepare import PrepareSettings
from timbre.dataset.places import clip_file, write_text

OWN_FOLDER = ".prepare"
"""What only the next run needs; the dataset is complete without it."""

_RULE = 1
"""Changes whenever another clip would come out of the same recording and settings."""


@dataclass(frozen=True)
class CutClip:
    """One clip of a recording; the fields mean what they mean in `timbre.dataset.manifest.ClipEntry`."""

    id: str
    start_s: float
    end_s: float
    n_samples: int
    loudness_lufs: float
    gain_db: float
    source_peak: float
    source_rate_hz: int
    name: str | None  # of its label
    speaker: str | None  # of its label


@dataclass(frozen=True)
class CutRecord:
    """All that came out of one recording."""

    clips: tuple[CutClip, ...]
    left_out: tuple[tuple[float | None, str], ...]  # start in seconds (None: all of it) and reason
    notes: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> CutRecord:
        """Return what `to_mapping` was made of."""
        return cls(
            tuple(CutClip(**clip) for clip in values["clips"]),
            tuple((start_s, reason) for start_s, reason in values["left_out"]),
            tuple(values["notes"]),
        )


def levelling_of(settings: PrepareSettings) -> dict[str, object]:
    """Return the settings that change the sound of a clip whose place in the recording is known."""
    target = {"target_lufs": settings.target_lufs} if settings.loudness == "lufs" else {}
    return {"rule": _RULE, "loudness": settings.loudness, **target}


def cut_key(source_sha256: str, labels_sha256: str | None, settings: PrepareSettings, cutting: CutSettings) -> str:
    """Return the name under which the cuts of a recording are kept."""
    how: dict[str, object] = {"labels": labels_sha256}
    if labels_sha256 is None:
        how = {"cutting": cutting.to_mapping(), "trim": settings.trim}
    return short_hash({"source": source_sha256, "levelling": levelling_of(settings), **how}, 16)


def short_hash(content: Mapping[str, object], n_digits: int) -> str:
    """Return the first hexadecimal digits of the hash of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:n_digits]


def record_file(folder: Path, key: str) -> Path:
    """Return where the record of that name lies in the folder of a dataset."""
    return folder / OWN_FOLDER / "cuts" / f"{key}.json"


def read_record(folder: Path, key: str) -> CutRecord | None:
    """Return the record of that name, or None where there is none or a clip of it is gone."""
    try:
        record = CutRecord.from_mapping(json.loads(record_file(folder, key).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if all(clip_file(folder, clip.id).is_file() for clip in record.clips) else None


def write_record(folder: Path, key: str, record: CutRecord) -> None:
    """Keep a record; raises OutputError where it cannot be written."""
    write_text(record_file(folder, key), json.dumps(record.to_mapping(), sort_keys=True))
