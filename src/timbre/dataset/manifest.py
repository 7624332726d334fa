"""What a dataset holds, as its dataset.json says."""

from __future__ import annotations

import functools
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from timbre.errors import DatasetError

FORMAT_NUMBER = 1
SPLITS = ("train", "validation")
FEATURE_KINDS = ("content", "pitch", "loudness", "diffusion")

_CLIP_ID = re.compile(r"[0-9a-f]{16}")
_FEATURE_FOLDER = re.compile(r"[a-z]+-[0-9a-f]{8}")
_T = TypeVar("_T")


@dataclass(frozen=True)
class ClipEntry:
    """One clip: where it comes from and what was measured before it was levelled."""

    id: str  # 16 hexadecimal digits
    speaker: str
    source: str  # path inside the folder of recordings, with "/" between names
    name: str  # from the labels, else that of the recording with a number
    start_s: float  # in the recording
    end_s: float
    n_samples: int  # at the rate of the dataset
    n_frames: int
    split: str  # "train" or "validation"
    loudness_lufs: float  # before levelling
    gain_db: float  # of the levelling, without the limiter
    source_peak: float  # largest magnitude before levelling
    source_rate_hz: int


@dataclass(frozen=True)
class LeftOut:
    """A recording, or what begins at `start_s` of it, that did not become a clip."""

    source: str
    start_s: float | None
    reason: str


@dataclass(frozen=True)
class DatasetManifest:
    """All facts about a dataset.

    Frames are counted in hops of `hop_samples` at `frame_rate_hz`, which may be another rate than that of the clips.
    Raises DatasetError for entries that do not fit each other, and for names that could leave the folder.
    """

    sample_rate_hz: int  # of the clips
    frame_rate_hz: int
    hop_samples: int
    encoder: str
    content_width: int
    pitch: str  # name of the tracker
    settings: Mapping[str, object]  # all that the content of the dataset depends on
    speakers: Mapping[str, int]  # id of each name, in the order of the names
    features: Mapping[str, str]  # folder below features/ of each kind
    clips: tuple[ClipEntry, ...]
    left_out: tuple[LeftOut, ...]
    diffusion: bool  # it holds what a diffusion model needs

    def __post_init__(self) -> None:
        kinds = FEATURE_KINDS if self.diffusion else FEATURE_KINDS[:-1]
        if min(self.sample_rate_hz, self.frame_rate_hz, self.hop_samples, self.content_width) < 1:
            raise _damaged("has a rate, hop or width below 1")
        if set(self.features) != set(kinds):
            raise _damaged(f"has the features {', '.join(sorted(self.features))} instead of {', '.join(kinds)}")
        for folder in self.features.values():
            if not isinstance(folder, str) or not _FEATURE_FOLDER.fullmatch(folder):
                raise _damaged(f"names the folder {folder!r}, which no features lie in")
        if any(type(number) is not int for number in self.speakers.values()):
            raise _damaged("gives a speaker an id that is no whole number")
        if len({clip.id for clip in self.clips}) != len(self.clips):
            raise _damaged("names a clip twice")
        for clip in self.clips:
            self._check_clip(clip)

    def _check_clip(self, clip: ClipEntry) -> None:
        if not _CLIP_ID.fullmatch(clip.id):
            raise _damaged(f"names the clip {clip.id!r}, which is no clip of a dataset")
        if clip.speaker not in self.speakers:
            raise _damaged(f"gives the clip {clip.id} to {clip.speaker!r}, who is none of its speakers")
        if clip.split not in SPLITS or clip.n_samples < 1 or clip.n_frames < 0:
            raise _damaged(f"has a split or length of the clip {clip.id} that cannot be")


def count_frames(n_samples: int, sample_rate_hz: int, frame_rate_hz: int, hop_samples: int) -> int:
    """Return the number of whole hops at `frame_rate_hz` in a clip of `n_samples` at `sample_rate_hz`."""
    return -(-n_samples * frame_rate_hz // sample_rate_hz) // hop_samples


def manifest_text(manifest: DatasetManifest) -> str:
    """Return the manifest as JSON with sorted keys; equal manifests give equal texts."""
    content = {"format": FORMAT_NUMBER, **asdict(manifest)}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True) + "\n"


def parse_manifest(text: str) -> DatasetManifest:
    """Read what `manifest_text` wrote; raises DatasetError in one sentence where it is damaged or of another format."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged("is no JSON") from error
    if not isinstance(values, dict):
        raise _damaged("holds no JSON object")
    found = values.pop("format", None)
    if found != FORMAT_NUMBER:
        raise DatasetError(
            f"dataset.json is of format {found!r}, and this version reads format {FORMAT_NUMBER}; update timbre or "
            "prepare the dataset again"
        )
    for key, kind in (("clips", ClipEntry), ("left_out", LeftOut)):
        entries = values.get(key)
        if not isinstance(entries, list):
            raise _damaged(f"has no list of {key}")
        values[key] = tuple(_built(kind, entry) for entry in entries)
    return _built(DatasetManifest, values)


def _built(kind: type[_T], values: Any) -> _T:
    """Build a dataclass from the object of a JSON file."""
    if not isinstance(values, dict):
        raise _damaged(f"holds {type(values).__name__} where an object is needed")
    hints = _hints(typing.cast(Any, kind))
    if values.keys() != hints.keys():
        raise _damaged(f"lacks or does not know {', '.join(sorted(hints.keys() ^ values.keys()))}")
    for name, value in values.items():
        if not _is_of(hints[name], value):
            raise _damaged(f"says {name} is {str(value)[:40]!r}")
    return kind(**values)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _is_of(hint: Any, value: Any) -> bool:
    """Say whether a value from JSON fits the annotation of a field; whole numbers are numbers too."""
    if isinstance(hint, types.UnionType):
        return any(_is_of(each, value) for each in typing.get_args(hint))
    kind = typing.get_origin(hint) or hint
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind if kind in (bool, int, str, tuple, type(None)) else isinstance(value, kind)


def _damaged(what: str) -> DatasetError:
    return DatasetError(f"dataset.json {what}; prepare the dataset again")
