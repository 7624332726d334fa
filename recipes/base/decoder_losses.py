"""What judges an attempt of the decoder: spectra, speakers, phones, the teacher and the discriminators."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.base.corpus import FRAME_16K, FRAME_44K, frames, moved
from recipes.base.decoder_rendering import Attempt
from recipes.base.losses import Discriminators, EnvelopeLoss, level_loss
from recipes.base.resampling import stretch_time
from recipes.base.teacher import HeardAlike
from recipes.base.train_voice_judge import VoiceJudge
from recipes.base.training import Meter
from timbre.dsp.frontend import SpectralFrontend
from timbre.speaker.fast import FastSpeakerEncoder, relative_log_mel
from timbre.train.spectral_loss import spectral_loss

SPEAKER, ADVERSARIAL, MATCHING = 0.05, 0.1, 0.2  # what the losses count that all stages have
SPEAKER_SHARPNESS = 14.0


@dataclass(frozen=True)
class JointBalance:
    """What counts how much when encoder and decoder learn together."""

    encoder_rate_share: float = 0.5
    same: float = 0.5  # what the teacher hears in copies
    said: float = 0.5  # what it hears in conversions
    who: float = 0.12  # what the speaker encoder hears in conversions: the class,
    unlike: float = 0.6  # and the cosine
    voice: float = 0.0  # what the voice judge hears in conversions: the cosine,
    voice_class: float = 0.0  # and the class
    envelope: float = 0.0
    level: float = 0.0  # of conversions, against that of the recording
    phone: float = 0.1
    distance: float = 0.1  # from the encoder's earlier content


BALANCE = JointBalance()
PRECISE_BALANCE = JointBalance(
    encoder_rate_share=1.0, same=1.0, said=1.0, who=0.2, unlike=1.0, envelope=0.6, distance=0.03
)
VOICE_BALANCE = replace(PRECISE_BALANCE, who=0.4, unlike=2.0)
JUDGED_BALANCE = replace(PRECISE_BALANCE, who=0.2, unlike=1.0, voice=1.5, voice_class=0.15, level=0.3)


class SpeakerClasses(nn.Module):
    """A vector for each speaker of the recordings, against which speaker vectors are held."""

    def __init__(self, n_speakers: int, channels: int) -> None:
        super().__init__()
        self.classes = nn.Parameter(torch.randn(n_speakers, channels) * 0.1)

    def forward(self, vector: Tensor, speakers: Tensor) -> Tensor:
        """Vectors [B, D] that should be those of `speakers` [B] -> cross-entropy."""
        likeness = SPEAKER_SHARPNESS * vector @ functional.normalize(self.classes, dim=-1).T
        return functional.cross_entropy(likeness, speakers)


class CopyJudge:
    """Judges copies by their spectra, and vectors by their speaker."""

    def __init__(self, classes: SpeakerClasses) -> None:
        self.classes = classes

    def __call__(self, attempt: Attempt, step: int) -> dict[str, Tensor]:
        """Return the weighted losses of an attempt; speakers are known where nothing is warped."""
        copies = slice(attempt.batch.n_copies)
        made, target, bandwidth_hz = attempt.made[copies], attempt.target[copies], attempt.bandwidth_hz[copies]
        losses = {"spectral": spectral_loss(made, target, bandwidth_hz, step)}
        if attempt.batch.warp == 1:
            losses["speaker"] = SPEAKER * self.classes(attempt.vector, attempt.speakers)
        return losses


class ContentJudge:
    """Keeps a learning encoder near phones and near its earlier content."""

    def __init__(self, phone_head: nn.Linear, phones: np.ndarray, earlier: np.ndarray, balance: JointBalance) -> None:
        self.phone_head, self.phones, self.earlier, self.balance = phone_head, phones, earlier, balance

    def __call__(self, attempt: Attempt) -> dict[str, Tensor]:
        """Return the weighted losses of an attempt, none where it is warped."""
        if attempt.batch.warp != 1:
            return {}
        content, starts = attempt.content, attempt.batch.starts
        n_frames, device = content.shape[1], content.device
        phones = frames(self.phones, starts, n_frames, device).long()
        phone = functional.cross_entropy(
            self.phone_head(content).flatten(0, 1), phones.flatten(), label_smoothing=0.1, ignore_index=-100
        )
        distance = functional.mse_loss(content, frames(self.earlier, starts, n_frames, device).float())
        return {"phone": self.balance.phone * phone, "distance": self.balance.distance * distance}


class ListeningJudge:
    """Judges what was made as those hear it who know words or voices: the teacher and one or two speaker encoders."""

    def __init__(
        self,
        heard_alike: HeardAlike,
        speaker: FastSpeakerEncoder,
        classes: SpeakerClasses,
        voice_judge: VoiceJudge | None,
        balance: JointBalance,
    ) -> None:
        self.heard_alike, self.speaker, self.classes, self.balance = heard_alike, speaker, classes, balance
        self.voice_judge = voice_judge
        self.frontend = SpectralFrontend().to(classes.classes.device)
        self.envelope_loss = EnvelopeLoss(self.frontend)

    def __call__(self, attempt: Attempt) -> dict[str, Tensor]:
        """Return the weighted losses of an attempt."""
        batch, balance = attempt.batch, self.balance
        length = attempt.made.shape[1] // FRAME_44K * FRAME_16K
        made, target = stretch_time(attempt.made, length), stretch_time(attempt.target, length)
        copies, exchanged = slice(batch.n_copies), slice(batch.n_copies, None)
        under_noise = (made, target) if batch.noise_db is None else _under_noise(made, target, batch.noise_db)
        same, said = self.heard_alike(*under_noise, batch.n_copies)
        power = self.frontend.power(made[exchanged])
        log_mel = self.frontend.log_mel(power)
        with torch.autocast(made.device.type, torch.bfloat16):
            vector = self.speaker(relative_log_mel(log_mel))
        unlike = 1 - (vector * attempt.vector[exchanged].detach()).sum(dim=-1).mean()
        losses = {"same": balance.same * same, "said": balance.said * said, "unlike": balance.unlike * unlike}
        if balance.envelope:
            envelope = self.envelope_loss(made[copies], target[copies], attempt.bandwidth_hz[copies])
            losses["envelope"] = balance.envelope * envelope
        if balance.level:
            loudness = self.frontend.loudness(self.frontend.power(target[exchanged]))
            losses["level"] = balance.level * level_loss(self.frontend.loudness(power), loudness)
        if batch.warp == 1:
            losses["who"] = balance.who * self.classes(vector, attempt.speakers[exchanged])
        if self.voice_judge is not None:
            losses |= self._judged_voice(self.voice_judge, log_mel, attempt)
        return losses

    def _judged_voice(self, judge: VoiceJudge, log_mel: Tensor, attempt: Attempt) -> dict[str, Tensor]:
        """Hold what is heard of the conversions, log-mel frames [b, T, 80], against the references of their voices."""
        exchanged = slice(attempt.batch.n_copies, None)
        with torch.autocast(log_mel.device.type, torch.bfloat16):
            heard = judge(log_mel).float()
            with torch.no_grad():
                wanted = judge(attempt.voices_log_mel[exchanged]).float()
        losses = {"voice": self.balance.voice * (1 - (heard * wanted).sum(dim=-1).mean())}
        if attempt.batch.warp == 1:
            told = judge.told_apart(heard, attempt.speakers[exchanged], margin=0.0)
            losses["voice_class"] = self.balance.voice_class * told
        return losses


def _under_noise(made: Tensor, target: Tensor, noise_db: np.ndarray) -> tuple[Tensor, Tensor]:
    """Put the same white noise over both, so that the teacher's judgement cannot rest on what noise would hide."""
    level_db = moved(noise_db, made.device).float()
    power = target.square().mean(dim=1, keepdim=True)
    noise = torch.randn(target.shape, device=target.device) * (power * 10 ** (level_db / 10)).sqrt()
    return made + noise, target + noise


class Adversary:
    """Discriminators that learn from each attempt."""

    def __init__(self, discriminators: Discriminators) -> None:
        self.discriminators = discriminators
        self.optimizer = torch.optim.AdamW(discriminators.parameters(), 1e-4, (0.5, 0.9), weight_decay=0.01, fused=True)

    def __call__(self, attempt: Attempt, step: int, meter: Meter) -> dict[str, Tensor]:
        """Let one discriminator learn, and return the weighted losses of the decoder."""
        made, target, bandwidth_hz = attempt.made, attempt.target, attempt.bandwidth_hz
        with torch.autocast(made.device.type, torch.bfloat16):
            judge = self.discriminators.judge(target, made.detach(), bandwidth_hz, step)
        self.optimizer.zero_grad(set_to_none=True)
        judge.backward()
        self.optimizer.step()
        meter.add(judge=judge)
        originals = target[: attempt.batch.n_copies]
        with torch.autocast(made.device.type, torch.bfloat16):
            adversarial, matching = self.discriminators.convince(originals, made, bandwidth_hz, step)
        return {"adversarial": ADVERSARIAL * adversarial, "matching": MATCHING * matching}
