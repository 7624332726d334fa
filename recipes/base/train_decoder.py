"""Stages 5 and 7: train decoder and speaker encoder.

    python -m recipes.base.train_decoder --cache CACHE --content second --name plain --steps 2300
    python -m recipes.base.train_decoder --cache CACHE --content second --name final --start plain --steps 3700 \
        --adversarial --converted plain

Each item rebuilds a stretch of a recording from its content, pitch and loudness and from another stretch of the same
speaker. In some batches both are resampled by the same factor: a pseudo-speaker with other formants. With --converted,
content often comes from a copy of the recording that an earlier decoder gave another voice (made by
`recipes.base.convert_copies`), so that the decoder learns to take timbre from the reference alone.
With --joint the content encoder learns too: it hears a perturbed copy (other formants, pitch and colour), so it can
pass on to the decoder whatever helps except the voice; phone labels and its own earlier content keep it in place.
With --teacher the teacher (`recipes.base.teacher`) hears what was made and must hear the same as in the original, and
part of each batch takes the voice of somebody else: there the teacher, the speaker encoder and the discriminators are
all that judges. The same stretches come again as copies in the next step.
With --recentre the content's mean is moved to that of the voice, as a conversion does (`timbre.voice.recentre`). With
--precise the teacher counts more and hears noise over what was made, the envelope in mel bands is judged too, and the
encoder is freer to leave its earlier content. With --echo some of what comes again is heard in the stranger's voice,
and the original is to be won back, so that whatever of a voice is left in the content misleads; likeness counts more.
With --voice-judge a speaker encoder that stands still (`recipes.base.train_voice_judge`) hears the conversions too.
Writes CACHE/runs/decoder_NAME.pt, resumable, and prints JSON lines.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recipes.base.corpus import Recordings
from recipes.base.decoder_batches import BatchSampler
from recipes.base.decoder_content import Content, LearnedContent, StoredContent
from recipes.base.decoder_losses import (
    BALANCE,
    JUDGED_BALANCE,
    PRECISE_BALANCE,
    VOICE_BALANCE,
    Adversary,
    ContentJudge,
    CopyJudge,
    JointBalance,
    ListeningJudge,
    SpeakerClasses,
)
from recipes.base.decoder_rendering import Renderer, VoiceNetworks
from recipes.base.losses import Discriminators
from recipes.base.recentring import ContentMeans
from recipes.base.teacher import HeardAlike, load_teacher
from recipes.base.train_voice_judge import load_voice_judge
from recipes.base.training import (
    Averaged,
    Chance,
    Meter,
    cosine_rate,
    descend,
    load_checkpoint,
    load_encoder,
    prepare_device,
    run,
    set_rate,
    stage_parser,
)
from timbre.config.fast import ContentShape, SpeakerShape


class DecoderTraining:
    """The live objects of this stage."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        cache: Path = arguments.cache
        self.device, self.joint, self.rate = arguments.device, arguments.joint, arguments.rate
        prepare_device(self.device, seed=2, threads=arguments.threads)
        self.recordings = Recordings(cache)
        self.stored = np.load(cache / "runs" / f"contents_{arguments.content}.npy", mmap_mode="r")
        self.balance = _balance(arguments)
        self._make_networks(arguments)
        if arguments.start:
            self._start_from(cache / "runs" / f"decoder_{arguments.start}.pt")
        self.optimizer = self._optimizer()
        self.averaged = Averaged(self.networks, 0.998)
        self.averaged_encoder = Averaged(self.encoder, 0.998)
        self.chance = Chance(arguments.seed, self.device)
        self._make_renderer(arguments)
        self._make_judges(arguments)

    def _make_networks(self, arguments: argparse.Namespace) -> None:
        """Make all networks; first weights are drawn on the processor, in this order, whatever the device."""
        self.encoder, saved = load_encoder(arguments.cache, arguments.content, self.device)
        heads = saved["heads"]
        self.phone_head = nn.Linear(ContentShape().content_channels, len(heads["phone.bias"]))
        self.phone_head.load_state_dict({key: heads[f"phone.{key}"] for key in ("weight", "bias")})
        self.phone_head.to(self.device)
        if self.joint:
            self.encoder.train().requires_grad_(True)
        self.networks = VoiceNetworks().to(self.device)
        self.classes = SpeakerClasses(self.recordings.n_speakers, SpeakerShape().speaker_channels).to(self.device)
        self.discriminators = Discriminators().to(self.device)

    def _start_from(self, path: Path) -> None:
        """Take the averaged weights of an earlier run."""
        start = load_checkpoint(path)
        self.networks.load_state_dict(start["averaged"])
        self.classes.load_state_dict(start["classes"])
        if self.joint and "averaged_encoder" in start:
            self.encoder.load_state_dict(start["averaged_encoder"])
        if "discriminators" in start:
            self.discriminators.load_state_dict(start["discriminators"])

    def _optimizer(self) -> torch.optim.Optimizer:
        groups: list[dict[str, Any]] = [
            {"params": [*self.networks.parameters(), *self.classes.parameters()], "share": 1.0}
        ]
        if self.joint:
            learned = [*self.encoder.parameters(), *self.phone_head.parameters()]
            groups.append({"params": learned, "share": self.balance.encoder_rate_share})
        return torch.optim.AdamW(groups, self.rate, (0.8, 0.98), weight_decay=0.01, fused=True)

    def _make_renderer(self, arguments: argparse.Namespace) -> None:
        """Make what leads from chance to sound."""
        self.sampler = BatchSampler(
            self.recordings,
            self.chance.rng,
            strangers=arguments.teacher,
            converted=bool(arguments.converted),
            recentred=arguments.recentre,
            noisy=arguments.precise,
        )
        content: Content
        if self.joint:
            content = LearnedContent(self.encoder, self.recordings, self.chance.generator, recentred=arguments.recentre)
        else:
            path = arguments.cache / "runs" / f"converted_{arguments.converted}.npy"
            converted = np.load(path, mmap_mode="r") if arguments.converted else None
            content = StoredContent(self.encoder, self.stored, converted)
        self.means = ContentMeans(self.recordings, self.encoder.frontend) if arguments.recentre else None
        self.renderer = Renderer(self.recordings, self.networks, content, self.means, echoes=arguments.echo)

    def _make_judges(self, arguments: argparse.Namespace) -> None:
        """Make what judges the sound."""
        cache: Path = arguments.cache
        self.judge_copies = CopyJudge(self.classes)
        self.judge_content: ContentJudge | None = None
        self.judge_by_ear: ListeningJudge | None = None
        if self.joint:
            phones = np.load(cache / "labels" / f"aligned_{arguments.labels}.npy")
            self.judge_content = ContentJudge(self.phone_head, phones, self.stored, self.balance)
        if arguments.teacher:
            heard_alike = HeardAlike(load_teacher(cache, self.device))
            judge = load_voice_judge(cache, arguments.voice_judge, self.device) if arguments.voice_judge else None
            speaker = self.averaged.module.speaker
            self.judge_by_ear = ListeningJudge(heard_alike, speaker, self.classes, judge, self.balance)
        self.adversary = Adversary(self.discriminators)
        self.compete = arguments.adversarial

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {
            "networks": self.networks,
            "classes": self.classes,
            "optimizer": self.optimizer,
            "discriminators": self.discriminators,
            "judge_optimizer": self.adversary.optimizer,
            "averaged": self.averaged.module,
            "chance": self.chance,
        } | ({"encoder": self.encoder, "averaged_encoder": self.averaged_encoder.module} if self.joint else {})

    def step(self, progress: float, step: int, meter: Meter) -> None:
        """Take one optimizer step (and one of the discriminators)."""
        set_rate(self.optimizer, self.rate * cosine_rate(progress, step))
        if self.means is not None:
            self.means.keep_fresh(self.averaged_encoder.module)
        attempt = self.renderer.attempt(self.sampler.draw())
        losses = self.judge_copies(attempt, step)
        if self.judge_content is not None:
            losses |= self.judge_content(attempt)
        if self.judge_by_ear is not None:
            losses |= self.judge_by_ear(attempt)
        if self.compete:
            losses |= self.adversary(attempt, step, meter)
        descend(losses, self.optimizer, self.networks)
        self.averaged.update(self.networks, step)
        if self.joint:
            self.averaged_encoder.update(self.encoder, step)
        meter.add(**losses)


