"""Stage 3: train the content encoder.

    python -m recipes.base.train_content --cache CACHE --name first --steps 800 --synthetic-only
    python -m recipes.base.train_content --cache CACHE --name second --steps 2200 --start first

Reads the synthetic speech, the recordings and, unless --synthetic-only, CACHE/labels/aligned_START.npy (phones of the
recordings by forced alignment) and CACHE/labels/clusters_START.npy (k-means classes of the START encoder's content);
both are made by `recipes.base.relabel`. With --taught the classes give way to what the teacher hears in the clean
recording (CACHE/labels/taught.npy, made by `recipes.base.taught`). Writes CACHE/runs/content_NAME.pt, resumable, and
prints JSON lines.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.base.corpus import FRAME_16K, Recordings, Synthetic, frames, moved, waves
from recipes.base.perturb import Perturbation
from recipes.base.training import (
    Averaged,
    Chance,
    Meter,
    cosine_rate,
    descend,
    load_checkpoint,
    prepare_device,
    run,
    set_rate,
    stage_parser,
)
from timbre.config.fast import ContentShape
from timbre.content.fast import FastContentEncoder
from timbre.nn.conv import FrameConv

N_CLUSTERS = 256
CROP_FRAMES = 256
N_TAUGHT_LAYERS = 2


class _Reverse(torch.autograd.Function):
    """Identity forwards, negated gradient backwards (Ganin and Lempitsky 2015)."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return -gradient


class Heads(nn.Module):
    """What the encoder's content is asked during training."""

    def __init__(self, channels: int, n_phones: int, n_speakers: int) -> None:
        super().__init__()
        self.phone = nn.Linear(channels, n_phones)
        self.cluster = nn.Linear(channels, N_CLUSTERS)
        self.speaker = nn.Sequential(nn.Linear(2 * channels, 256), nn.GELU(), nn.Linear(256, n_speakers))

    def who(self, content: Tensor) -> Tensor:
        """Guess the speaker from mean and deviation over stretches of 64 frames."""
        pooled = content.unflatten(1, (-1, 64))
        return self.speaker(torch.cat((pooled.mean(dim=2), pooled.std(dim=2)), dim=-1))  # type: ignore[no-any-return]


def consistency(first: Tensor, second: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """InfoNCE (temperature 0.1) and squared distance between two views [B, T, C] of the same sound."""
    pick = torch.randint(0, first.shape[0] * first.shape[1], (768,), generator=generator, device=first.device)
    a, b = first.flatten(0, 1)[pick], second.flatten(0, 1)[pick]
    similarity = functional.normalize(a, dim=-1) @ functional.normalize(b, dim=-1).T / 0.1
    target = torch.arange(len(pick), device=first.device)
    contrast = 0.5 * (functional.cross_entropy(similarity, target) + functional.cross_entropy(similarity.T, target))
    return contrast, functional.mse_loss(first, second)


class TeacherHead(nn.Module):
    """Guesses from nine frames of content what the teacher hears, so that the content need not look far itself."""

    def __init__(self, channels: int, taught_channels: int) -> None:
        super().__init__()
        self.gather = FrameConv(channels, 4 * channels, 9, lookahead_frames=4)
        self.guess = nn.Linear(4 * channels, taught_channels)

    def forward(self, content: Tensor, taught: Tensor) -> Tensor:
        """Content [B, T, C] and what is to be guessed [B, T, D] -> mean squared error, 1 for no idea at all."""
        guessed = self.guess(functional.gelu(self.gather(content))).float()
        return ((guessed - taught) ** 2).sum(dim=-1).mean() / N_TAUGHT_LAYERS


@dataclass(frozen=True)
class Crops:
    """A batch: stretches of synthetic speech, then of recordings; labels are -100 where unknown."""

    log_power: Tensor  # [B, T, 257]
    phones: Tensor  # [B, T]
    clusters: Tensor | None  # [B, T]
    speakers: Tensor  # [recordings]
    taught: Tensor | None  # [recordings, T, D] what the teacher hears


def _classify(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), label_smoothing=0.1)


