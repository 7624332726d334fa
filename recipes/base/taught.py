"""Stage: what the teacher hears in every recording, as a goal for the content encoder.

    python -m recipes.base.taught --cache CACHE

Two of the teacher's layers, less the mean of each speaker, reduced to their principal components, so that the mean
square of all components of a layer is 1, and laid on the frames of the recordings. Writes CACHE/labels/taught.npy
(float16 [frames, 2 * COMPONENTS]).
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.base.corpus import FRAME_16K, Recordings, waves
from recipes.base.teacher import FIRST_CENTRE_SAMPLES, HOP_SAMPLES, WIDTH, load_teacher
from recipes.base.training import add_device

LAYERS = (3, 5)
COMPONENTS = 96
LONGEST_FRAMES = 2000
SHRINKAGE_FRAMES = 800  # of the teacher: how much speech it takes until half of a speaker's mean is taken off


class Ear:
    """The teacher over whole recordings."""

    def __init__(self, cache: Path, device: torch.device) -> None:
        self.recordings, self.device = Recordings(cache), device
        self.teacher = load_teacher(cache, device)

    @torch.inference_mode()
    def hear(self, file: int) -> Tensor:
        """Return the chosen layers of a recording [layers, T, 288], at the teacher's own rate."""
        start, length = int(self.recordings.first_frame[file]), int(self.recordings.n_frames[file])
        n_parts = -(-length // LONGEST_FRAMES)
        edges = [start + round(length * part / n_parts) for part in range(n_parts + 1)]
        parts = []
        for first, end in itertools.pairwise(edges):
            wave = waves(self.recordings.wave_16k, np.array([first]), end - first, FRAME_16K, self.device)
            with torch.autocast(self.device.type, torch.bfloat16):
                outputs = self.teacher(wave)
            at_frames = [on_frames(outputs[layer][0].float(), end - first) for layer in LAYERS]
            parts.append(torch.stack(at_frames))
        return torch.cat(parts, dim=1)


def on_frames(features: Tensor, n_frames: int) -> Tensor:
    """Draw lines between the teacher's frames [T, C] and read them at our frames [n_frames, C]."""
    position = (torch.arange(n_frames, device=features.device) * FRAME_16K - FIRST_CENTRE_SAMPLES) / HOP_SAMPLES
    position = position.clamp(0, features.shape[0] - 1)
    below = position.floor().long().clamp(max=max(0, features.shape[0] - 2))
    above = (below + 1).clamp(max=features.shape[0] - 1)
    share = (position - below).unsqueeze(1)
    return features[below] * (1 - share) + features[above] * share


def speaker_means(features: np.ndarray, recordings: Recordings) -> np.ndarray:
    """Return the mean of each speaker's frames [speakers, C], drawn to the mean of all where there are few frames."""
    sums = np.zeros((recordings.n_speakers, features.shape[1]))
    counts = np.zeros((recordings.n_speakers, 1))
    for file, (start, length) in enumerate(zip(recordings.first_frame, recordings.n_frames, strict=True)):
        sums[recordings.speaker_of[file]] += features[start : start + length].sum(axis=0, dtype=np.float64)
        counts[recordings.speaker_of[file]] += length
    overall = sums.sum(axis=0) / counts.sum()
    return np.asarray((sums + SHRINKAGE_FRAMES * overall) / (counts + SHRINKAGE_FRAMES), dtype=np.float32)


def principal(features: np.ndarray) -> np.ndarray:
    """Return the matrix [C, COMPONENTS] to the first principal components, scaled so that their squares sum to 1."""
    some = features[:: max(1, len(features) // 200_000)].astype(np.float64)
    values, vectors = np.linalg.eigh(some.T @ some / len(some))
    kept = vectors[:, ::-1][:, :COMPONENTS]
    print(f"{COMPONENTS} of {len(values)} components hold {values[::-1][:COMPONENTS].sum() / values.sum():.3f}")
    return np.asarray(kept / np.sqrt(values[::-1][:COMPONENTS].sum()), dtype=np.float32)


def main() -> None:
    """Hear everything and write the goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    add_device(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ear = Ear(arguments.cache, arguments.device)
    recordings = ear.recordings
    heard = np.zeros((len(LAYERS), len(recordings.f0), WIDTH), dtype=np.float16)
    for file, (start, length) in enumerate(zip(recordings.first_frame, recordings.n_frames, strict=True)):
        heard[:, start : start + length] = ear.hear(file).cpu().numpy()
    taught = np.zeros((len(recordings.f0), len(LAYERS) * COMPONENTS), dtype=np.float16)
    for number, features in enumerate(heard):
        means = speaker_means(features, recordings)
        for file, (start, length) in enumerate(zip(recordings.first_frame, recordings.n_frames, strict=True)):
            features[start : start + length] -= means[recordings.speaker_of[file]].astype(np.float16)
        matrix = principal(features)
        place = slice(number * COMPONENTS, (number + 1) * COMPONENTS)
        for first in range(0, len(features), 100_000):
            stretch = slice(first, first + 100_000)
            taught[stretch, place] = features[stretch].astype(np.float32) @ matrix
    np.save(arguments.cache / "labels" / "taught.npy", taught)


if __name__ == "__main__":
    main()
