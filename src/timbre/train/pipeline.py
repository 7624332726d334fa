"""`timbre train` as a process: from a dataset to a run and its voice."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from timbre.config.train import TrainSettings
from timbre.dataset.folder import open_dataset
from timbre.errors import MissingExtraError, SettingsError, TimbreError
from timbre.evaluate.waves import MonoWave, read_mono_wave
from timbre.nn.precision import reduced_type
from timbre.train import run_folder
from timbre.train.engine import Ended, Engine, Progress, Score, of_first_process
from timbre.train.families import FAMILIES
from timbre.train.listening import Bounds, Judge, independent_embed
from timbre.train.probing import given_probe
from timbre.train.trainee import Trainee, VoiceInTraining
from timbre.train.wording import counted, length
from timbre.voice.card import VoiceCard

if TYPE_CHECKING:
    from accelerate import Accelerator

REHEARSALS, SMALL_BATCH = 3, 2
MEMORY_SHARE = 0.5  # of what is free, that a step may take: what it leaves behind in pieces comes to it
SHORT_OF_CEILING, LESS_CLEAR = 0.05, 0.1
LEAST_PROBE_S = 0.2
SAMPLE_S, SAMPLE_FILE, TRAINING_FILE = 5.0, "sample.flac", "training.json"


@dataclass(frozen=True)
class Estimate:
    """What training costs here, as a few steps have shown."""

    seconds_per_1000_steps: float
    batch_bytes: int  # that a step needs beyond what is loaded
    largest_batch: int  # that fits into what is free


@dataclass(frozen=True)
class Begun:
    """What is known before the first step."""

    speaker: str
    train_s: float
    device: str
    n_processes: int
    number_type: str  # of its networks
    estimate: Estimate
    bounds: Bounds | None  # None where nothing can be heard
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TrainResult:
    """What a training made."""

    voice: VoiceCard | None  # None where a part of voices was made
    ended: Ended
    bounds: Bounds | None
    summary: str  # a paragraph for people


@dataclass(frozen=True)
class Listeners:
    """Who is told: at the beginning, and while it goes on."""

    begun: Callable[[Begun], None]
    moved: Callable[[Progress], None]


def train(
    dataset_folder: Path, run: Path, settings: TrainSettings, probes: Sequence[Path], listeners: Listeners
) -> TrainResult | None:
    """Train a voice, or go on with the run in `run`, and write the best checkpoint as the voice RUN/voice.

    Of several processes the first one listens, writes and returns the result, the others None.

    `probes` are recordings of other speakers to listen to; without any, clips of the dataset that packaged voices say
    are taken. Raises DatasetError for a dataset that cannot be learned from, OutputError for a run that was begun with
    something else, SettingsError for a batch that does not fit or a probe in which nothing is heard, MissingExtraError,
    KeyboardInterrupt once all is saved.
    """
    dataset = open_dataset(dataset_folder)
    run_folder.check(run, settings)
    waves = _probe_waves(probes)
    accelerator = _accelerator(settings)
    voice = FAMILIES[settings.family](dataset, settings, accelerator.device)
    voice.prepare(accelerator)
    judge = voice.listen_to([given_probe(stem, wave) for stem, wave in waves.items()])
    estimate = measure(voice, voice.batch_size, accelerator)
    number_type = str(voice.number_type).removeprefix("torch.")
    computing = f"{accelerator.device.type} in {number_type}"
    origins = {**voice.origins, "set of probes": _digest(waves)}
    with ExitStack() as until_the_end:

        def take() -> None:
            run_folder.begin(run, settings, dataset, origins, computing, accelerator.num_processes)
            until_the_end.enter_context(run_folder.only_one(run))

        if not _first_process_could(take, accelerator):
            return None
        bounds = None if judge is None else judge.bounds
        engine = Engine(voice, run, settings, accelerator, bounds)
        notes = (*engine.resume(), *_notes(voice, settings.family, judge, bool(probes)))
        device, n_processes = str(accelerator.device), accelerator.num_processes
        if accelerator.is_main_process:
            listeners.begun(
                Begun(voice.subject, voice.train_s, device, n_processes, number_type, estimate, bounds, notes)
            )
        ended = engine.train(listeners.moved)
        if not accelerator.is_main_process:
            return None
        engine.load_best(ended)
        clips = dataset.clips("train", settings.speaker)
        return _finished(voice, bounds, ended, run, float(np.median([clip.loudness_lufs for clip in clips])), settings)


def _first_process_could(act: Callable[[], None], accelerator: Accelerator) -> bool:
    """Let the first process `act`, and return in all of them whether it could; it raises what it was refused with."""
    refusal: TimbreError | None = None
    if accelerator.is_main_process:
        try:
            act()
        except TimbreError as error:
            refusal = error
    could = of_first_process(refusal is None, accelerator)
    if refusal is not None:
        raise refusal
    return could


def _probe_waves(paths: Sequence[Path]) -> dict[str, MonoWave]:
    """Read recordings by their names, equal ones with a number; raises SettingsError where nothing can be heard."""
    waves: dict[str, MonoWave] = {}
    for path in paths:
        wave = read_mono_wave(path)
        seconds, peak = len(wave.samples) / wave.sample_rate_hz, float(np.abs(wave.samples).max(initial=0.0))
        if seconds < LEAST_PROBE_S or peak == 0:
            raise SettingsError(
                f"the probe {path} {'is silence' if seconds >= LEAST_PROBE_S else f'has {seconds:.2f} s'}; give "
                f"recordings of at least {LEAST_PROBE_S:g} s in which somebody speaks or sings"
            )
        number = 1 + sum(name == path.stem or name.startswith(f"{path.stem} (") for name in waves)
        waves[path.stem if number == 1 else f"{path.stem} ({number})"] = wave
    return waves


def _digest(waves: Mapping[str, MonoWave]) -> str:
    """Return what tells sets of probes apart; those of the dataset are told apart by the dataset."""
    if not waves:
        return "clips of the dataset"
    parts = sorted(hashlib.sha256(wave.samples.tobytes()).hexdigest() for wave in waves.values())
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _accelerator(settings: TrainSettings) -> Accelerator:
    """Return accelerate's handle; raises MissingExtraError, DeviceError."""
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise MissingExtraError("accelerate", "train", "training") from error
    AcceleratorState._reset_state()  # an earlier training of this process may have had another precision
    on_cpu = settings.device == "cpu"
    device = Accelerator(cpu=on_cpu, mixed_precision="no").device
    reduced = reduced_type(settings.precision, device) == torch.bfloat16
    AcceleratorState._reset_state()
    return Accelerator(cpu=on_cpu, mixed_precision="bf16" if reduced else "no")