def _balance(arguments: argparse.Namespace) -> JointBalance:
    if arguments.voice_judge:
        return JUDGED_BALANCE
    return VOICE_BALANCE if arguments.echo else PRECISE_BALANCE if arguments.precise else BALANCE


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read this stage's arguments, those of the command line where none are given."""
    parser = stage_parser(__doc__, rate=1.2e-3, seed=2)
    parser.add_argument("--content", required=True, help="name of the content encoder run")
    parser.add_argument("--converted", help="name of the converted copies to take content from")
    parser.add_argument("--adversarial", action="store_true")
    parser.add_argument("--joint", action="store_true", help="let the content encoder learn too")
    parser.add_argument("--teacher", action="store_true", help="let the teacher hear what is made")
    parser.add_argument("--recentre", action="store_true", help="move the content's mean to that of the voice")
    parser.add_argument("--precise", action="store_true", help="let teacher and envelope count more")
    parser.add_argument("--echo", action="store_true", help="win the own voice back from strangers', which count more")
    parser.add_argument("--voice-judge", metavar="NAME", help="with --echo: let this voice judge hear it too")
    parser.add_argument("--labels", default="second", help="name of the alignment to use with --joint")
    arguments = parser.parse_args(given)
    if arguments.precise and not arguments.teacher:
        parser.error("--precise is about what the teacher hears; it needs --teacher")
    if arguments.echo and not arguments.precise:
        parser.error("--echo adds to --precise; give that too")
    if arguments.voice_judge and not arguments.echo:
        parser.error("--voice-judge changes the balance of --echo; give that too")
    if arguments.recentre and not arguments.joint:
        parser.error("--recentre is about an encoder that learns; it needs --joint")
    return arguments


def main() -> None:
    """Run or resume the stage."""
    arguments = parse()
    path = arguments.cache / "runs" / f"decoder_{arguments.name}.pt"
    run(DecoderTraining(arguments), path, arguments.steps, save_every_steps=250)


if __name__ == "__main__":
    main()
