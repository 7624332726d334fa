"""Whether training of a so-vits-svc model learns: a reduced one, from noise, on three minutes of one speaker.

    python -m benchmarks.vits_learning --work FOLDER [--data FOLDER] [--minutes 60]

Prints the mel loss along the steps, its value against that of step 50, and how far the pitch of held-out recordings,
of the speaker herself and of another reader, is from where it was once the trained voice has converted them. FOLDER is
kept, so that an interrupted benchmark goes on; give a new one for a new measurement.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.conditions import conditions
from benchmarks.finetune import timbre
from benchmarks.recordings import add_data, copy_once, first_rows
from recipes.base.manifest import Row, read_rows
from timbre.config.convert import ConvertSettings
from timbre.config.prepare import PACKAGED_ENCODER
from timbre.config.vits_template import HeardContent, new_config
from timbre.convert.arrays import LoadedVoice
from timbre.dataset.folder import open_dataset
from timbre.evaluate.pitch_fidelity import measure_pitch_fidelity
from timbre.evaluate.waves import read_mono_wave
from timbre.voice.catalog import load_voice

SPEAKER, OTHER, LEARNED_S = "ljspeech/LJ", "librispeech", 180.0
HOP_SAMPLES = 441
MODEL = {
    "inter_channels": 96,
    "hidden_channels": 96,
    "filter_channels": 256,
    "n_layers": 2,
    "gin_channels": 64,
    "upsample_initial_channel": 256,
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "p_dropout": 0.0,
}
TRAIN = {"batch_size": 4, "segment_size": 8 * HOP_SAMPLES, "learning_rate": 1e-3, "lr_decay": 0.995}
DATA = {"mel_fmax": 11_000}  # the recordings have a rate of 24 kHz
COMPARED_STEP, MEAN_OF = 50, 5  # values on the board, as each is noisy
GOAL_CENTS = 30.0
SHOWN = 16


def main() -> None:
    """Prepare, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--precision", default="fast")
    arguments = parser.parse_args()
    work, data = arguments.work, arguments.data
    print(conditions(), flush=True)
    learned, held_out = split(read_rows(data), data)
    prepare(work, learned)
    words = ("--family", "vits", "--config", work / "config.json", "--minutes", arguments.minutes, "--patience", 0)
    quick = ("--precision", arguments.precision, "--probe-minutes", 12, "--checkpoint-minutes", 4)
    timbre("train", work / "dataset", "-o", work / "run", *words, *quick)
    show_curve(work / "run")
    show_pitch(work / "run", held_out)


def split(rows: Sequence[Row], data: Path) -> tuple[list[Path], list[Path]]:
    """Return recordings of the speaker to learn from, and recordings that are not: of her and of another reader."""
    own = [row for row in rows if row["speaker"] == SPEAKER]
    learned = first_rows(own, LEARNED_S)
    other = next(row for row in rows if row["source"] == OTHER and float(row["seconds"]) > 5)
    held_out = [*own[len(learned) :][-1:], other]
    return [data / row["path"] for row in learned], [data / row["path"] for row in held_out]


def prepare(work: Path, learned: Sequence[Path]) -> None:
    """Make the dataset and the config.json."""
    raw = copy_once(learned, work / "raw")
    words = ("--speaker", "LJ", "--pitch", "pm", "--encoder", PACKAGED_ENCODER, "--shortest-s", 1.5, "--longest-s", 4)
    timbre("prepare", raw, "-o", work / "dataset", *words)
    manifest = open_dataset(work / "dataset").manifest
    heard = HeardContent(
        manifest.encoder, manifest.content_width, manifest.sample_rate_hz, HOP_SAMPLES, manifest.speakers, vol_aug=False
    )
    config = new_config(heard)
    config["model"] |= MODEL
    config["train"] |= TRAIN
    config["data"] |= DATA
    (work / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="ascii")


def show_curve(run: Path) -> None:
    """Print the mel loss, and the mean of its last values against step 50, which alone is noisy, and its neighbours."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "events"))
    events.Reload()
    mel = {event.step: event.value for event in events.Scalars("loss/g/mel")}
    steps = sorted(mel)
    print(f"{'step':>6} {'loss/g/mel':>10}")
    for step in sorted({steps[round(at * (len(steps) - 1) / (SHOWN - 1))] for at in range(SHOWN)} | {COMPARED_STEP}):
        print(f"{step:>6} {mel[step]:>10.2f}")
    last = statistics.mean(mel[step] for step in steps[-MEAN_OF:])
    around = statistics.mean(mel[step] for step in sorted(steps, key=lambda step: abs(step - COMPARED_STEP))[:MEAN_OF])
    print(f"mel loss at the end (mean of {MEAN_OF}): {last:.2f}")
    for name, value in (("the one", mel[COMPARED_STEP]), (f"the mean of {MEAN_OF}", around)):
        print(f"against {name} at step {COMPARED_STEP}, {value:.2f}: {last / value:.2f} (goal: below 0.50)")


def show_pitch(run: Path, held_out: Sequence[Path]) -> None:
    """Print how well held-out recordings keep their pitch."""
    voice = LoadedVoice(load_voice(run / "voice"))
    for path in held_out:
        source = read_mono_wave(path)
        made = voice.convert(source.samples, source.sample_rate_hz, ConvertSettings(pitch_shift=0.0))
        wave = type(source)(made, voice.sample_rate_hz)
        found = measure_pitch_fidelity(source, wave, 0.0)
        error = found.median_error_cents
        said = "no pitch was found" if error is None else f"{error:.1f} cents (median; goal: at most {GOAL_CENTS:g})"
        print(f"pitch of {path.name} after conversion: off by {said}")


if __name__ == "__main__":
    main()
