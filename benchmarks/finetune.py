"""What training of the fast family gains over the untouched base, for a speaker whom the base has not heard.

    python -m benchmarks.finetune --work FOLDER [--data FOLDER] [--minutes 10]

Five minutes of recordings of the speaker become a dataset and `timbre train` learns from it. Other recordings of the
same speaker judge what is made of sentences of the five held-out English readers, none of whom takes part in the
training: once with the untouched base and the dataset's recordings as reference, then with the trained voice, for each
of `--shares` as its `--learned-share`. "own" is the similarity of what the judging recordings become once the packaged
voice ada has said them: the speaker's own language and melody out of another throat, each judged by the others. FOLDER
is kept, so that an interrupted benchmark goes on; give a new one for a new measurement.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import conditions
from benchmarks.quality.held_out import ENGLISH, MIN_SOURCE_S
from benchmarks.recordings import add_data, copy_once, first_rows
from recipes.base.hidden import HIDDEN_SPEAKERS
from recipes.base.manifest import Row, read_rows
from timbre.config.convert import ConvertSettings
from timbre.convert.arrays import LoadedVoice
from timbre.evaluate.intelligibility import compare_words, recognise_english
from timbre.evaluate.similarity import embed_speaker, mean_voice, similarity_among, voice_cosine, voices_of_others
from timbre.evaluate.waves import MonoWave, read_mono_wave
from timbre.voice.catalog import Voice, load_voice, voice_like

THROUGH = "ada"
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


@dataclass(frozen=True)
class Listener:
    """What voices are given, and what the result is compared with."""

    own: Sequence[NDArray[np.float32]]  # voice vectors of the judging recordings
    sentences: Sequence[tuple[MonoWave, tuple[str, ...]]]  # of other speakers, and the words in them
    own_elsewhere: Sequence[MonoWave]  # the judging recordings, said by another voice

    @classmethod
    def of(cls, judging: Sequence[Path], sentences: Sequence[Path]) -> Listener:
        """Hear the recordings."""
        waves, through = [read_mono_wave(path) for path in judging], load_voice(THROUGH)
        heard = [(wave, recognise_english(wave)) for wave in map(read_mono_wave, sentences)]
        return cls([embed_speaker(wave) for wave in waves], heard, [said(through, wave) for wave in waves])

    def judge(self, voice: Voice) -> str:
        """Return what a voice is worth: similarity and changed words of all sentences, similarity of "own"."""
        made = [said(voice, wave) for wave, _ in self.sentences]
        target = mean_voice(self.own)
        similarity = np.mean([voice_cosine(embed_speaker(wave), target) for wave in made])
        rates = [
            compare_words(words, recognise_english(wave)).word_disagreement
            for wave, (_, words) in zip(made, self.sentences, strict=True)
        ]
        changed = np.mean([rate for rate in rates if rate is not None])
        back = [embed_speaker(said(voice, wave)) for wave in self.own_elsewhere]
        own = np.mean([voice_cosine(one, rest) for one, rest in zip(back, voices_of_others(self.own), strict=True)])
        return f"similarity {similarity:.3f}  words changed {changed:.3f}  own {own:.3f}"


def said(voice: Voice, wave: MonoWave) -> MonoWave:
    """Return a sound as a voice says it."""
    made = LoadedVoice(voice).convert(wave.samples, wave.sample_rate_hz, ConvertSettings(pitch_shift="auto"))
    return MonoWave(made, voice.sample_rate_hz)


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
    listener = Listener.of(judging, sources(rows, arguments.data))
    waves, own = [wave for wave, _ in listener.sentences], listener.own
    floor = np.mean([voice_cosine(embed_speaker(wave), mean_voice(own)) for wave in waves])
    ceiling = similarity_among(own)
    print(f"{len(waves)} sentences; similarity from {floor:.3f} (unconverted) to {ceiling:.3f} (the speaker)")
    print(f"{'untouched base':<20} {listener.judge(voice_like(learned))}", flush=True)
    for share in arguments.shares:
        timbre(*words, "--learned-share", share)  # which only writes the voice anew
        print(f"{f'trained, share {share:g}':<20} {listener.judge(load_voice(run / 'voice'))}", flush=True)


if __name__ == "__main__":
    main()
