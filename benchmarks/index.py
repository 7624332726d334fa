"""How near the centres of `timbre index` come to what a speaker says, and what they cost.

    python -m benchmarks.index [--speaker kerstin/kerstin] [--frames 60000]

Nearness is measured on recordings of one speaker of the corpus at $TIMBRE_DATA (default ../shared/data) as the packaged
encoder hears them: the mean distance from a frame of every tenth recording, which was left out, to the nearest centre
of the others; beside it that to as many frames drawn at random, and in the last rows the search among all frames,
exact and in lists as so-vits-svc does. The cost is that of 100 000 frames that are 768 wide: these recordings' own
frames, turned into that space by a random matrix, with a tenth of noise.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.conditions import conditions
from recipes.base.manifest import read_rows
from timbre.audio.mixing import to_mono
from timbre.audio.reader import read_audio
from timbre.audio.resample import resample
from timbre.dsp.frontend import SAMPLE_RATE_HZ
from timbre.features.extract import FrameExtractor
from timbre.nn.precision import precision_name, reduced_type
from timbre.retrieval.clustering import cluster
from timbre.retrieval.euclid import nearest_rows
from timbre.retrieval.faiss_file import read_faiss_index
from timbre.retrieval.foreign_writing import listed_index
from timbre.voice.base import load_base

N_CENTRES = (100, 300, 1000, 3000, 5000)
COST_FRAMES, COST_WIDTH, COST_CENTRES = 100_000, 768, 10_000


def hear(speaker: str, n_frames: int) -> Iterator[Tensor]:
    """Yield the content [T, C] of recordings until there are `n_frames` in all."""
    data = Path(os.environ.get("TIMBRE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    extractor = FrameExtractor(load_base().networks.content)
    for row in (row for row in read_rows(data) if row["speaker"] == speaker):
        sound = read_audio(data / row["path"])
        wave = resample(to_mono(sound.samples), sound.sample_rate_hz, SAMPLE_RATE_HZ)
        content = extractor.content(torch.from_numpy(np.ascontiguousarray(wave)))
        yield content
        n_frames -= len(content)
        if n_frames <= 0:
            return


def spent(work: Callable[[], object]) -> float:
    """Return the processor seconds of `work`, of all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def distance(frames: Tensor, rows: Tensor) -> float:
    """Return the mean distance of frames to the nearest row."""
    return float(nearest_rows(frames, rows, 1)[0].sqrt().mean())


def measure_nearness(frames: Tensor, held_out: Tensor) -> None:
    """Print a row for each number of centres, and those of whole searches."""
    length = float(frames.norm(dim=1).mean())
    print(f"{len(frames)} frames {frames.shape[1]} wide, {len(held_out)} held out, mean length {length:.2f}")
    print(f"{'centres':>10}{'distance':>12}{'bfloat16':>12}{'random rows':>12}{'processor s':>12}")
    drawn = frames[torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))]
    for n_centres in N_CENTRES:
        started = time.process_time()
        exact = cluster(frames, n_centres, seed=0)
        seconds = time.process_time() - started
        reduced = cluster(frames, n_centres, seed=0, number_type=torch.bfloat16)
        distances = (distance(held_out, rows) for rows in (exact.centres, reduced.centres, drawn[:n_centres]))
        print(f"{n_centres:>10}" + "".join(f"{each:>12.3f}" for each in distances) + f"{seconds:>12.1f}")
    index = read_faiss_index(listed_index(frames, seed=0))
    print(f"{'all frames':>10}{distance(held_out, frames):>12.3f}")
    in_lists = float(index.search(held_out)[0][:, 0].sqrt().mean())
    print(f"{'in lists':>10}{in_lists:>12.3f}  ({len(index.centroids)} lists)")


def measure_cost(frames: Tensor) -> None:
    """Print what many wide frames cost, in each precision that this processor is good at."""
    generator = torch.Generator().manual_seed(0)
    rows = frames[torch.arange(COST_FRAMES) % len(frames)]
    rows = rows @ torch.randn(rows.shape[1], COST_WIDTH, generator=generator) / rows.shape[1] ** 0.5
    rows += 0.1 * torch.randn(rows.shape, generator=generator)
    for number_type in dict.fromkeys((reduced_type("auto", "cpu"), None)):
        started = time.perf_counter()
        seconds = spent(functools.partial(cluster, rows, COST_CENTRES, 0, number_type=number_type))
        print(
            f"{COST_CENTRES} centres of {COST_FRAMES} x {COST_WIDTH}, {precision_name(number_type)}: "
            f"{seconds:.0f} s of processor time, {time.perf_counter() - started:.0f} s"
        )
    content = rows[:1000]
    print(f"exact search of 1000 frames among {COST_FRAMES}: {spent(lambda: nearest_rows(content, rows, 8)):.1f} s")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speaker", default="kerstin/kerstin")
    parser.add_argument("--frames", type=int, default=60_000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(conditions())
    clips = list(hear(arguments.speaker, arguments.frames))
    held_out = torch.cat(clips[::10])
    frames = torch.cat([clip for number, clip in enumerate(clips) if number % 10])
    measure_nearness(frames, held_out)
    measure_cost(frames)


if __name__ == "__main__":
    main()
