"""Stage 3: train the content encoder.

    python -m recipes.base.train_content --cache CACHE --name first --minutes 5 --synthetic-only
    python -m recipes.base.train_content --cache CACHE --name second --minutes 40 --start first

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
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.base.corpus import FRAME_16K, Recordings, Synthetic, frames, waves
from recipes.base.perturb import Perturbation
from recipes.base.training import Averaged, Meter, cosine_rate, run
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
    pick = torch.randint(0, first.shape[0] * first.shape[1], (768,), generator=generator)
    a, b = first.flatten(0, 1)[pick], second.flatten(0, 1)[pick]
    similarity = functional.normalize(a, dim=-1) @ functional.normalize(b, dim=-1).T / 0.1
    target = torch.arange(len(pick))
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


class ContentTraining:
    """The live objects of this stage."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        cache: Path = arguments.cache
        torch.manual_seed(1)
        torch.set_num_threads(arguments.threads)
        self.n_phones = len(json.loads((cache / "labels" / "phones.json").read_text(encoding="utf-8"))["phones"])
        self.synthetic = Synthetic(cache)
        self.recordings = Recordings(cache)
        self.clusters = np.full(len(self.recordings.f0), -100, dtype=np.int16)
        self.encoder = FastContentEncoder(**vars(ContentShape()))
        self.heads = Heads(ContentShape().content_channels, self.n_phones, self.recordings.n_speakers)
        self.synthetic_only = arguments.synthetic_only
        self.taught = self.teacher_head = None
        if arguments.taught:
            self.taught = np.load(cache / "labels" / "taught.npy", mmap_mode="r")
            self.teacher_head = TeacherHead(ContentShape().content_channels, self.taught.shape[1])
        if not self.synthetic_only:
            self.recordings.phones = np.load(cache / "labels" / f"aligned_{arguments.start}.npy")
            if self.taught is None:
                self.clusters = np.load(cache / "labels" / f"clusters_{arguments.start}.npy")
            saved = torch.load(cache / "runs" / f"content_{arguments.start}.pt", weights_only=True)
            self.encoder.load_state_dict(saved["averaged"])
            self.heads.phone.load_state_dict(
                {key.removeprefix("phone."): value for key, value in saved["heads"].items() if key.startswith("phone.")}
            )
        self.perturbation = Perturbation()
        self.generator = torch.Generator().manual_seed(arguments.seed)
        self.rng = np.random.default_rng(arguments.seed)
        learning = [self.encoder, self.heads] + ([self.teacher_head] if self.teacher_head else [])
        parameters = list(itertools.chain.from_iterable(module.parameters() for module in learning))
        self.rate = arguments.rate
        self.optimizer = torch.optim.AdamW(parameters, self.rate, (0.9, 0.98), weight_decay=0.02, fused=True)
        self.averaged = Averaged(self.encoder, 0.998)
        self.file_weights = self.recordings.weights()

    def parts(self) -> dict[str, object]:
        """Return what a checkpoint holds."""
        return {
            "encoder": self.encoder,
            "heads": self.heads,
            "optimizer": self.optimizer,
            "averaged": self.averaged.module,
        } | ({"teacher_head": self.teacher_head} if self.teacher_head else {})

    def batch(self, n_synthetic: int, n_real: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Return log power [B, T, 257], phones [B, T], clusters [B, T], speakers [B] (-100 where unknown), and what
        the teacher hears in the real ones [n_real, T, D].
        """
        starts = self.synthetic.crops(n_synthetic, CROP_FRAMES, self.rng)
        wave = waves(self.synthetic.wave_16k, starts, CROP_FRAMES, FRAME_16K)
        phones = frames(self.synthetic.phones, starts, CROP_FRAMES)
        clusters = torch.full_like(phones, -100)
        speakers = torch.full((n_synthetic,), -100)
        taught = None
        if n_real:
            files = self.rng.choice(len(self.file_weights), n_real, p=self.file_weights)
            starts = self.recordings.crops(files, CROP_FRAMES, self.rng)
            wave = torch.cat((wave, waves(self.recordings.wave_16k, starts, CROP_FRAMES, FRAME_16K)))
            phones = torch.cat((phones, frames(self.recordings.phones, starts, CROP_FRAMES)))
            clusters = torch.cat((clusters, frames(self.clusters, starts, CROP_FRAMES)))
            speakers = torch.cat((speakers, torch.from_numpy(self.recordings.speaker_of[files])))
            if self.taught is not None:
                taught = frames(self.taught, starts, CROP_FRAMES).float()
        log_power = torch.log(self.encoder.frontend.power(wave) + 1e-9)
        return log_power, phones.long(), clusters.long(), speakers, taught

    def losses(self, n_synthetic: int, n_real: int) -> dict[str, Tensor]:
        """Return the weighted losses of one batch."""
        log_power, phones, clusters, speakers, taught = self.batch(n_synthetic, n_real)
        n_views = 1 if self.synthetic_only else 2
        contents = []
        for _ in range(n_views):
            log_mel = self.encoder.frontend.log_mel(self.perturbation(log_power, self.generator).exp())
            with torch.autocast("cpu", torch.bfloat16):
                contents.append(self.encoder(log_mel))
        losses: dict[str, Tensor] = {}
        both = torch.cat(contents)

        def classify(logits: Tensor, labels: Tensor) -> Tensor:
            return functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), label_smoothing=0.1)

        losses["phone"] = classify(self.heads.phone(both), phones.repeat(n_views, 1))
        if not self.synthetic_only:
            if taught is None:
                losses["cluster"] = 0.5 * classify(self.heads.cluster(both), clusters.repeat(n_views, 1))
            contrast, distance = consistency(contents[0], contents[1], self.generator)
            losses["contrast"], losses["distance"] = 0.3 * contrast, 0.5 * distance
            real = _Reverse.apply(both[(speakers >= 0).repeat(n_views)])
            if taught is not None and self.teacher_head is not None:
                heard = both[(speakers >= 0).repeat(n_views)]
                with torch.autocast("cpu", torch.bfloat16):
                    losses["taught"] = 2.0 * self.teacher_head(heard, taught.repeat(n_views, 1, 1))
            who = self.heads.who(real)
            labels = speakers[speakers >= 0].repeat(n_views).unsqueeze(1).expand(who.shape[:2])
            losses["speaker"] = 0.3 * classify(who, labels)
        return losses

    def step(self, progress: float, step: int, meter: Meter) -> None:
        """Take one optimizer step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * cosine_rate(progress, step)
        losses = self.losses(14, 0) if self.synthetic_only else self.losses(2, 7)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.encoder.parameters(), 5.0)
        self.optimizer.step()
        self.averaged.update(self.encoder, step)
        meter.add(**{name: loss.item() for name, loss in losses.items()})


def main() -> None:
    """Run or resume the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--start", help="name of the encoder run to start from")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--synthetic-only", action="store_true")
    parser.add_argument("--taught", action="store_true", help="learn from the teacher instead of the classes")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    path = arguments.cache / "runs" / f"content_{arguments.name}.pt"
    run(ContentTraining(arguments), path, arguments.minutes, save_every_steps=400)


if __name__ == "__main__":
    main()
