"""Stages 2 and 4: what a trained content encoder makes of the recordings.

    python -m recipes.base.relabel --cache CACHE --name first --phones --clusters --contents

--phones    CACHE/labels/aligned_NAME.npy: phone class of each frame by forced alignment of transcripts (-100: unknown)
--clusters  CACHE/labels/clusters_NAME.npy: k-means class (of 256) of each frame's content
--contents  CACHE/runs/contents_NAME.npy: the content itself, float16 [frames, channels]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.base.corpus import FRAME_16K, Recordings, waves
from recipes.base.train_content import N_CLUSTERS
from recipes.base.training import add_device, load_encoder
from recipes.base.transcripts import align_recordings
from timbre.config.fast import ContentShape


class Listener:
    """A trained encoder over whole recordings."""

    def __init__(self, cache: Path, name: str, device: torch.device) -> None:
        self.recordings, self.device = Recordings(cache), device
        self.encoder, saved = load_encoder(cache, name, device)
        self.phone_weight = saved["heads"]["phone.weight"]
        self.phone_bias = saved["heads"]["phone.bias"]

    @torch.inference_mode()
    def content(self, file: int) -> Tensor:
        """Return the content of a recording [T, C], in main memory."""
        start, length = self.recordings.first_frame[file], int(self.recordings.n_frames[file])
        wave = waves(self.recordings.wave_16k, np.array([start]), length, FRAME_16K, self.device)
        frontend = self.encoder.frontend
        with torch.autocast(self.device.type, torch.bfloat16):
            content: Tensor = self.encoder(frontend.log_mel(frontend.power(wave)))[0]
        return content.cpu()

    def log_posteriors(self, file: int) -> np.ndarray:
        """Return log probabilities of the phones [T, n_phones]."""
        logits = self.content(file) @ self.phone_weight.T + self.phone_bias
        return torch.log_softmax(logits, dim=-1).numpy()

    def contents(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield first frame, end and content of every recording."""
        for file, (start, length) in enumerate(zip(self.recordings.first_frame, self.recordings.n_frames, strict=True)):
            yield int(start), int(start + length), self.content(file).numpy()


def k_means(points: Tensor, count: int, rounds: int = 20) -> Tensor:
    """Return `count` centres of `points` [N, C] by Lloyd's algorithm."""
    generator = torch.Generator().manual_seed(0)
    centres = points[torch.randperm(len(points), generator=generator)[:count]]
    for _ in range(rounds):
        nearest = nearest_centre(points, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        sizes = torch.bincount(nearest, minlength=count).unsqueeze(1)
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return centres


def nearest_centre(points: Tensor, centres: Tensor) -> Tensor:
    """Return the index of the nearest centre of each point."""
    return ((centres**2).sum(dim=1) - 2 * points @ centres.T).argmin(dim=1)


def main() -> None:
    """Make the asked arrays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--name", required=True, help="name of the content encoder run")
    for part in ("phones", "clusters", "contents"):
        parser.add_argument(f"--{part}", action="store_true")
    add_device(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cache, name = arguments.cache, arguments.name
    listener = Listener(cache, name, arguments.device)
    n_frames = len(listener.recordings.f0)
    if arguments.phones:
        labels, summary = align_recordings(listener, cache / "labels")
        np.save(cache / "labels" / f"aligned_{name}.npy", labels)
        print(json.dumps(summary))
    if arguments.clusters or arguments.contents:
        contents = np.zeros((n_frames, ContentShape().content_channels), dtype=np.float16)
        for start, end, content in listener.contents():
            contents[start:end] = content
        if arguments.contents:
            np.save(cache / "runs" / f"contents_{name}.npy", contents)
        if arguments.clusters:
            some = np.random.default_rng(0).choice(n_frames, min(n_frames, 120_000), replace=False)
            centres = k_means(torch.from_numpy(contents[np.sort(some)]).float(), N_CLUSTERS)
            parts = [
                nearest_centre(torch.from_numpy(contents[i : i + 65_536]).float(), centres).numpy()
                for i in range(0, n_frames, 65_536)
            ]
            np.save(cache / "labels" / f"clusters_{name}.npy", np.concatenate(parts).astype(np.int16))


if __name__ == "__main__":
    main()
