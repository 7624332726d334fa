"""Stages 5 and 7: train decoder and speaker encoder.

    python -m recipes.base.train_decoder --cache CACHE --content second --name plain --minutes 40
    python -m recipes.base.train_decoder --cache CACHE --content second --name final --start plain --minutes 25 \
        --adversarial --converted plain

Each item rebuilds a stretch of a recording from its content, pitch and loudness and from another stretch of the same
speaker. In some batches both are resampled by the same factor: a pseudo-speaker with other formants. With --converted,
content often comes from a copy of the recording that an earlier decoder gave another voice (made by
`recipes.base.convert_copies`), so that the decoder learns to take timbre from the reference alone.
With --joint the content encoder learns too: it hears a perturbed copy (other formants, pitch and colour), so it can
pass on to the decoder whatever helps except the voice; phone labels and its own earlier content keep it in place.
With --teacher the teacher (`recipes.base.teacher`) hears what was made and must hear the same as in the original, and
part of each batch takes the voice of somebody else: there the teacher, the speaker encoder and the discriminators are
all that judges. In the next step the original is to be won back from some of these, so that whatever of a voice is left
in the content misleads.
Writes CACHE/runs/decoder_NAME.pt, resumable, and prints JSON lines.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.base.corpus import FRAME_16K, FRAME_44K, Recordings, frames, waves
from recipes.base.losses import Discriminators
from recipes.base.perturb import Perturbation
from recipes.base.teacher import HeardAlike, load_teacher
from recipes.base.training import Averaged, Meter, cosine_rate, load_encoder, run
from timbre.config.fast import HOP_SAMPLES, N_FFT, SAMPLE_RATE_HZ, ContentShape, DecoderShape, SpeakerShape
from timbre.dsp.frontend import SpectralFrontend
from timbre.models.fast.decoder import FastDecoder
from timbre.models.fast.synthesis import LOOKAHEAD_FRAMES, FastSynthesis
from timbre.speaker.fast import FastSpeakerEncoder, relative_log_mel
from timbre.train.spectral_loss import spectral_loss

BATCH = 12
TEACHER_BATCH = 9  # with the teacher
EXCHANGED = 4  # of these, items that take somebody else's voice
ECHOES = 4  # of these, items that win their own voice back in the next step
CONTEXT_FRAMES = 24
JUDGED_FRAMES = 112
CROP_FRAMES = CONTEXT_FRAMES + JUDGED_FRAMES + LOOKAHEAD_FRAMES
REFERENCE_FRAMES = 320
REFERENCE_CROP_FRAMES = 400  # what it takes of a recording to cut that out and resample it
ENCODER_AHEAD_FRAMES = 8
JOINT_RATE_SHARE = 0.5
JOINT_STRENGTH = 0.75
WARPED_SHARE = 0.3
WARPS = (0.84, 0.875, 0.9, 1.1, 1.125, 1.16)
CONVERTED_SHARE = 0.35
SAME, SAID = 0.5, 0.5  # weights of what the teacher hears: in copies, in conversions
WHO, UNLIKE = 0.12, 0.6  # weights of what the speaker encoder hears in conversions
UNUSUAL_PITCH_SHARE = 0.3
SINGING_SOURCES = ("vocobox", "sms_tools")


class VoiceNetworks(nn.Module):
    """What this stage trains and ships."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = FastDecoder(**vars(DecoderShape()))
        self.speaker = FastSpeakerEncoder(**vars(SpeakerShape()))


@dataclass
class Stretch:
    """A batch of stretches of sound as the networks hear them."""

    content: Tensor  # [B, T, C]
    f0_hz: Tensor  # [B, T]
    loudness: Tensor  # [B, T]
    log_mel: Tensor  # [B, T, 80]


@dataclass
class Echo:
    """Recordings that were just given another voice; from these, the original is to be won back."""

    files: np.ndarray
    starts: np.ndarray
    wave: Tensor  # [B, N] at 16 kHz


@dataclass
class Attempt:
    """What the networks made of a batch, and of what."""

    made: Tensor  # [B, N] at 44.1 kHz
    target: Tensor  # [B, N] the recordings; the last items have another voice
    bandwidth_hz: Tensor  # [B] of what is known about both
    vector: Tensor  # [B, D] of the voices
    speakers: Tensor  # [B] of the voices
    content: Tensor  # [B, T, C] of the recordings
    starts: np.ndarray  # [B] their first frames
    warp: float


