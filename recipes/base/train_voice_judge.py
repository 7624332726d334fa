"""Train a speaker encoder that judges voices while encoder and decoder learn; no stage of what ships needs it.

    python -m recipes.base.train_voice_judge --cache CACHE --name judge --steps 2500

The speaker encoder that ships learns beside the decoder, from plain copies and for the decoder's use. This one is
larger, stands still, and was told apart under noise and colour: recordings at three speeds are three voices (speed
perturbation, Ko et al. 2015), with an additive angular margin (Deng et al. 2019). So what convinces it lies in the
voice and less in the room. Writes CACHE/runs/voice_judge_NAME.pt, resumable, and prints JSON lines.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.base.corpus import FRAME_16K, Recordings, waves
from recipes.base.resampling import stretch_time
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
from timbre.dsp.frontend import N_MELS, SpectralFrontend
from timbre.speaker.fast import FastSpeakerEncoder, relative_log_mel

SHAPE = {"width": 256, "inner_width": 256, "n_blocks": 5, "speaker_channels": 192}
SPEEDS = (1.0, 0.9, 1.1)
BATCH = 48
FRAMES = (80, 240)  # as short as what the decoder makes in a step of training, and longer
MARGIN, SCALE = 0.2, 16.0  # radians; of the cosines
COLOUR = 0.7  # natural log of power, of each of five cosines over the bands
NOISE = (-9.0, -3.0)  # natural log of power, against the loudest frame
MASKED_BANDS = 12


class Disguise:
    """Random colour, noise and missing bands over log-mel frames [B, T, 80]: what is not the voice."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        place = torch.arange(N_MELS, device=generator.device) / (N_MELS - 1)
        self.cosines = torch.cos(torch.pi * torch.arange(1, 6, device=generator.device).unsqueeze(1) * place)

    def __call__(self, log_mel: Tensor) -> Tensor:
        """Return a disguised copy."""
        batch = len(log_mel)
        colour = COLOUR * (2 * self._uniform(batch, 5) - 1) @ self.cosines
        coloured = log_mel + colour.unsqueeze(1)
        loud = coloured.mean(dim=2).amax(dim=1).view(-1, 1, 1)
        low, high = NOISE
        noise = loud + low + (high - low) * self._uniform(batch, 1, 1) + 0.5 * self._uniform(*log_mel.shape)
        noisy = torch.where(self._uniform(batch, 1, 1) < 0.5, torch.logaddexp(coloured, noise), coloured)
        first = (self._uniform(batch, 1, 1) * N_MELS).long()
        bands = torch.arange(N_MELS, device=log_mel.device)
        masked = (bands >= first) & (bands < first + (self._uniform(batch, 1, 1) * MASKED_BANDS).long())
        return torch.where(masked, noisy.mean(dim=(1, 2), keepdim=True), noisy)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)


class VoiceJudge(nn.Module):
    """A speaker encoder and a direction for each voice it was told apart by."""

    def __init__(self, n_speakers: int) -> None:
        super().__init__()
        self.encoder = FastSpeakerEncoder(**SHAPE)
        self.classes = nn.Parameter(torch.randn(n_speakers * len(SPEEDS), SHAPE["speaker_channels"]) * 0.1)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Log-mel frames [B, T, 80] -> unit vectors [B, D]."""
        vector: Tensor = self.encoder(relative_log_mel(log_mel))
        return vector

    def told_apart(self, vector: Tensor, voices: Tensor, margin: float) -> Tensor:
        """Vectors [B, D] that should be those of `voices` [B], by `margin` radians nearer -> cross-entropy."""
        cosine = (vector @ functional.normalize(self.classes, dim=-1).T).clamp(-0.999, 0.999)
        own = functional.one_hot(voices, len(self.classes))
        return functional.cross_entropy(SCALE * torch.cos(torch.acos(cosine) + margin * own), voices)


class VoiceJudgeTraining:
    """The live objects of this stage."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        prepare_device(arguments.device, seed=3, threads=arguments.threads)
        self.device, self.rate = arguments.device, arguments.rate
        self.recordings = Recordings(arguments.cache)
        self.frontend = SpectralFrontend().to(self.device)
        self.judge = VoiceJudge(self.recordings.n_speakers).to(self.device)
        if arguments.start:
            saved = load_checkpoint(path_of(arguments.cache, arguments.start))
            self.judge.load_state_dict(saved["averaged"])
        self.averaged = Averaged(self.judge, 0.998)
        self.optimizer = torch.optim.AdamW(self.judge.parameters(), self.rate, (0.9, 0.98), weight_decay=0.05)
        self.chance = Chance(arguments.seed, self.device)
        self.disguise = Disguise(self.chance.generator)
        self.weights = self.recordings.weights(power=0.7)  # nearly as often for each speaker

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {
            "judge": self.judge,
            "averaged": self.averaged.module,
            "optimizer": self.optimizer,
            "chance": self.chance,
        }

    def step(self, progress: float, step: int, meter: Meter) -> None:
        """Take one optimizer step."""
        set_rate(self.optimizer, self.rate * cosine_rate(progress, step))
        rng = self.chance.rng
        n_frames = int(rng.integers(*FRAMES, endpoint=True))
        speed = int(rng.integers(len(SPEEDS)))
        files = rng.choice(len(self.weights), BATCH, p=self.weights)
        n_taken = round(n_frames * SPEEDS[speed])
        starts = self.recordings.crops(files, n_taken, rng)
        wave = waves(self.recordings.wave_16k, starts, n_taken, FRAME_16K, self.device)
        power = self.frontend.power(stretch_time(wave, n_frames * FRAME_16K))
        voices = self.recordings.speaker_of[files] + speed * self.recordings.n_speakers
        with torch.autocast(self.device.type, torch.bfloat16):
            vector = self.judge(self.disguise(self.frontend.log_mel(power)))
        margin = MARGIN * min(1.0, max(0.0, 2 * progress - 0.6))
        known = torch.from_numpy(voices).to(self.device)
        losses = {"voice": self.judge.told_apart(vector.float(), known, margin)}
        descend(losses, self.optimizer, self.judge)
        self.averaged.update(self.judge, step)
        with torch.no_grad():
            nearest = (vector.float() @ functional.normalize(self.judge.classes, dim=-1).T).argmax(dim=1)
        meter.add(**losses, right=(nearest == known).float().mean())


def path_of(cache: Path, name: str) -> Path:
    """Return where the run `name` is kept."""
    return cache / "runs" / f"voice_judge_{name}.pt"


def load_voice_judge(cache: Path, name: str, device: torch.device) -> VoiceJudge:
    """Return the averaged weights of the run `name`, for use."""
    averaged = load_checkpoint(path_of(cache, name))["averaged"]
    judge = VoiceJudge(len(averaged["classes"]) // len(SPEEDS)).eval().requires_grad_(False)
    judge.load_state_dict(averaged)
    return judge.to(device)


def main() -> None:
    """Run or resume the stage."""
    arguments = stage_parser(__doc__, rate=2e-3, seed=5).parse_args()
    path = path_of(arguments.cache, arguments.name)
    run(VoiceJudgeTraining(arguments), path, arguments.steps, save_every_steps=500)


if __name__ == "__main__":
    main()
