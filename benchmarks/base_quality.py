"""How good the base model is on voices and songs that no training saw, beside what the numbers can be at all.

Run from the folder of the project: python -m benchmarks.base_quality --data FOLDER [--base FOLDER] [--rows NAME...]
[--seen] [--encoder] [--pages FOLDER] [--json]

Rows: the source unconverted (floor), WORLD resynthesis, WORLD with pitch shift and formant warp, an untrained decoder,
ours, the target's recordings against each other (ceiling), and for sung pairs the target's own vowels held on the
source's notes. Conversions run in this process through `timbre`, or by a command with the fields {source},
{references} and {output}. `--encoder` adds the table of `benchmarks.encoder_quality`, `--pages` pictures of what the
row "timbre" made of each pair.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import encoder_quality
from benchmarks.quality.held_out import Pair, held_out_pairs, seen_pairs
from benchmarks.quality.pair_page import Pages
from benchmarks.quality.world_baseline import resynthesise, shift_and_warp, sing_vowels
from benchmarks.recordings import add_data
from timbre.evaluate.report import evaluate_triple
from timbre.evaluate.similarity import embed_speaker, mean_voice, voice_cosine
from timbre.evaluate.speaker_encoder import SAMPLE_RATE_HZ as SPEAKER_RATE_HZ
from timbre.evaluate.summary import MeanInterval, summarise
from timbre.evaluate.waves import MonoWave, read_mono_wave
from timbre.voice.base import Base, load_base

Convert = Callable[[Path, Sequence[Path], Path], None]  # source, references, output file to write
System = Callable[[Pair], MonoWave]
Numbers = Mapping[str, float | None]

COLUMNS = {
    "similarity_to_target": "to target",
    "similarity_to_source": "to source",
    "similarity_difference": "difference",
    "word_disagreement": "words",
    "log_f0_correlation": "f0 corr.",
    "median_error_cents": "cents",
    "octave_error_fraction": "octave",
    "voicing_disagreement": "voicing",
    "envelope_correlation": "loudness",
}
ENGLISH_GROUPS = ("english", "seen english")
OURS = "timbre"
CEILING = "target with itself (ceiling)"
SUNG_CEILING = "target's vowels on these notes"


def convert(source_path: Path, reference_paths: Sequence[Path], out_path: Path, base: Base | None = None) -> None:
    """Convert one recording to the voice of the references, as `timbre convert SOURCE --like REF... -o OUT` does."""
    from timbre.config.convert import ConvertSettings
    from timbre.convert.files import convert_files
    from timbre.voice.catalog import voice_like

    voice = voice_like(list(reference_paths), base=base)
    for _ in convert_files([source_path], out_path, voice, ConvertSettings(), force=True):
        pass  # the results come as they are written


@lru_cache(maxsize=1)
def untrained_base(folder: Path | None = None) -> Base:
    """Return a base (default: the packaged one) with a decoder as it was before training."""
    import torch

    from timbre.voice.base import FastNetworks

    trained = load_base(folder)
    torch.manual_seed(0)
    networks = FastNetworks(trained.shape)
    networks.content.load_state_dict(trained.networks.content.state_dict())
    networks.speaker.load_state_dict(trained.networks.speaker.state_dict())
    return Base("untrained", "untrained", trained.shape, networks.eval().requires_grad_(False), trained.device)


def command_converter(template: str) -> Convert:
    """Return a converter that runs a command with {source}, {references} (several words) and {output} filled in."""

    def run(source_path: Path, reference_paths: Sequence[Path], out_path: Path) -> None:
        fields = {"{source}": [source_path], "{references}": list(reference_paths), "{output}": [out_path]}
        words = [str(part) for word in shlex.split(template) for part in fields.get(word, [word])]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    return run


def from_files(converter: Convert) -> System:
    """Return a system that converts through a temporary file."""

    def run(pair: Pair) -> MonoWave:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "converted.wav"
            converter(pair.source, pair.references, output)
            return read_mono_wave(output)

    return run


def systems(arguments: argparse.Namespace) -> dict[str, System]:
    """Return the rows of the table that convert something, in order."""
    rows: dict[str, System] = {
        "source unconverted (floor)": lambda pair: load(pair.source),
        "WORLD, no change": lambda pair: resynthesise(load(pair.source)),
        "WORLD, pitch + formants": lambda pair: shift_and_warp(
            load(pair.source), [load(path) for path in pair.references], pair.sung
        ),
    }
    folder: Path | None = arguments.base
    rows["untrained decoder"] = from_files(partial(convert, base=untrained_base(folder)))
    command: str | None = arguments.convert_command
    rows[OURS] = from_files(command_converter(command) if command else partial(convert, base=load_base(folder)))
    return rows


@lru_cache(maxsize=256)
def load(path: Path) -> MonoWave:
    """Read a recording once."""
    return read_mono_wave(path)


@lru_cache(maxsize=256)
def voice_in(path: Path) -> NDArray[np.float32]:
    """Hear the voice of a recording once."""
    return embed_speaker(load(path))


def measure(system: System, pair: Pair, pages: Pages | None = None) -> dict[str, float | None]:
    """Convert one pair and return its measures; draw it where `pages` are given."""
    source, converted = load(pair.source), system(pair)
    references = [load(path) for path in pair.references]
    numbers = evaluate_triple(source, converted, references, english=pair.group in ENGLISH_GROUPS).numbers()
    if pages is not None:
        shown = min(references, key=lambda reference: abs(reference.duration_s - source.duration_s))
        pages.add(pair, source, shown, converted, numbers)
    return numbers


def measure_ceiling(pair: Pair) -> dict[str, float | None]:
    """Compare each of the target's recordings with the others, and with the source."""
    voices = {path: voice_in(path) for path in pair.references}
    return _against_others(voices, voices, voice_in(pair.source))


