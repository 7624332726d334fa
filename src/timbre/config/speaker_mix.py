"""How much of each speaker is heard at each time of a sound: tracks files and constant weights (pipeline spec 6.5)."""

from __future__ import annotations

import ast
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from timbre.errors import SettingsError

MAX_FILE_BYTES = 2**20
_SAME_TIME = 1e-6  # of the sound: far less than one frame
_FORM = 'write {"SPEAKER": [[START, END, FROM, TO], ...], ...} with times from 0 to 1'
_NO_TABLE = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Ramp:
    """A stretch of a track, over which the weight of a speaker moves evenly; times are shares of the whole sound."""

    start: float
    end: float
    first: float  # weight at the start
    last: float  # weight at the end


Track = tuple[Ramp, ...]
"""The weight of one speaker from 0 to 1, without gaps."""


@dataclass(frozen=True)
class SpeakerMix:
    """The tracks of several speakers."""

    tracks: Mapping[str, Track]  # by name, or by number as text
    whole: bool  # whether every speaker of the voice must be among them; otherwise the others are silent

    def by_number(self, speakers: Mapping[str, int]) -> dict[int, Track]:
        """Return the tracks by the numbers that `speakers` gives to names.

        Raises SettingsError for a speaker that is not there, is named twice, or has no track though it must.
        """
        names = {str(number): name for name, number in speakers.items()} | {name: name for name in speakers}
        found: dict[int, Track] = {}
        for key, track in self.tracks.items():
            if key not in names:
                raise SettingsError(
                    f"the speaker mix names {key!r}, which the voice does not have; its speakers: {', '.join(speakers)}"
                )
            number = speakers[names[key]]
            if number in found:
                raise SettingsError(f"the speaker mix names {names[key]!r} twice, by name and by number; leave one out")
            found[number] = track
        absent = [name for name, number in speakers.items() if number not in found]
        if self.whole and absent:
            raise SettingsError(
                f"the speaker mix has tracks for {len(found)} of {len(speakers)} speakers; add one for each of: "
                f"{', '.join(absent)} ([[0, 1, 0, 0]] is silent)"
            )
        return found


def read_speaker_mix(text: str) -> SpeakerMix:
    """Read what a user chose: the path of a tracks file, or constant weights such as "alice=0.7,bob=0.3".

    The file is JSON, or Python with that table in it, as so-vits-svc's spkmix.py; nothing of it is run. Raises
    SettingsError where it is absent or damaged, a track is not whole from 0 to 1, or a weight is no number of at least
    0.
    """
    path = Path(text)
    if path.is_file():
        return _from_file(path)
    if "=" in text:
        return _from_weights(text)
    raise SettingsError(
        f"there is no speaker mix file {text!r}; give the path of one, or constant weights as in alice=0.7,bob=0.3"
    )


def _from_weights(text: str) -> SpeakerMix:
    tracks: dict[str, Track] = {}
    for part in text.split(","):
        name, _, word = (each.strip() for each in part.rpartition("="))
        if not name:
            raise SettingsError(f"the speaker mix has {part!r}; each part must be as in alice=0.7,bob=0.3")
        if name in tracks:
            raise SettingsError(f"the speaker mix names {name!r} twice; leave one out")
        weight = _weight(name, _number(word))
        tracks[name] = (Ramp(0.0, 1.0, weight, weight),)
    if not any(track[0].first for track in tracks.values()):
        raise SettingsError("all weights of the speaker mix are 0; give at least one speaker more")
    return SpeakerMix(tracks, whole=False)


def _from_file(path: Path) -> SpeakerMix:
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else b""
    except OSError as error:
        raise SettingsError(f"the speaker mix {path} cannot be read ({error.strerror}); give another file") from error
    table = _table(raw)
    if not isinstance(table, dict) or not table:
        raise SettingsError(f"{path.name} holds no table of speakers; {_FORM}")
    tracks: dict[str, Track] = {}
    for key, value in table.items():
        if type(key) not in (str, int) or str(key) in tracks:
            raise SettingsError(f"{path.name} has a speaker {key!r}; each must be a name or a number, and there once")
        tracks[str(key)] = _track(str(key), value)
    return SpeakerMix(tracks, whole=True)


def _table(raw: bytes) -> Any:
    """Return the table of a JSON or Python file, None where there is none."""
    try:
        text = raw.decode("utf-8-sig")
        return json.loads(text)
    except ValueError:
        pass
    except RecursionError:
        return None
    try:
        values = [getattr(statement, "value", None) for statement in ast.parse(raw).body]
        table = next((value for value in values if isinstance(value, ast.Dict)), None)
        return table and ast.literal_eval(table)
    except _NO_TABLE:
        return None


def _track(speaker: str, value: Any) -> Track:
    if not isinstance(value, (list, tuple)) or not value:
        raise SettingsError(f"the track of speaker {speaker!r} in the speaker mix is no list of stretches; {_FORM}")
    ramps = [_ramp(speaker, each) for each in value]
    for before, after in pairwise(ramps):
        if abs(before.end - after.start) > _SAME_TIME:
            fault = "leaves a gap" if before.end < after.start else "overlaps"
            raise SettingsError(
                f"the track of speaker {speaker!r} {fault} from {min(before.end, after.start):g} to "
                f"{max(before.end, after.start):g}; let each stretch start where the one before it ends"
            )
    for wanted, got, word in ((0, ramps[0].start, "starts"), (1, ramps[-1].end, "ends")):
        if abs(got - wanted) > _SAME_TIME:
            raise SettingsError(f"the track of speaker {speaker!r} {word} at {got:g}; it must be at {wanted}")
    borders = pairwise([0.0, *(ramp.start for ramp in ramps[1:]), 1.0])
    return tuple(replace(ramp, start=start, end=end) for ramp, (start, end) in zip(ramps, borders, strict=True))


def _ramp(speaker: str, value: Any) -> Ramp:
    if not isinstance(value, (list, tuple)) or [type(each) in (int, float) for each in value] != [True] * 4:
        raise SettingsError(
            f"the track of speaker {speaker!r} has the stretch {reprlib.repr(value)}; it must be four numbers"
        )
    start, end, first, last = map(_number, value)
    if not (math.isfinite(start) and math.isfinite(end) and end - start > 2 * _SAME_TIME):
        raise SettingsError(
            f"a stretch of speaker {speaker!r} goes from {start:g} to {end:g}; its start must be before its end"
        )
    return Ramp(start, end, _weight(speaker, first), _weight(speaker, last))


def _weight(speaker: str, number: float) -> float:
    if not (math.isfinite(number) and number >= 0):
        raise SettingsError(f"a weight of speaker {speaker!r} is {number:g}; it must be a number of at least 0")
    return number


def _number(value: int | float | str) -> float:
    """Return a number or what spells one, NaN where it is none or too large."""
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan
