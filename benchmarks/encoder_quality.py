"""What a content encoder hears of words and phones, and what of the speaker, beside the log-mel that it is fed with.

Run from the folder of the project: python -m benchmarks.encoder_quality --data FOLDER [--base FOLDER]
[--encoder NAME[=FILE]] [--json]

Columns (up: more is better): "reader" is the share of 2 s pieces of which a linear classifier finds which of seven
held-out readers speaks; "word's speaker" the same of single words that 25 speakers all say (both down: a perfect
encoder is at chance). "word" is the share of words that are found among those of another speaker. "phone" is the share
of frames of held-out English readers of which a linear classifier, trained on other readers, finds the phone. "same"
is the cosine between a frame and the same frame of a voice with other formants and pitch, "rank" the share of other
frames that are nearer to it (down). `benchmarks/quality/encoder_probes.py` has them exactly. Two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.quality import representations
from benchmarks.quality.encoder_probes import (
    N_FOLDS,
    Labelled,
    Piece,
    agreement,
    commonest_phone_share,
    phone_accuracy,
    speaker_accuracy,
    word_retrieval,
)
from benchmarks.quality.held_out import ENGLISH
from benchmarks.quality.phone_labels import phone_labels
from benchmarks.quality.probe_material import (
    Recording,
    Samples,
    SpokenWord,
    changed_voices,
    command_words,
    readers,
    singing,
)
from benchmarks.quality.representations import Representation, loud_frames
from benchmarks.recordings import add_data
from timbre.content.encoders import load_encoder
from timbre.evaluate.summary import MeanInterval, bootstrap_mean
from timbre.voice.base import load_base
from timbre.weights.search import weights_folders

PIECE_FRAMES = 200
RECORDINGS_TO_CHANGE = 3  # of each reader

Measures = dict[str, MeanInterval]

COLUMNS = {
    "reader": "reader, down",
    "word_speaker": "word's speaker, down",
    "word": "word, up",
    "phone": "phone, up",
    "same_speech": "same, speech, up",
    "same_singing": "same, sung, up",
    "rank_speech": "rank, speech, down",
    "rank_singing": "rank, sung, down",
}


@dataclass(frozen=True)
class Material:
    """All that is listened to."""

    readers: Sequence[Recording]
    phones: Mapping[str, Sequence[str]]  # by recording, of the English readers
    words: Sequence[SpokenWord]
    changed: Mapping[str, Sequence[tuple[Samples, Sequence[Samples]]]]  # "speech", "singing": originals and copies


def gather(data: Path) -> Material:
    """Read all recordings, label the English ones and change the voices of some."""
    heard = readers(data)
    phones = {one.name: phone_labels(one.samples) for one in heard if one.speaker in ENGLISH}
    by_speaker = {one.speaker: [other for other in heard if other.speaker == one.speaker] for one in heard}
    some = [one for recordings in by_speaker.values() for one in recordings[:RECORDINGS_TO_CHANGE]]
    changed = {
        kind: [(one.samples, changed_voices(one.samples)) for one in recordings]
        for kind, recordings in (("speech", some), ("singing", singing(data)))
    }
    return Material(heard, phones, command_words(data), changed)


def probe(hear: Representation, material: Material, seed: int = 0) -> Measures:
    """Return all columns of one representation; `seed` draws the intervals."""
    frames = {one.name: hear(one.samples) for one in material.readers}
    values = {
        "reader": speaker_accuracy(_pieces(material.readers, frames)),
        **_probe_words(hear, material.words),
        "phone": phone_accuracy(_labelled(material, frames)),
    }
    for kind, changed in material.changed.items():
        values[f"same_{kind}"], values[f"rank_{kind}"] = _agreements(hear, changed)
    return {name: bootstrap_mean(values[name], seed) for name in COLUMNS}


def chance(material: Material) -> Measures:
    """Return what an encoder that hears nothing would have."""
    empty = [Labelled(np.zeros((0, 1), np.float32), phones, "") for phones in material.phones.values()]
    shares = {
        "reader": 1 / len({one.speaker for one in material.readers}),
        "word_speaker": 1 / len({one.speaker for one in material.words}),
        "word": 1 / len({one.word for one in material.words}),
        "phone": commonest_phone_share(empty),
        **dict.fromkeys(("same_speech", "same_singing"), 0.0),
        **dict.fromkeys(("rank_speech", "rank_singing"), 0.5),
    }
    return {name: bootstrap_mean([share]) for name, share in shares.items()}


def run(data: Path, base: Path | None = None, others: Sequence[str] = (), seed: int = 0) -> dict[str, Measures]:
    """Return the rows of the table, chance first; `others` are NAME or NAME=FILE of encoders of so-vits-svc."""
    heard: dict[str, Representation] = {"log-mel": representations.log_mel()}
    for other in others:
        name, _, file = other.partition("=")
        encoder = load_encoder(
            name, weights_file=Path(file) if file else None, search_folders=weights_folders(), device="cpu"
        )
        heard[name] = representations.other_encoder(encoder)
    loaded = load_base(base)
    heard[f"content of {loaded.name} ({loaded.sha256[:8]})"] = representations.content(loaded.networks.content)
    started = time.process_time()
    material = gather(data)
    _tell("recordings", started)
    rows = {"chance": chance(material)}
    for name, hear in heard.items():
        started = time.process_time()
        rows[name] = probe(hear, material, seed)
        _tell(name, started)
    return rows


def print_rows(rows: Mapping[str, Measures], as_json: bool = False) -> None:
    """Print the table, or one JSON object for each row."""
    if as_json:
        for name, measures in rows.items():
            print(json.dumps({"encoder": name, "measures": {key: asdict(mean) for key, mean in measures.items()}}))
        return
    print("\ncontent encoder: mean [bootstrap 95 % interval over recordings or, for words, speakers]")
    print("| encoder | " + " | ".join(COLUMNS.values()) + " |")
    print("| --- |" + " --- |" * len(COLUMNS))
    for name, measures in rows.items():
        print(f"| {name} | " + " | ".join(_cell(measures[column], column) for column in COLUMNS) + " |")


def _probe_words(hear: Representation, words: Sequence[SpokenWord]) -> dict[str, list[float]]:
    heard = [hear(word.samples)[_from_first_to_last(loud_frames(word.samples))] for word in words]
    pieces = [Piece(frames, word.speaker, word.speaker, word.take) for word, frames in zip(words, heard, strict=True)]
    first_take = min(word.take for word in words)
    vocabularies: dict[str, dict[str, representations.Frames]] = {}
    for word, frames in zip(words, heard, strict=True):
        if word.take == first_take:
            vocabularies.setdefault(word.speaker, {})[word.word] = frames
    in_order = [[spoken[word] for word in sorted(spoken)] for spoken in vocabularies.values()]
    return {"word_speaker": speaker_accuracy(pieces), "word": word_retrieval(in_order)}


def _pieces(recordings: Sequence[Recording], frames: Mapping[str, representations.Frames]) -> list[Piece]:
    """Cut the loud frames of each recording into pieces, at least one; shorter rests are left out."""
    pieces = []
    numbers: dict[str, int] = {}
    for recording in recordings:
        number = numbers[recording.speaker] = numbers.get(recording.speaker, -1) + 1
        loud = frames[recording.name][loud_frames(recording.samples)]
        for start in range(0, max(1, len(loud) - PIECE_FRAMES + 1), PIECE_FRAMES):
            piece = loud[start : start + PIECE_FRAMES]
            pieces.append(Piece(piece, recording.speaker, recording.name, number % N_FOLDS))
    return pieces


def _labelled(material: Material, frames: Mapping[str, representations.Frames]) -> list[Labelled]:
    speakers = {one.name: one.speaker for one in material.readers}
    return [Labelled(frames[name], phones, speakers[name]) for name, phones in material.phones.items()]


def _agreements(
    hear: Representation, changed: Sequence[tuple[Samples, Sequence[Samples]]]
) -> tuple[list[float], list[float]]:
    """Return cosine and rank of the loud frames of each recording, means over its copies."""
    loud = [loud_frames(original) for original, _ in changed]
    originals = [hear(original)[mask] for (original, _), mask in zip(changed, loud, strict=True)]
    found = [
        agreement(originals, [hear(copy)[mask] for copy, mask in zip(copies, loud, strict=True)])
        for copies in zip(*(copies for _, copies in changed), strict=True)
    ]
    cosines = np.mean([[one.cosine for one in ones] for ones in found], axis=0)
    ranks = np.mean([[one.rank for one in ones] for ones in found], axis=0)
    return cosines.tolist(), ranks.tolist()


def _from_first_to_last(mask: NDArray[np.bool_]) -> slice:
    places = np.flatnonzero(mask)
    return slice(int(places[0]), int(places[-1]) + 1)


def _cell(mean: MeanInterval, column: str) -> str:
    digits = 4 if column.startswith("rank") else 3
    if mean.n_values == 1:
        return f"{mean.mean:.{digits}f}"
    return f"{mean.mean:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"


def _tell(what: str, started: float) -> None:
    print(f"{what}: {time.process_time() - started:.0f} s of processor time", file=sys.stderr)


def main() -> None:
    """Probe and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--base", type=Path, help="folder of a base; default: the packaged one")
    parser.add_argument(
        "--encoder", action="append", default=[], metavar="NAME[=FILE]", help="another encoder beside it, by its name"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the intervals")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)  # sums of several threads differ in their last digits
    print_rows(run(given.data, given.base, given.encoder, given.seed), given.json)


if __name__ == "__main__":
    main()
