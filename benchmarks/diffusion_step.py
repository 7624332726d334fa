"""One training step of the full-size diffusion model: processor time and loss in float32 and in bfloat16.

python -m benchmarks.diffusion_step [--batch 8] [--seconds 2] [--steps 3]
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmarks.conditions import conditions
from timbre.config.diffusion import DiffusionShape
from timbre.config.diffusion_training import usual_diffusion_config
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.nn.draws import SeededDraws

SAMPLE_RATE_HZ, HOP_SAMPLES, UNIT_WIDTH, N_MELS = 44_100, 512, 768, 128


def measure(number_type: torch.dtype, n_items: int, seconds: float, n_steps: int) -> tuple[float, float, list[float]]:
    """Return processor and wall seconds of a step, and the losses of the first steps from the same start."""
    torch.manual_seed(0)
    config = usual_diffusion_config("vec768l12", UNIT_WIDTH, SAMPLE_RATE_HZ, HOP_SAMPLES, "nearest")
    model = Unit2Mel(DiffusionShape.from_config(config), N_MELS)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0, fused=True)
    n_frames = int(seconds * SAMPLE_RATE_HZ / HOP_SAMPLES)
    units, f0_hz = torch.randn(n_items, n_frames, UNIT_WIDTH), 200 + 20 * torch.randn(n_items, n_frames, 1)
    volume, mel = torch.rand(n_items, n_frames, 1), torch.randn(n_items, n_frames, N_MELS) - 4

    def step(number: int) -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", number_type, enabled=number_type != torch.float32):
            condition = model.condition(units, f0_hz, volume, aug_shift=torch.zeros(n_items, 1, 1))
            loss = model.training_loss(condition, mel, SeededDraws(number))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    losses = [step(0)]
    processor_s, wall_s = time.process_time(), time.perf_counter()
    losses += [step(number) for number in range(1, n_steps + 1)]
    return (time.process_time() - processor_s) / n_steps, (time.perf_counter() - wall_s) / n_steps, losses


def main() -> None:
    """Measure both number types and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=3)
    given = parser.parse_args()
    print(conditions())
    print(f"one step of {given.batch} items of {given.seconds:g} s, mean of {given.steps} after the first")
    times = {}
    for number_type in (torch.float32, torch.bfloat16):
        processor_s, wall_s, losses = measure(number_type, given.batch, given.seconds, given.steps)
        times[number_type] = processor_s
        shown = ", ".join(f"{loss:.4f}" for loss in losses)
        print(f"{number_type}: {processor_s:.2f} s of processor time, {wall_s:.2f} s; losses {shown}")
    print(f"float32 takes {times[torch.float32] / times[torch.bfloat16]:.2f} times as long")


if __name__ == "__main__":
    main()
