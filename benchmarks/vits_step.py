"""What one optimizer step of so-vits-svc training costs at full size, and what float32 and bfloat16 make of it.

    python -m benchmarks.vits_step [--steps 3] [--threads 1]

The template of so-vits-svc 4.1 (vec768l12), random weights and sound, a batch of 6 clips of 430 frames, segments of
10240 samples. The first step, in which the processor's library makes itself ready for each shape, is shown and does
not count.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import torch

from benchmarks.conditions import conditions
from timbre.config.vits import VitsShape
from timbre.config.vits_template import HeardContent, new_config
from timbre.config.vits_training import VitsTrainingSettings
from timbre.dsp.spectrogram import linear_spectrogram
from timbre.models.vits.discriminator import MultiPeriodDiscriminator
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.draws import SeededDraws
from timbre.train.sovits_voice import seeded
from timbre.train.vits_batch import VitsBatch
from timbre.train.vits_step import StepResult, VitsTraining, start_training, training_step

HEARD = HeardContent("vec768l12", 768, 44_100, 512, {"ada": 0}, vol_aug=False)
N_ITEMS, N_FRAMES = 6, 430
ORIGINAL_S = {"float32": 28.3, "bfloat16": 17.7}
GOAL_S = {"float32": 18.0, "bfloat16": 9.0}


@dataclass(frozen=True)
class Measured:
    """The steps in one precision."""

    first_s: float
    best_s: float  # of the later ones, CPU time
    losses: dict[str, float]  # of the first step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(conditions())
    batch = random_batch()
    found = {name: measure(name, batch, arguments.steps) for name in ("float32", "bfloat16")}
    for name, measured in found.items():
        print(
            f"{name:<9} {measured.best_s:5.2f} CPU s a step (goal {GOAL_S[name]:g}, original {ORIGINAL_S[name]:g}), "
            f"the first {measured.first_s:.2f}"
        )
    exact, reduced = found["float32"], found["bfloat16"]
    print(f"bfloat16 takes {reduced.best_s / exact.best_s:.2f} of float32")
    print(f"{'loss':<12} {'float32':>10} {'bfloat16':>10} {'difference':>10}")
    for name, value in exact.losses.items():
        print(f"{name:<12} {value:>10.4f} {reduced.losses[name]:>10.4f} {abs(reduced.losses[name] / value - 1):>10.2%}")


def random_batch() -> VitsBatch:
    """Return a batch of noise."""
    generator = torch.Generator().manual_seed(1)
    wave = 0.1 * torch.randn(N_ITEMS, 1, N_FRAMES * HEARD.hop_samples, generator=generator)
    return VitsBatch(
        units=torch.randn(N_ITEMS, HEARD.width, N_FRAMES, generator=generator),
        f0_hz=200 + 50 * torch.rand(N_ITEMS, N_FRAMES, generator=generator),
        voiced=torch.ones(N_ITEMS, N_FRAMES),
        spectrum=linear_spectrogram(wave[:, 0], 2048, HEARD.hop_samples, 2048),
        wave=wave,
        speaker=torch.zeros(N_ITEMS, 1, dtype=torch.int64),
        lengths=torch.full((N_ITEMS,), N_FRAMES),
        volume=None,
    )


def measure(precision: str, batch: VitsBatch, n_steps: int) -> Measured:
    """Do some steps from the same weights with the same draws."""
    training, seconds, losses = new_training(precision), [], {}
    for number in range(n_steps):
        started = time.process_time()
        result = training_step(training, batch, SeededDraws(number))
        seconds.append(time.process_time() - started)
        losses = losses or values(result)
    return Measured(seconds[0], min(seconds[1:] or seconds), losses)


def new_training(precision: str) -> VitsTraining:
    """Start a training; without dropout, so that both precisions compute the same."""
    config = new_config(HEARD)
    config["model"]["p_dropout"] = 0.0
    config["train"] |= {"fp16_run": precision != "float32", "half_type": "bf16"}
    with seeded(0):
        synthesizer, discriminator = Synthesizer(VitsShape.from_config(config)), MultiPeriodDiscriminator()
    return start_training(synthesizer, discriminator, VitsTrainingSettings.from_config(config))


def values(result: StepResult) -> dict[str, float]:
    """Return the losses of a step."""
    losses = result.synthesizer_losses
    named = {
        "d": result.discriminator_loss,
        "adversarial": losses.adversarial,
        "feature": losses.feature,
        "mel": losses.mel,
        "kl": losses.kl,
    }
    named |= {} if losses.lf0 is None else {"lf0": losses.lf0}
    return {name: float(value) for name, value in named.items()}


if __name__ == "__main__":
    main()
