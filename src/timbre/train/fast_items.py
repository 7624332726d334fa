"""What the fast family learns from: the clips of one speaker in memory, and items drawn from them by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timbre.config.fast import HOP_SAMPLES, N_FFT, SAMPLE_RATE_HZ
from timbre.config.prepare import PACKAGED_ENCODER
from timbre.dataset.folder import Dataset
from timbre.dataset.manifest import ClipEntry
from timbre.dsp import frontend
from timbre.errors import DatasetError
from timbre.features.frames import Frames
from timbre.models.fast.synthesis import LOOKAHEAD_FRAMES
from timbre.speaker.fast import relative_log_mel
from timbre.train.probing import at_16k, hear_log_mel, heard_again
from timbre.train.spectral_loss import bandwidth_hz
from timbre.voice.base import Base
from timbre.voice.fast import Reference

CONTEXT_FRAMES = 24  # the decoder hears so many before the first that is judged
BANK_FRAMES = 400
N_VECTORS = 6  # clips whose mean is the speaker vector of an item
COPIED_SHARE = 0.5
LOG_GAINS = (-1.4, 0.9)
OCTAVES = 0.7  # the pitch of items of other voices moves by up to so much
PHRASE_OCTAVES = 0.2  # and that of phrases around the speaker's
MIN_TRAINING_S = 10.0
SAME_CONTENT = 0.05  # root mean square difference to what the base hears


@dataclass(frozen=True)
class Clip:
    """One clip as the networks hear it, on T frames."""

    wave: Tensor  # [T * 441] at 44.1 kHz
    content: Tensor  # [T, C]
    copies: tuple[Tensor, ...]  # of [T, C]: what is heard when the base says the clip in other voices
    f0_hz: Tensor  # [T]
    loudness: Tensor  # [T]
    log_mel: Tensor  # [T, 80]
    relative_mel: Tensor  # [T, 80]
    speaker: Tensor  # [D]
    bandwidth_hz: float

    @property
    def frames(self) -> Frames:
        """The clip as a renderer takes it."""
        return Frames(
            self.content, self.f0_hz, self.f0_hz > 0, self.loudness, frontend.HOP_SAMPLES, frontend.SAMPLE_RATE_HZ
        )


def check_fits(dataset: Dataset, base: Base) -> None:
    """Raise DatasetError where the dataset was made for voices of another family or by another base."""
    manifest = dataset.manifest
    if manifest.encoder != PACKAGED_ENCODER:
        raise DatasetError(
            f"{dataset.folder} was prepared with the encoder {manifest.encoder!r}, and the fast family needs "
            f"{PACKAGED_ENCODER!r}; prepare the recordings with --encoder {PACKAGED_ENCODER}"
        )
    clip = manifest.clips[0]
    heard = heard_again(base, torch.from_numpy(dataset.wave(clip)))
    stored = torch.from_numpy(dataset.units(clip))
    if heard.shape != stored.shape or float((heard - stored).square().mean().sqrt()) > SAME_CONTENT:
        raise DatasetError(f"{dataset.folder} was prepared with another version of the base; prepare it again")


def choose_speaker(dataset: Dataset, asked: str | None) -> str:
    """Return the speaker to learn; raises DatasetError where it is unknown, unclear, or has too little sound."""
    names = list(dataset.manifest.speakers)
    if asked is None and len(names) > 1:
        raise DatasetError(
            f"{dataset.folder} holds {len(names)} speakers, {', '.join(names)}; choose one with --speaker"
        )
    if asked is not None and asked not in names:
        raise DatasetError(f"{dataset.folder} holds no speaker {asked!r}; it holds: {', '.join(names)}")
    speaker = asked or names[0]
    clips = dataset.clips("train", speaker)
    seconds = seconds_of(dataset, clips)
    if seconds < MIN_TRAINING_S or len(clips) < 2:
        raise DatasetError(
            f"there are {seconds:.1f} s in {len(clips)} clips of {speaker!r} to learn from, and at least "
            f"{MIN_TRAINING_S:g} s in 2 clips are needed; prepare more recordings"
        )
    return speaker


def seconds_of(dataset: Dataset, clips: Sequence[ClipEntry]) -> float:
    """Return how long clips are in all."""
    return sum(clip.n_samples for clip in clips) / dataset.manifest.sample_rate_hz


def load_clips(dataset: Dataset, clips: Sequence[ClipEntry], base: Base) -> list[Clip]:
    """Read clips into memory, without copies; they stay on the CPU."""
    return [_load(dataset, clip, base) for clip in clips]


@torch.no_grad()
def _load(dataset: Dataset, entry: ClipEntry, base: Base) -> Clip:
    wave, features = dataset.wave(entry), dataset.features(entry)
    dataset.check_content(entry, features.content)
    n_frames = min(entry.n_frames, len(wave) // HOP_SAMPLES)
    log_mel = hear_log_mel(base, at_16k(torch.from_numpy(wave)))[:n_frames]
    relative = relative_log_mel(log_mel.unsqueeze(0))
    return Clip(
        wave=torch.from_numpy(wave[: n_frames * HOP_SAMPLES]),
        content=torch.from_numpy(features.content[:n_frames]),
        copies=(),
        f0_hz=torch.from_numpy(features.f0_hz[:n_frames]),
        loudness=2 * torch.log(torch.from_numpy(features.volume[:n_frames]).clamp(min=1e-6)),
        log_mel=log_mel.cpu(),
        relative_mel=relative[0].cpu(),
        speaker=base.networks.speaker(relative)[0].cpu(),
        bandwidth_hz=bandwidth_hz(wave, entry.source_rate_hz),
    )


@dataclass(frozen=True)
class Items:
    """A batch: what the decoder is given, and the sound that it should make where that is known.

    The first b items are clips of the speaker, the next up to item m are phrases to be said in that voice, the others
    are for other voices of the base.
    """

    content: Tensor  # [B, n, C]
    f0_hz: Tensor  # [B, n + 2]
    loudness: Tensor  # [B, n]
    speaker: Tensor  # [B, D]
    bank_content: Tensor  # [B, M, C]
    bank_f0_hz: Tensor  # [B, M]
    bank_mel: Tensor  # [B, M, 80]
    gain: Tensor  # [m, 1]
    noise: Tensor  # [m, n, bins, 2]
    wanted_content: Tensor  # [m, n, C], that is to be heard in the sound
    target: Tensor  # [b, n * 441]
    true_mel: Tensor  # [b, n, 80]
    bandwidth_hz: Tensor  # [b]

    def to(self, device: torch.device) -> Items:
        """Return the items on another device."""
        return Items(**{name: tensor.to(device) for name, tensor in vars(self).items()})


class ItemSource:
    """Draws items by their number: equal seeds and numbers give equal items, whatever was drawn before.

    `clips` are of the speaker, `phrases` of anybody, `voices` references of other voices of the base. Raises
    DatasetError where no clip is long enough for a segment.
    """

    def __init__(
        self, clips: Sequence[Clip], phrases: Frames | None, voices: Sequence[Reference], segment_s: float, seed: int
    ) -> None:
        self.n_frames = CONTEXT_FRAMES + round(segment_s * SAMPLE_RATE_HZ / HOP_SAMPLES) + LOOKAHEAD_FRAMES
        self._clips, self._phrases, self._voices, self._seed = clips, phrases, voices, seed
        voiced_hz = torch.cat([clip.f0_hz[clip.f0_hz > 0] for clip in clips])
        if len(voiced_hz) == 0:
            raise DatasetError(
                "no pitch was found in any clip of the speaker, and a voice needs voiced sounds; add recordings that "
                "are not whispered, or prepare them with another --pitch"
            )
        self._median_f0_hz = float(voiced_hz.median())
        room = np.array([max(0, len(clip.f0_hz) - self.n_frames - LOOKAHEAD_FRAMES + 1) for clip in clips], dtype=float)
        if not room.any():
            longest_s = max(len(clip.f0_hz) for clip in clips) * HOP_SAMPLES / SAMPLE_RATE_HZ
            raise DatasetError(
                f"the longest clip has {longest_s:.1f} s, and segments of {segment_s:g} s need "
                f"{(self.n_frames + LOOKAHEAD_FRAMES) * HOP_SAMPLES / SAMPLE_RATE_HZ:.1f} s; give a smaller segment_s"
            )
        self._weights = room / room.sum()

    def draw(self, step: int, part: int, count: int, n_phrases: int, n_others: int) -> Items:
        """Return part number `part` of the items of a step: clips, then phrases, then those for other voices.

        Two parts hold the items of one part of twice the size.
        """

        def chances(kind: int, n: int) -> list[np.random.Generator]:
            return [np.random.default_rng([self._seed, step, kind, part * n + number]) for number in range(n)]

        own = [self._own(chance) for chance in chances(0, count)]
        phrases = [] if self._phrases is None else [self._phrase(self._phrases, each) for each in chances(2, n_phrases)]
        others = [self._other(chance) for chance in chances(1, n_others if self._voices else 0)]
        batch = {name: torch.stack([item[name] for item in own]) for name in own[0]}
        for more in (phrases, others):
            for name in more[0] if more else ():
                batch[name] = torch.cat((batch[name], torch.stack([item[name] for item in more])))
        return Items(**batch)

    def _own(self, chance: np.random.Generator) -> dict[str, Tensor]:
        place = int(chance.choice(len(self._clips), p=self._weights))
        clip, start = self._clips[place], self._start(place, chance)
        n = self.n_frames
        whole, ahead = slice(start, start + n), slice(start, start + n + LOOKAHEAD_FRAMES)
        return {
            "content": self._content(clip, chance)[whole],
            "f0_hz": clip.f0_hz[ahead],
            **self._level(clip.loudness[whole], chance),
            **self._bank(place, chance),
            "target": clip.wave[start * HOP_SAMPLES : (start + n) * HOP_SAMPLES],
            "true_mel": clip.log_mel[whole],
            "wanted_content": clip.content[whole],
            "bandwidth_hz": torch.tensor(clip.bandwidth_hz),
        }

    def _phrase(self, phrases: Frames, chance: np.random.Generator) -> dict[str, Tensor]:
        n = self.n_frames
        start = int(chance.integers(len(phrases.f0_hz) - n - LOOKAHEAD_FRAMES + 1))
        whole, f0_hz = slice(start, start + n), phrases.f0_hz[start : start + n + LOOKAHEAD_FRAMES]
        voiced = f0_hz[f0_hz > 0]
        octaves = float(chance.uniform(-PHRASE_OCTAVES, PHRASE_OCTAVES))
        factor = 2**octaves * (self._median_f0_hz / float(voiced.median()) if len(voiced) else 1.0)
        return {
            "content": phrases.content[whole],
            "f0_hz": f0_hz * factor,
            **self._level(phrases.loudness[whole], chance),
            **self._bank(None, chance),
            "wanted_content": phrases.content[whole],
        }

    def _level(self, loudness: Tensor, chance: np.random.Generator) -> dict[str, Tensor]:
        """Return a drawn gain, the loudness [n] with it, and noise."""
        gain = float(np.exp(chance.uniform(*LOG_GAINS)))
        noise = chance.standard_normal((len(loudness), N_FFT // 2 + 1, 2), dtype=np.float32)
        return {
            "loudness": loudness + 2 * np.log(gain),
            "gain": torch.tensor([gain]),
            "noise": torch.from_numpy(noise),
        }

    def _other(self, chance: np.random.Generator) -> dict[str, Tensor]:
        place = int(chance.choice(len(self._clips), p=self._weights))
        clip, start = self._clips[place], self._start(place, chance)
        voice = self._voices[int(chance.integers(len(self._voices)))]
        frames = torch.from_numpy(chance.choice(len(voice.f0_hz), BANK_FRAMES, replace=True))
        ahead = slice(start, start + self.n_frames + LOOKAHEAD_FRAMES)
        return {
            "content": self._content(clip, chance)[start : start + self.n_frames],
            "f0_hz": clip.f0_hz[ahead] * float(2 ** chance.uniform(-OCTAVES, OCTAVES)),
            "loudness": clip.loudness[start : start + self.n_frames] + 2 * float(chance.uniform(*LOG_GAINS)),
            "speaker": voice.speaker,
            "bank_content": voice.content[frames],
            "bank_f0_hz": voice.f0_hz[frames],
            "bank_mel": voice.relative_mel[frames],
        }

    def _start(self, place: int, chance: np.random.Generator) -> int:
        return int(chance.integers(len(self._clips[place].f0_hz) - self.n_frames - LOOKAHEAD_FRAMES + 1))

    def _content(self, clip: Clip, chance: np.random.Generator) -> Tensor:
        """Return the content of the clip itself, or of a copy in another voice."""
        if not clip.copies or chance.random() >= COPIED_SHARE:
            return clip.content
        return clip.copies[int(chance.integers(len(clip.copies)))]

    def _bank(self, place: int | None, chance: np.random.Generator) -> dict[str, Tensor]:
        """Return the reference of an item: frames and mean vector of clips of the speaker, but not of `place`."""
        others = [number for number in range(len(self._clips)) if number != place]
        chosen = [self._clips[int(number)] for number in chance.choice(others, N_VECTORS)]
        lengths = np.cumsum([len(clip.f0_hz) for clip in chosen])
        frames = torch.from_numpy(chance.choice(int(lengths[-1]), BANK_FRAMES, replace=True))
        return {
            "speaker": functional.normalize(torch.stack([clip.speaker for clip in chosen]).mean(dim=0), dim=-1),
            "bank_content": torch.cat([clip.content for clip in chosen])[frames],
            "bank_f0_hz": torch.cat([clip.f0_hz for clip in chosen])[frames],
            "bank_mel": torch.cat([clip.relative_mel for clip in chosen])[frames],
        }