class ContentTraining:
    """The live objects of this stage."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        cache: Path = arguments.cache
        self.device, self.rate, self.synthetic_only = arguments.device, arguments.rate, arguments.synthetic_only
        prepare_device(self.device, seed=1, threads=arguments.threads)
        self.synthetic = Synthetic(cache)
        self.recordings = Recordings(cache)
        self.file_weights = self.recordings.weights()
        self.taught = np.load(cache / "labels" / "taught.npy", mmap_mode="r") if arguments.taught else None
        self.clusters: np.ndarray | None = None
        self._make_networks(cache)
        if not self.synthetic_only:
            self._start_from(cache, arguments.start)
        self.chance = Chance(arguments.seed, self.device)
        self.perturbation = Perturbation(self.device)
        learning = [self.encoder, self.heads] + ([self.teacher_head] if self.teacher_head else [])
        parameters = list(itertools.chain.from_iterable(module.parameters() for module in learning))
        self.optimizer = torch.optim.AdamW(parameters, self.rate, (0.9, 0.98), weight_decay=0.02, fused=True)
        self.averaged = Averaged(self.encoder, 0.998)

    def _make_networks(self, cache: Path) -> None:
        """Make all networks; first weights are drawn on the processor, in this order, whatever the device."""
        n_phones = len(json.loads((cache / "labels" / "phones.json").read_text(encoding="utf-8"))["phones"])
        channels = ContentShape().content_channels
        self.encoder = FastContentEncoder(**vars(ContentShape())).to(self.device)
        self.heads = Heads(channels, n_phones, self.recordings.n_speakers).to(self.device)
        self.teacher_head: TeacherHead | None = None
        if self.taught is not None:
            self.teacher_head = TeacherHead(channels, self.taught.shape[1]).to(self.device)

    def _start_from(self, cache: Path, name: str) -> None:
        """Take the encoder and the phones of the run `name`, and what it made of the recordings."""
        self.recordings.phones = np.load(cache / "labels" / f"aligned_{name}.npy")
        if self.taught is None:
            self.clusters = np.load(cache / "labels" / f"clusters_{name}.npy")
        saved = load_checkpoint(cache / "runs" / f"content_{name}.pt")
        self.encoder.load_state_dict(saved["averaged"])
        self.heads.phone.load_state_dict(
            {key.removeprefix("phone."): value for key, value in saved["heads"].items() if key.startswith("phone.")}
        )

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {
            "encoder": self.encoder,
            "heads": self.heads,
            "optimizer": self.optimizer,
            "averaged": self.averaged.module,
            "chance": self.chance,
        } | ({"teacher_head": self.teacher_head} if self.teacher_head else {})

    def draw(self, n_synthetic: int, n_real: int) -> Crops:
        """Draw stretches of synthetic speech and of recordings."""
        rng, recordings, device = self.chance.rng, self.recordings, self.device
        starts = self.synthetic.crops(n_synthetic, CROP_FRAMES, rng)
        wave = waves(self.synthetic.wave_16k, starts, CROP_FRAMES, FRAME_16K, device)
        phones = frames(self.synthetic.phones, starts, CROP_FRAMES, device)
        speakers, clusters, taught = phones.new_zeros(0, dtype=torch.long), None, None
        if n_real:
            files = rng.choice(len(self.file_weights), n_real, p=self.file_weights)
            starts = recordings.crops(files, CROP_FRAMES, rng)
            wave = torch.cat((wave, waves(recordings.wave_16k, starts, CROP_FRAMES, FRAME_16K, device)))
            phones = torch.cat((phones, frames(recordings.phones, starts, CROP_FRAMES, device)))
            speakers = moved(recordings.speaker_of[files], device)
            if self.clusters is not None:
                unknown = torch.full((n_synthetic, CROP_FRAMES), -100, device=device)
                clusters = torch.cat((unknown, frames(self.clusters, starts, CROP_FRAMES, device)))
            if self.taught is not None:
                taught = frames(self.taught, starts, CROP_FRAMES, device).float()
        log_power = torch.log(self.encoder.frontend.power(wave) + 1e-9)
        return Crops(log_power, phones.long(), clusters, speakers, taught)

    def losses(self, n_synthetic: int, n_real: int) -> dict[str, Tensor]:
        """Return the weighted losses of one batch."""
        crops = self.draw(n_synthetic, n_real)
        contents = [self._hear_perturbed(crops.log_power) for _ in range(1 if self.synthetic_only else 2)]
        views = torch.stack(contents)  # [views, B, T, C]
        losses = {"phone": _classify(self.heads.phone(views), crops.phones.expand(views.shape[:3]))}
        if self.synthetic_only:
            return losses
        if crops.clusters is not None:
            losses["cluster"] = 0.5 * _classify(self.heads.cluster(views), crops.clusters.expand(views.shape[:3]))
        contrast, distance = consistency(contents[0], contents[1], self.chance.generator)
        losses["contrast"], losses["distance"] = 0.3 * contrast, 0.5 * distance
        real = views[:, n_synthetic:]
        if crops.taught is not None and self.teacher_head is not None:
            with torch.autocast(self.device.type, torch.bfloat16):
                goal = crops.taught.expand(len(views), *crops.taught.shape)
                losses["taught"] = 2.0 * self.teacher_head(real.flatten(0, 1), goal.flatten(0, 1))
        who = self.heads.who(_Reverse.apply(real).flatten(0, 1)).unflatten(0, (len(views), -1))
        losses["speaker"] = 0.3 * _classify(who, crops.speakers.unsqueeze(1).expand(who.shape[:3]))
        return losses

    def _hear_perturbed(self, log_power: Tensor) -> Tensor:
        """Return the content [B, T, C] of a perturbed copy."""
        log_mel = self.encoder.frontend.log_mel(self.perturbation(log_power, self.chance.generator).exp())
        with torch.autocast(self.device.type, torch.bfloat16):
            content: Tensor = self.encoder(log_mel)
        return content

    def step(self, progress: float, step: int, meter: Meter) -> None:
        """Take one optimizer step."""
        set_rate(self.optimizer, self.rate * cosine_rate(progress, step))
        losses = self.losses(14, 0) if self.synthetic_only else self.losses(2, 7)
        descend(losses, self.optimizer, self.encoder)
        self.averaged.update(self.encoder, step)
        meter.add(**losses)


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read this stage's arguments, those of the command line where none are given."""
    parser = stage_parser(__doc__, rate=2e-3, seed=1)
    parser.add_argument("--synthetic-only", action="store_true")
    parser.add_argument("--taught", action="store_true", help="learn from the teacher instead of the classes")
    arguments = parser.parse_args(given)
    if arguments.start is None and not arguments.synthetic_only:
        parser.error("give the encoder run to start from by --start, or --synthetic-only for the first")
    return arguments


def main() -> None:
    """Run or resume the stage."""
    arguments = parse()
    path = arguments.cache / "runs" / f"content_{arguments.name}.pt"
    run(ContentTraining(arguments), path, arguments.steps, save_every_steps=400)


if __name__ == "__main__":
    main()
