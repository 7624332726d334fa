"""What an independent recogniser hears in the English recordings that come without a transcript.

    python -m recipes.base.hypotheses --data ../shared/data --out cache/labels

Writes hypotheses.json: path of the recording -> recognised words in order. The words are full of mistakes; the
aligner keeps only recordings where the sound agrees with them. Resumes where it stopped.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from recipes.base.hidden import is_hidden
from recipes.base.manifest import read_rows

SAMPLE_RATE_HZ = 16_000
SAVE_EVERY = 20
# pocketsphinx's fast settings, about 0.1 x real time: every second frame, two Gaussians, one pass
FAST = {"ds": 2, "topn": 2, "maxhmmpf": 3000, "fwdflat": False, "bestpath": False, "loglevel": "FATAL"}
_ALTERNATIVE = re.compile(r"\(\d+\)$")


def make_decoder() -> Any:
    """Return pocketsphinx's decoder with the English model inside its package."""
    from pocketsphinx import Decoder

    return Decoder(samprate=SAMPLE_RATE_HZ, **FAST)


def recognise(decoder: Any, wave: npt.NDArray[np.float32]) -> list[str]:
    """Return the words heard in `wave` [N] (16 kHz, -1..1), without fillers and pronunciation numbers."""
    decoder.start_utt()
    decoder.process_raw(np.rint(np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    words = (_ALTERNATIVE.sub("", segment.word) for segment in decoder.seg())
    return [word for word in words if not word.startswith(("<", "["))]


def read_16_khz(path: Path) -> npt.NDArray[np.float32]:
    """Read a recording as one channel [N] at 16 kHz."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(wave.mean(axis=1), rate, SAMPLE_RATE_HZ), dtype=np.float32)


def untranscribed_english(data: Path) -> Iterator[str]:
    """Yield the paths of all English recordings without a transcript, held-out ones left out."""
    for row in read_rows(data):
        if row["language"] == "en" and not row["transcript"] and not is_hidden(row):
            yield row["path"]


def recognise_all(data: Path, result: Path) -> dict[str, list[str]]:
    """Recognise everything not yet in the JSON file `result`, and save every few recordings."""
    words: dict[str, list[str]] = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    missing = [path for path in untranscribed_english(data) if path not in words]
    decoder = make_decoder()
    for count, path in enumerate(missing, start=1):
        words[path] = recognise(decoder, read_16_khz(data / path))
        if count % SAVE_EVERY == 0 or count == len(missing):
            _save(words, result)
    return words


def _save(words: dict[str, list[str]], result: Path) -> None:
    unfinished = result.with_suffix(".part")
    unfinished.write_text(json.dumps(words, ensure_ascii=False, indent=0), encoding="utf-8")
    unfinished.replace(result)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=recognise_all.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings, with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="cache folder")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    words = recognise_all(given.data, given.out / "hypotheses.json")
    print(f"{len(words)} recordings, {sum(map(len, words.values()))} words")


if __name__ == "__main__":
    main()
