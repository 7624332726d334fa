"""The pairs that base models are judged by, held out, and chosen by: (source recording, recordings of the voice)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipes.base.hidden import HIDDEN_PATHS, is_hidden
from recipes.base.manifest import Row, read_rows

ENGLISH = tuple(f"librispeech/{number}" for number in (533, 1998, 2414, 3005, 3331))
MALAYALAM = ("msc_malayalam/spk003", "msc_malayalam/spk005")
SUNG_SPEAKERS = ("sms_tools/singing_female", "sms_tools/vignesh", "sms_tools/soprano")
N_SUNG_NOTES = 5
MIN_SOURCE_S = 7.0
MAX_REFERENCES = 10
SEEN_SOURCE, N_SEEN, MIN_SEEN_S = "librispeech", 12, 13.0


@dataclass(frozen=True)
class Pair:
    """One conversion to make."""

    name: str
    group: str  # english, malayalam, sung or seen english
    source: Path
    references: tuple[Path, ...]

    @property
    def sung(self) -> bool:
        """Whether the source is sung."""
        return self.group == "sung"


def held_out_pairs(data: Path) -> list[Pair]:
    """List the pairs, always in the same order.

    All ordered pairs of the five English readers, both of the two Malayalam readers, and eight sung sources (the
    longest hidden notes of one singer among them) to the seven readers in turn. A source is the speaker's first
    recording of at least 7 s (the longest one where none is that long); references are the target's first ten.
    """
    rows = read_rows(data)
    speakers = {
        name: [row for row in rows if row["speaker"] == name] for name in (*ENGLISH, *MALAYALAM, *SUNG_SPEAKERS)
    }
    pairs = [
        _pair(data, group, _source(speakers[source]), source, target, speakers)
        for group, readers in (("english", ENGLISH), ("malayalam", MALAYALAM))
        for source in readers
        for target in readers
        if source != target
    ]
    sung = [_source(speakers[name]) for name in SUNG_SPEAKERS] + _longest_notes(rows)
    targets = (*ENGLISH, *MALAYALAM)
    for index, row in enumerate(sung):
        source = Path(row["path"]).with_suffix("").as_posix()
        pairs.append(_pair(data, "sung", row, source, targets[index % len(targets)], speakers))
    return pairs


def seen_pairs(data: Path) -> list[Pair]:
    """List pairs of English readers that training saw, always in the same order.

    They are for choosing among states and settings, so that the held-out ones stay a judge. Each of twelve readers with
    a long recording is to sound like the next one.
    """
    rows = [row for row in read_rows(data) if row["source"] == SEEN_SOURCE and not is_hidden(row)]
    recordings = {row["speaker"]: row for row in rows if float(row["seconds"]) >= MIN_SEEN_S}
    readers = sorted(recordings)
    readers = readers[:: max(1, len(readers) // N_SEEN)][:N_SEEN]
    return [
        Pair(
            f"{source} -> {target}",
            "seen english",
            data / recordings[source]["path"],
            (data / recordings[target]["path"],),
        )
        for source, target in zip(readers, [*readers[1:], *readers[:1]], strict=True)
    ]


def _source(rows: Sequence[Row]) -> Row:
    long_enough = [row for row in rows if float(row["seconds"]) >= MIN_SOURCE_S]
    return long_enough[0] if long_enough else max(rows, key=lambda row: float(row["seconds"]))


def _longest_notes(rows: Sequence[Row]) -> list[Row]:
    hidden = [row for row in rows if row["path"] in HIDDEN_PATHS]
    return sorted(hidden, key=lambda row: (-float(row["seconds"]), row["path"]))[:N_SUNG_NOTES]


def _pair(data: Path, group: str, row: Row, source: str, target: str, speakers: Mapping[str, Sequence[Row]]) -> Pair:
    references = tuple(data / reference["path"] for reference in speakers[target][:MAX_REFERENCES])
    return Pair(f"{source} -> {target}", group, data / row["path"], references)