def measure_sung_ceiling(pair: Pair) -> dict[str, float | None]:
    """Let the target itself hold one vowel of each of its recordings on the notes of a sung source, and compare.

    That is what a perfect conversion of one held vowel would have: the speaker encoder hears less of a voice in it
    than in speech. Nothing for pairs that are not sung.
    """
    if not pair.sung:
        return {}
    song, rng = load(pair.source).at(SPEAKER_RATE_HZ), np.random.default_rng(0)
    held = sing_vowels(song, [load(path).at(SPEAKER_RATE_HZ) for path in pair.references], rng)
    heard = {path: embed_speaker(wave) for path, wave in zip(pair.references, held, strict=True) if wave is not None}
    voices = {path: voice_in(path) for path in pair.references}
    return _against_others(heard, voices, voice_in(pair.source))


def _against_others(
    heard: Mapping[Path, NDArray[np.float32]], voices: Mapping[Path, NDArray[np.float32]], source: NDArray[np.float32]
) -> dict[str, float | None]:
    """Compare what was heard of each recording with the voice of the other recordings, and with the source."""
    others = {path: mean_voice([voice for at, voice in voices.items() if at != path]) for path in heard}
    to_target = float(np.mean([voice_cosine(vector, others[path]) for path, vector in heard.items()]))
    to_source = float(np.mean([voice_cosine(vector, source) for vector in heard.values()]))
    return {
        "similarity_to_target": to_target,
        "similarity_to_source": to_source,
        "similarity_difference": to_target - to_source,
    }


def print_table(name: str, tables: Mapping[str, Mapping[str, MeanInterval]], n_pairs: int) -> None:
    """Print means with their 95 % intervals, one system per row."""
    print(f"\n{name}: {n_pairs} pairs; mean [bootstrap 95 % interval]")
    print("| system | " + " | ".join(COLUMNS.values()) + " |")
    print("| --- |" + " --- |" * len(COLUMNS))
    for system, means in tables.items():
        print(f"| {system} | " + " | ".join(_cell(means.get(column), column) for column in COLUMNS) + " |")