def stretch_time(x: Tensor, length: int) -> Tensor:
    """Resample [B, N] to [B, length] by cutting or extending its spectrum."""
    if x.shape[1] == length:
        return x
    spectrum = torch.fft.rfft(x)
    bins = length // 2 + 1
    spectrum = functional.pad(spectrum, (0, max(0, bins - spectrum.shape[1])))[:, :bins]
    return torch.fft.irfft(spectrum, n=length) * (length / x.shape[1])


class DecoderTraining:
    """The live objects of this stage."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        cache: Path = arguments.cache
        torch.manual_seed(2)
        torch.set_num_threads(arguments.threads)
        self.recordings = Recordings(cache)
        self.contents = np.load(cache / "runs" / f"contents_{arguments.content}.npy", mmap_mode="r")
        self.converted = None
        if arguments.converted:
            self.converted = np.load(cache / "runs" / f"converted_{arguments.converted}.npy", mmap_mode="r")
        self.encoder, saved = load_encoder(cache, arguments.content)
        self.joint = arguments.joint
        # Mostly other formants and pitch: noise on the way in would only teach the decoder to blur.
        self.perturbation = Perturbation(noise_share=0.1, low_pass_share=0.05)
        self.generator = torch.Generator().manual_seed(arguments.seed)
        self.phone_head = nn.Linear(ContentShape().content_channels, len(saved["heads"]["phone.bias"]))
        self.phone_head.load_state_dict({key: saved["heads"][f"phone.{key}"] for key in ("weight", "bias")})
        if self.joint:
            self.recordings.phones = np.load(cache / "labels" / f"aligned_{arguments.labels}.npy")
            self.encoder.train().requires_grad_(True)
        self.frontend = SpectralFrontend()
        self.synthesis = FastSynthesis(N_FFT, HOP_SAMPLES, SAMPLE_RATE_HZ)
        self.networks = VoiceNetworks()
        self.classes = nn.Parameter(torch.randn(self.recordings.n_speakers, SpeakerShape().speaker_channels) * 0.1)
        self.discriminators = Discriminators()
        if arguments.start:
            start = torch.load(cache / "runs" / f"decoder_{arguments.start}.pt", weights_only=True)
            self.networks.load_state_dict(start["averaged"])
            self.classes.data.copy_(start["classes"]["classes"])
            if self.joint and "averaged_encoder" in start:
                self.encoder.load_state_dict(start["averaged_encoder"])
            if "discriminators" in start:
                self.discriminators.load_state_dict(start["discriminators"])
        self.adversarial = arguments.adversarial
        self.rate = arguments.rate
        groups: list[dict[str, Any]] = [{"params": [*self.networks.parameters(), self.classes], "share": 1.0}]
        if self.joint:
            learned = [*self.encoder.parameters(), *self.phone_head.parameters()]
            groups.append({"params": learned, "share": JOINT_RATE_SHARE})
        self.optimizer = torch.optim.AdamW(groups, self.rate, (0.8, 0.98), weight_decay=0.01, fused=True)
        self.judge_optimizer = torch.optim.AdamW(
            self.discriminators.parameters(), 1e-4, (0.5, 0.9), weight_decay=0.01, fused=True
        )
        self.averaged = Averaged(self.networks, 0.998)
        self.averaged_encoder = Averaged(self.encoder, 0.998)
        self.rng = np.random.default_rng(arguments.seed)
        self.file_weights = self._file_weights()
        self.heard_alike = HeardAlike(load_teacher(cache)) if arguments.teacher else None
        self.n_items = TEACHER_BATCH if arguments.teacher else BATCH
        self.n_copies = TEACHER_BATCH - EXCHANGED if arguments.teacher else BATCH
        self.median_hz = self._median_pitches()
        self.echo: Echo | None = None
        self.files_of = [np.flatnonzero(self.recordings.speaker_of == s) for s in range(self.recordings.n_speakers)]

    def _file_weights(self) -> np.ndarray:
        weight = self.recordings.weights()
        wide = np.array([entry["bandwidth_hz"] > 10_000 for entry in self.recordings.index])
        weight = weight * np.where(wide, 1.6, 1.0)
        return np.asarray(weight / weight.sum())

    def _median_pitches(self) -> np.ndarray:
        """Return the median pitch of each recording in Hz, 0 where hardly anything is voiced."""
        recordings, medians = self.recordings, []
        for start, length in zip(recordings.first_frame, recordings.n_frames, strict=True):
            f0 = recordings.f0[start : start + length]
            voiced = f0[f0 > 0]
            medians.append(float(np.median(voiced)) if len(voiced) > 20 else 0.0)
        return np.array(medians)

    def parts(self) -> dict[str, object]:
        """Return what a checkpoint holds."""
        holder = nn.ParameterDict({"classes": self.classes})
        return {
            "networks": self.networks,
            "classes": holder,
            "optimizer": self.optimizer,
            "discriminators": self.discriminators,
            "judge_optimizer": self.judge_optimizer,
            "averaged": self.averaged.module,
        } | ({"encoder": self.encoder, "averaged_encoder": self.averaged_encoder.module} if self.joint else {})

    def strangers(self, files: np.ndarray) -> np.ndarray:
        """Choose for each recording one of another speaker."""
        speaker_of, chosen = self.recordings.speaker_of, []
        for file in files:
            other = file
            while speaker_of[other] == speaker_of[file]:
                other = int(self.rng.choice(len(self.file_weights), p=self.file_weights))
            chosen.append(other)
        return np.array(chosen, dtype=np.int64)

    def pitch_ratios(self, files: np.ndarray, voices: np.ndarray) -> Tensor:
        """Return by what to multiply the pitch of `files` for the voices of `voices`, [B, 1].

        Median to median, for singing in whole octaves; some strangers speak higher or lower than they would.
        """
        source, target = self.median_hz[files], self.median_hz[voices]
        known = (source > 0) & (target > 0)
        octaves = np.log2(np.where(known, target, 1) / np.where(known, source, 1)).clip(-1.5, 1.5)
        unusual = (files != voices) & (self.rng.random(len(files)) < UNUSUAL_PITCH_SHARE)
        octaves = octaves + unusual * self.rng.uniform(-0.5, 0.8, len(files))
        sung = np.array([self.recordings.index[file]["source"] in SINGING_SOURCES for file in files])
        return torch.from_numpy(2.0 ** np.where(sung, np.round(octaves), octaves)).float().unsqueeze(1)

    def references(self, files: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Choose first frames of reference stretches: other recordings of the speaker, or far away in the same one."""
        recordings, chosen = self.recordings, []
        for file, start in zip(files, starts, strict=True):
            others = self.files_of[recordings.speaker_of[file]]
            others = others[others != file]
            if len(others):
                weight = recordings.n_frames[others].astype(float)
                chosen.append(
                    recordings.crops(
                        self.rng.choice(others, 1, p=weight / weight.sum()), REFERENCE_CROP_FRAMES, self.rng
                    )[0]
                )
            else:
                first, last = recordings.first_frame[file], recordings.first_frame[file] + recordings.n_frames[file]
                after = start + CROP_FRAMES if last - start - CROP_FRAMES > start - first else first
                chosen.append(min(max(after, 0), len(recordings.f0) - REFERENCE_CROP_FRAMES))
        return np.array(chosen)

    def _learned_content(self, starts: np.ndarray, n_frames: int, warp: float, is_source: bool) -> Tensor:
        """Return content [B, n_frames, C] of the learning encoder.

        A source that is to be copied is heard perturbed, or as an echo in the voice that it took in the last step;
        one that takes another voice, and a reference, plain.
        """
        n_heard = n_frames + ENCODER_AHEAD_FRAMES
        wave = waves(self.recordings.wave_16k, starts, round(n_heard * warp), FRAME_16K)
        power = self.frontend.power(stretch_time(wave, n_heard * FRAME_16K))
        if is_source:
            plain = torch.log(power[: self.n_copies] + 1e-9)
            power = torch.cat((self.perturbation(plain, self.generator, JOINT_STRENGTH).exp(), power[self.n_copies :]))
        with torch.set_grad_enabled(is_source), torch.autocast("cpu", torch.bfloat16):
            content: Tensor = self.encoder(self.frontend.log_mel(power))
        return content[:, :n_frames]

    def _keep_in_place(self, content: Tensor, starts: np.ndarray) -> dict[str, Tensor]:
        """Return the losses that keep a learning encoder near phones and near its earlier content."""
        n_frames = content.shape[1]
        phones = frames(self.recordings.phones, starts, n_frames).long()
        phone = functional.cross_entropy(
            self.phone_head(content).flatten(0, 1), phones.flatten(), label_smoothing=0.1, ignore_index=-100
        )
        earlier = frames(self.contents, starts, n_frames).float()
        return {"phone": 0.1 * phone, "distance": 0.1 * functional.mse_loss(content, earlier)}

    def listen(
        self, starts: np.ndarray, n_frames: int, warp: float, converted: np.ndarray | None, *, is_source: bool
    ) -> Stretch:
        """Hear stretches that begin at frames `starts` [B]; `converted` [B] says which take content from copies."""
        n_taken = round(n_frames * warp)
        wave = waves(self.recordings.wave_16k, starts, n_taken, FRAME_16K)
        wave = stretch_time(wave, n_frames * FRAME_16K)
        power = self.frontend.power(wave)
        log_mel = self.frontend.log_mel(power)
        f0 = frames(self.recordings.f0, starts, n_taken)
        if warp != 1:
            nearest = (torch.arange(n_frames) * (n_taken / n_frames)).long()
            f0 = f0[:, nearest] * warp
        if self.joint:
            content = self._learned_content(starts, n_frames, warp, is_source)
        elif warp == 1:
            content = frames(self.contents, starts, n_frames)
            if converted is not None and self.converted is not None:
                copies = frames(self.converted, starts, n_frames)
                content = torch.where(torch.from_numpy(converted).view(-1, 1, 1), copies, content)
        else:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                content = self.encoder(log_mel)
        return Stretch(content.float(), f0, self.frontend.loudness(power), log_mel)

    def step(self, progress: float, step: int, meter: Meter) -> None:
        """Take one optimizer step (and one of the discriminators)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * group["share"] * cosine_rate(progress, step)
        attempt = self.attempt()
        losses = self.losses(attempt, step)
        if self.adversarial:
            losses |= self._compete(attempt, step, meter)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.networks.parameters(), 5.0)
        self.optimizer.step()
        self.averaged.update(self.networks, step)
        if self.joint:
            self.averaged_encoder.update(self.encoder, step)
        meter.add(**{name: loss.item() for name, loss in losses.items()})

    def attempt(self) -> Attempt:
        """Choose recordings and voices, and render the recordings in these voices."""
        recordings, n_copies = self.recordings, self.n_copies
        files = self.rng.choice(len(self.file_weights), self.n_items, p=self.file_weights)
        warp = float(self.rng.choice(WARPS)) if self.rng.random() < WARPED_SHARE else 1.0
        starts = recordings.crops(files, math.ceil(CROP_FRAMES * warp), self.rng)
        echo = self.echo if warp == 1 else None
        if echo is not None:
            files[: len(echo.files)], starts[: len(echo.files)] = echo.files, echo.starts
        use_copies = self.rng.random(self.n_items) < CONVERTED_SHARE if self.converted is not None else None
        source = self.listen(starts, CROP_FRAMES, warp, use_copies, is_source=True)
        voices = np.concatenate((files[:n_copies], self.strangers(files[n_copies:])))
        own = self.references(files[:n_copies], starts[:n_copies])
        others = recordings.crops(voices[n_copies:], REFERENCE_CROP_FRAMES, self.rng)
        reference = self.listen(np.concatenate((own, others)), REFERENCE_FRAMES, warp, None, is_source=False)
        vector, made = self.render(source, source.f0_hz * self.pitch_ratios(files, voices), reference)
        if self.heard_alike is not None and warp == 1:
            last = slice(n_copies, n_copies + ECHOES)
            wave = stretch_time(made[last].detach(), (CROP_FRAMES - LOOKAHEAD_FRAMES) * FRAME_16K)
            self.echo = Echo(files[last], starts[last], wave)
        target = stretch_time(
            waves(recordings.wave_44k, starts, round(CROP_FRAMES * warp), FRAME_44K), CROP_FRAMES * FRAME_44K
        )
        judged = slice(CONTEXT_FRAMES * HOP_SAMPLES, (CROP_FRAMES - LOOKAHEAD_FRAMES - 2) * HOP_SAMPLES)
        edges_hz = np.array([entry["bandwidth_hz"] for entry in recordings.index])
        bandwidth_hz = torch.from_numpy(np.minimum(edges_hz[files], edges_hz[voices])).float() * min(1.0, warp)
        speakers = torch.from_numpy(recordings.speaker_of[voices])
        return Attempt(made[:, judged], target[:, judged], bandwidth_hz, vector, speakers, source.content, starts, warp)

    def render(self, source: Stretch, f0_hz: Tensor, reference: Stretch) -> tuple[Tensor, Tensor]:
        """Return the references' speaker vectors [B, D] and the sound [B, N] of the source in their voices."""
        batch, n = len(f0_hz), CROP_FRAMES - LOOKAHEAD_FRAMES
        gain = torch.exp(torch.from_numpy(self.rng.uniform(-1.4, 0.9, (batch, 1))).float())
        relative = relative_log_mel(reference.log_mel)
        with torch.autocast("cpu", torch.bfloat16):
            vector = self.networks.speaker(relative)
            timbre = self.networks.decoder.timbre(vector, reference.content, reference.f0_hz, relative)
            loudness = source.loudness + 2 * torch.log(gain)
            spectra = self.networks.decoder(source.content[:, :n], f0_hz[:, :n], loudness[:, :n], timbre)
        return vector, self.synthesis(spectra, f0_hz, torch.randn(batch, n, N_FFT // 2 + 1, 2)) / gain

    def losses(self, attempt: Attempt, step: int) -> dict[str, Tensor]:
        """Return the weighted losses of an attempt, but for those of the discriminators."""
        made, target, bandwidth_hz = (
            part[: self.n_copies] for part in (attempt.made, attempt.target, attempt.bandwidth_hz)
        )
        losses = {"spectral": spectral_loss(made, target, bandwidth_hz, step)}
        if attempt.warp == 1:
            losses["speaker"] = 0.05 * functional.cross_entropy(self._likeness(attempt.vector), attempt.speakers)
            if self.joint:
                losses |= self._keep_in_place(attempt.content, attempt.starts)
        if self.heard_alike is not None:
            losses |= self._hear(attempt, self.heard_alike)
        return losses

    def _likeness(self, vector: Tensor) -> Tensor:
        """Return how much vectors [B, D] are like each speaker of the recordings [B, speakers]."""
        return 14 * vector @ functional.normalize(self.classes, dim=-1).T

    def _hear(self, attempt: Attempt, heard_alike: HeardAlike) -> dict[str, Tensor]:
        """Return what the teacher and the speaker encoder, as it was lately, think of what was made."""
        length = attempt.made.shape[1] // FRAME_44K * FRAME_16K
        made, target = stretch_time(attempt.made, length), stretch_time(attempt.target, length)
        same, said = heard_alike(made, target, self.n_copies)
        exchanged = slice(self.n_copies, None)
        log_mel = self.frontend.log_mel(self.frontend.power(made[exchanged]))
        with torch.autocast("cpu", torch.bfloat16):
            vector = self.averaged.module.speaker(relative_log_mel(log_mel))  # type: ignore[operator, union-attr]
        unlike = 1 - (vector * attempt.vector[exchanged].detach()).sum(dim=-1).mean()
        losses = {"same": SAME * same, "said": SAID * said, "unlike": UNLIKE * unlike}
        if attempt.warp == 1:
            losses["who"] = WHO * functional.cross_entropy(self._likeness(vector), attempt.speakers[exchanged])
        return losses

    def _compete(self, attempt: Attempt, step: int, meter: Meter) -> dict[str, Tensor]:
        """Let one discriminator learn, and return what it thinks of the attempt."""
        made, target, bandwidth_hz = attempt.made, attempt.target, attempt.bandwidth_hz
        with torch.autocast("cpu", torch.bfloat16):
            judge = self.discriminators.judge(target, made.detach(), bandwidth_hz, step)
        self.judge_optimizer.zero_grad(set_to_none=True)
        judge.backward()
        self.judge_optimizer.step()
        meter.add(judge=judge.item())
        with torch.autocast("cpu", torch.bfloat16):
            adversarial, matching = self.discriminators.convince(target[: self.n_copies], made, bandwidth_hz, step)
        return {"adversarial": 0.1 * adversarial, "matching": 0.2 * matching}


def main() -> None:
    """Run or resume the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--content", required=True, help="name of the content encoder run")
    parser.add_argument("--name", required=True)
    parser.add_argument("--start", help="name of the decoder run to start from")
    parser.add_argument("--converted", help="name of the converted copies to take content from")
    parser.add_argument("--adversarial", action="store_true")
    parser.add_argument("--joint", action="store_true", help="let the content encoder learn too")
    parser.add_argument("--teacher", action="store_true", help="let the teacher hear what is made")
    parser.add_argument("--labels", default="second", help="name of the alignment to use with --joint")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--rate", type=float, default=1.2e-3)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    path = arguments.cache / "runs" / f"decoder_{arguments.name}.pt"
    run(DecoderTraining(arguments), path, arguments.minutes, save_every_steps=250)


if __name__ == "__main__":
    main()
