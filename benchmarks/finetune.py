"""What training of the fast family gains over the untouched base, for a speaker whom the base has not heard.

    python -m benchmarks.finetune --work FOLDER [--data FOLDER] [--minutes 10]

Five minutes of recordings of the speaker become a dataset and `timbre train` learns from it. Other recordings of the
same speaker judge what is made of sentences of the five held-out English readers, none of whom takes part in the
training: once with the untouched base and the dataset's recordings as reference, then with the trained voice, for each
of `--shares` as its `--learned-share`. FOLDER is kept, so that an interrupted benchmark goes on; give a new one for a
new measurement.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.conditions import conditions
from benchmarks.quality.held_out import ENGLISH, MIN_SOURCE_S
from benchmarks.recordings import add_data, copy_once, first_rows
from recipes.base.hidden import HIDDEN_SPEAKERS
from recipes.base.manifest import Row, read_rows
from timbre.config.convert import ConvertSettings
from timbre.convert.arrays import LoadedVoice
from timbre.evaluate.intelligibility import compare_words, recognise_english
from timbre.evaluate.similarity import embed_speaker, mean_voice, voice_cosine
from timbre.evaluate.waves import MonoWave, read_mono_wave
from timbre.voice.catalog import Voice, load_voice, voice_like

SPEAKER = "msc_malayalam/spk003"
LEARNED_S, N_JUDGING, N_SOURCES_EACH, N_PROBES = 300.0, 15, 4, 3


def split(rows: Sequence[Row], data: Path) -> tuple[list[Path], list[Path]]:
    """Return the speaker's recordings that judge (the first ones) and those of the next five minutes."""
    own = [row for row in rows if row["speaker"] == SPEAKER]
    learned = first_rows(own[N_JUDGING:], LEARNED_S)
    return [data / row["path"] for row in own[:N_JUDGING]], [data / row["path"] for row in learned]


def sources(rows: Sequence[Row], data: Path) -> list[Path]:
    """Return sentences of the held-out English readers."""
    chosen = []
    for speaker in ENGLISH:
        long = [row for row in rows if row["speaker"] == speaker and float(row["seconds"]) >= MIN_SOURCE_S]
        chosen += [data / row["path"] for row in long[:N_SOURCES_EACH]]
    return chosen


def probes(rows: Sequence[Row], data: Path) -> list[Path]:
    """Return sentences of three other readers, for the choice of the best checkpoint."""
    readers: dict[str, Path] = {}
    for row in rows:
        if row["source"] == "librispeech" and row["speaker"] not in HIDDEN_SPEAKERS and float(row["seconds"]) > 6:
            readers.setdefault(row["speaker"], data / row["path"])
    return list(readers.values())[:N_PROBES]


def prepare(work: Path, learned: Sequence[Path]) -> None:
    """Make the dataset."""
    raw = copy_once(learned, work / "raw")
    timbre("prepare", raw, "-o", work / "dataset", "--speaker", "spk003", "--pitch", "pm")


def timbre(*words: object) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "timbre", *map(str, words)], check=True)


def judge(voice: Voice, heard: Sequence[tuple[MonoWave, tuple[str, ...]]], target: np.ndarray) -> dict[str, float]:
    """Return mean similarity and word disagreement of all sources in a voice."""
    similarity, disagreement = [], []
    for source, words in heard:
        made = LoadedVoice(voice).convert(source.samples, source.sample_rate_hz, ConvertSettings(pitch_shift="auto"))
        wave = MonoWave(made, voice.sample_rate_hz)
        similarity.append(voice_cosine(embed_speaker(wave), target))
        rate = compare_words(words, recognise_english(wave)).word_disagreement
        if rate is not None:
            disagreement.append(rate)
    return {"similarity": float(np.mean(similarity)), "words": float(np.mean(disagreement))}


def main() -> None:
    """Prepare, train and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.75, 1.0], help="of what was learned")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="more options of timbre train")
    arguments = parser.parse_args()
    print(conditions(), flush=True)
    rows = read_rows(arguments.data)
    judging, learned = split(rows, arguments.data)
    prepare(arguments.work, learned)
    run = arguments.work / "run"
    limits = ("--minutes", arguments.minutes, "--patience", 0, "--probe", *probes(rows, arguments.data))
    words = ("train", arguments.work / "dataset", "-o", run, *limits, *arguments.options)
    timbre(*words)
    own = [embed_speaker(read_mono_wave(path)) for path in judging]
    target = mean_voice(own)
    ceiling = np.mean([voice_cosine(one, mean_voice([*own[:at], *own[at + 1 :]])) for at, one in enumerate(own)])
    waves = [read_mono_wave(path) for path in sources(rows, arguments.data)]
    heard = [(wave, recognise_english(wave)) for wave in waves]
    floor = np.mean([voice_cosine(embed_speaker(wave), target) for wave in waves])
    print(f"{len(waves)} sentences; similarity from {floor:.3f} (unconverted) to {ceiling:.3f} (the speaker)")
    show("untouched base", judge(voice_like(learned), heard, target))
    for share in arguments.shares:
        timbre(*words, "--learned-share", share)  # which only writes the voice anew
        show(f"trained, share {share:g}", judge(load_voice(run / "voice"), heard, target))


def show(name: str, numbers: Mapping[str, float]) -> None:
    """Print a row."""
    print(f"{name:<20} similarity {numbers['similarity']:.3f}  words changed {numbers['words']:.3f}", flush=True)


if __name__ == "__main__":
    main()