def measure(trainee: Trainee, batch_size: int, accelerator: Accelerator) -> Estimate:
    """Do a few steps without learning and say what they cost in time and memory.

    Memory is measured with a small batch first; raises SettingsError where the asked one cannot fit.
    """
    from timbre.train.memory import MemoryPeak, free_bytes  # whose package belongs to the extra

    small = min(batch_size, SMALL_BATCH)
    shared_by = accelerator.num_processes if accelerator.device.type == "cpu" else 1
    free = max(0, free_bytes(accelerator.device) // shared_by - _optimizers_to_come(trainee))
    with MemoryPeak(accelerator.device) as peak:
        trainee.rehearse(small)
    item_bytes = max(peak.risen_bytes / small, 1.0)
    largest = int(MEMORY_SHARE * free / item_bytes)
    if largest < batch_size:
        raise SettingsError(
            f"a batch of {batch_size} needs {item_bytes * batch_size / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are "
            f"free; give a batch_size of at most {max(1, largest)}"
        )
    trainee.rehearse(batch_size)  # the first is slower
    started = time.perf_counter()
    for _ in range(REHEARSALS):
        trainee.rehearse(batch_size)
    seconds = (time.perf_counter() - started) / REHEARSALS
    return Estimate(1000 * seconds, round(item_bytes * batch_size), largest)


def _optimizers_to_come(trainee: Trainee) -> int:
    """Return how many bytes the optimizers will take with their first step: two numbers for each that learns."""
    parameters = (
        parameter
        for optimizer in trainee.optimizers.values()
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter not in optimizer.state
    )
    return sum(2 * parameter.numel() * parameter.element_size() for parameter in parameters)


def _notes(voice: VoiceInTraining, family: str, judge: Judge | None, has_probes: bool) -> tuple[str, ...]:
    notes = list(voice.notes)
    if voice.train_s < voice.enough_s:
        wanted = counted(voice.enough_s / 60, "minute")
        notes.append(f"{length(voice.train_s)} of sound are little; give the {family} family at least {wanted}")
    if judge is None:
        return tuple(notes)
    if not has_probes:
        notes.append("probes are clips of the dataset; --probe takes recordings of your own")
    if independent_embed() is None:
        notes.append("similarity is judged by the base's own speaker encoder, as Resemblyzer is not installed")
    if has_probes and not any(probe.words for probe in judge.probes):
        notes.append("no English words were heard in the probes, so that words are not compared")
    return tuple(notes)


def _finished(
    voice: VoiceInTraining,
    bounds: Bounds | None,
    ended: Ended,
    run: Path,
    loudness_lufs: float,
    settings: TrainSettings,
) -> TrainResult:
    """Write the voice of the best checkpoint and say what was reached; the loudness is that of the recordings."""
    summary = summarise(ended, bounds, voice.train_s, voice.enough_s)
    record = {
        "summary": summary,
        "settings": settings.to_mapping(),
        "steps": ended.step,
        "best": asdict(ended.best),
        "bounds": bounds and asdict(bounds),
        "history": [asdict(score) for score in ended.history],
        "recordings": {"seconds": round(voice.train_s, 1), "loudness_lufs": round(loudness_lufs, 1)},
    }
    extras, sample = {TRAINING_FILE: (json.dumps(record, indent=1) + "\n").encode()}, voice.sample()
    if sample is not None:
        extras[SAMPLE_FILE] = _flac(sample)
    card = voice.save_voice(run / run_folder.VOICE_FOLDER, extras)
    return TrainResult(card, ended, bounds, summary)


def summarise(ended: Ended, bounds: Bounds | None, train_s: float, enough_s: float) -> str:
    """Say in a paragraph what was reached, what limits it and what would help.

    It learned from `train_s` seconds of sound; fewer than `enough_s` are little.
    """
    best = ended.best
    said = [
        f"Training ended after {counted(ended.step, 'step')} and {ended.spent_s / 60:.1f} minutes because "
        f"{ended.reason}.",
        f"The best probe was at step {best.step}: {_reached(ended.history[0], best, bounds)}.",
    ]
    if ended.step == 0:
        said.append("No step was asked for, so the voice is as it was before training.")
    elif best.step == 0:
        said.append("No step was better than the start; more or cleaner recordings would help.")
    elif bounds is not None and max(bounds.floor, bounds.ceiling - SHORT_OF_CEILING) < best.numbers["similarity"]:
        said.append("It is as similar to its recordings as they are to each other; more training can win little more.")
    elif best is ended.history[-1]:
        said.append("The last probe was the best, so more time would help: run the same command with more of it.")
    elif train_s < enough_s:
        said.append(
            f"What limits it is the {length(train_s)} of sound; more recordings would help more than more time."
        )
    else:
        said.append("The probes after it were not better; recordings of other words and pitches may help more.")
    before, after = (probe.numbers.get("content_distance", 0.0) for probe in (ended.history[0], best))
    if after > (1 + LESS_CLEAR) * before > 0:
        said.append("What is said became less clear, as the content distance tells; fewer steps keep more of it.")
    return " ".join(said)


def _reached(first: Score, best: Score, bounds: Bounds | None) -> str:
    """Return the measures of the best probe that matter, and what they were before the first step."""
    parts = []
    for name in ("similarity", "content_distance", "mel_distance", "validation_loss"):
        if name in best.numbers:
            before = f"before the first step {first.numbers[name]:.3f}"
            if name == "similarity" and bounds is not None:
                before += f", unconverted {bounds.floor:.3f}, the speaker's own recordings {bounds.ceiling:.3f}"
            parts.append(f"{name.replace('_', ' ')} {best.numbers[name]:.3f} ({before})")
    return ", ".join(parts)


def _flac(wave: MonoWave) -> bytes:
    import soundfile

    samples = wave.samples[: round(SAMPLE_S * wave.sample_rate_hz)]
    peak = max(1.0, float(np.abs(samples).max()))
    file = io.BytesIO()
    soundfile.write(file, samples / peak, wave.sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()