def _cell(mean: MeanInterval | None, column: str) -> str:
    if mean is None:
        return ""
    digits = 1 if column == "median_error_cents" else 3
    return f"{mean.mean:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Judge the base model on held-out voices.")
    add_data(parser)
    parser.add_argument("--base", type=Path, help="folder of a base; default: the packaged one")
    parser.add_argument("--convert-command", help="command with {source}, {references}, {output}; default: in process")
    parser.add_argument("--rows", nargs="+", help="only rows whose name holds one of these texts")
    parser.add_argument("--pairs", type=int, help="only the first so many pairs of each group, for a quick look")
    parser.add_argument(
        "--seen", action="store_true", help="pairs of readers that training saw: for choosing, not for judging"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the intervals")
    parser.add_argument("--encoder", action="store_true", help="probe the content encoder too")
    parser.add_argument("--pages", type=Path, metavar="FOLDER", help=f"draw the pairs of the row {OURS!r} into FOLDER")
    parser.add_argument("--json", action="store_true", help="print one JSON object per pair and row, then the means")
    return parser.parse_args()


def _chosen_pairs(arguments: argparse.Namespace) -> list[Pair]:
    pairs = seen_pairs(arguments.data) if arguments.seen else held_out_pairs(arguments.data)
    groups = dict.fromkeys(pair.group for pair in pairs)
    return [pair for group in groups for pair in [one for one in pairs if one.group == group][: arguments.pairs]]


def _measure_all(
    rows: Mapping[str, Callable[[Pair], Numbers]], pairs: Sequence[Pair], as_json: bool
) -> dict[str, list[Numbers]]:
    """Return, for each row, the measures of all pairs."""
    results: dict[str, list[Numbers]] = {}
    for name, measure_pair in rows.items():
        started = time.perf_counter()
        results[name] = []
        for pair in pairs:
            results[name].append(measure_pair(pair))
            if as_json:
                print(json.dumps({"system": name, "pair": pair.name, "group": pair.group, **results[name][-1]}))
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return results


def main() -> None:
    """Measure all rows and print the tables: per group, and over all pairs."""
    arguments = _arguments()
    pairs = _chosen_pairs(arguments)

    pages = Pages(arguments.pages) if arguments.pages else None

    def measured(name: str, system: System) -> Callable[[Pair], Numbers]:
        return lambda pair: measure(system, pair, pages if name == OURS else None)

    rows = {name: measured(name, system) for name, system in systems(arguments).items()}
    rows |= {CEILING: measure_ceiling, SUNG_CEILING: measure_sung_ceiling}
    if arguments.rows:
        rows = {name: row for name, row in rows.items() if any(text in name for text in arguments.rows)}
    if pages and OURS not in rows:
        raise SystemExit(f"--pages draws what the row {OURS!r} made; add it to --rows")
    results = _measure_all(rows, pairs, arguments.json)
    for group in (*dict.fromkeys(pair.group for pair in pairs), "all"):
        places = [place for place, pair in enumerate(pairs) if group in ("all", pair.group)]
        tables = {
            name: summarise([numbers[place] for place in places], arguments.seed)
            for name, numbers in results.items()
            if all(numbers[place] for place in places)  # a row that knows only some groups is in their tables alone
        }
        if arguments.json:
            for name, means in tables.items():
                record = {"system": name, "mean_of": group, "n_pairs": len(places)}
                print(json.dumps({**record, "measures": {key: asdict(mean) for key, mean in means.items()}}))
        else:
            print_table(group, tables, len(places))
    if arguments.encoder:
        encoder_quality.print_rows(
            encoder_quality.run(arguments.data, arguments.base, seed=arguments.seed), arguments.json
        )


if __name__ == "__main__":
    main()
