"""What a vocoder learns from: stretches of recordings, with their mel spectrograms and pitch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.dataset.folder import Dataset
from timbre.dataset.manifest import ClipEntry
from timbre.errors import DatasetError
from timbre.pitch.gaps import bridge
from timbre.train.item_draws import ItemDraws, item_chance, item_numbers
from timbre.vocoder.nsf_hifigan import NsfHifigan


@dataclass(frozen=True, eq=False)
class VocoderClip:
    """A recording as the vocoder hears it, on T frames."""

    wave: Tensor  # [T * hop]
    mel: Tensor  # [M, T], natural log
    f0_hz: Tensor  # [T], gaps bridged, as conversions give it


@dataclass(frozen=True, eq=False)
class VocoderItems:
    """A batch of stretches of n frames."""

    wave: Tensor  # [B, 1, n * hop]
    mel: Tensor  # [B, M, n]
    f0_hz: Tensor  # [B, n]

    def to(self, device: torch.device) -> VocoderItems:
        """Return the items on another device."""
        return VocoderItems(self.wave.to(device), self.mel.to(device), self.f0_hz.to(device))


def check_rate(dataset: Dataset, vocoder: NsfHifigan) -> None:
    """Raise DatasetError where the recordings have another rate than the vocoder."""
    there, needed = dataset.manifest.sample_rate_hz, vocoder.shape.sample_rate_hz
    if there != needed:
        raise DatasetError(
            f"the clips of {dataset.folder} have {there} Hz and the vocoder makes {needed} Hz; "
            f"start from a vocoder of {there} Hz"
        )


def read_clip(dataset: Dataset, entry: ClipEntry, vocoder: NsfHifigan) -> VocoderClip:
    """Read a clip of a dataset, whatever frames its pitch is on; raises DatasetError where it is damaged."""
    features, manifest = dataset.features(entry), dataset.manifest
    f0_hz = np.where(features.voiced, features.f0_hz, 0)
    return make_clip(dataset.wave(entry), f0_hz, manifest.hop_samples / manifest.frame_rate_hz, vocoder)


def make_clip(wave: NDArray[np.float32], f0_hz: NDArray[np.float32], step_s: float, vocoder: NsfHifigan) -> VocoderClip:
    """Return the clip of a sound [N] at the vocoder's rate with its pitch at steps of `step_s`, 0 where unvoiced."""
    hop, rate = vocoder.shape.hop_samples, vocoder.shape.sample_rate_hz
    n_frames = max(1, len(wave) // hop)
    samples = torch.from_numpy(wave)
    times_s = np.arange(n_frames) * hop / rate
    retimed = np.interp(times_s, np.arange(len(f0_hz)) * step_s, bridge(f0_hz)) if len(f0_hz) else 0 * times_s
    mel = vocoder.mel(samples[None].to(vocoder.extractor.bank.device))[0, :, :n_frames].cpu()
    return VocoderClip(samples[: n_frames * hop], mel, torch.from_numpy(retimed).float())


class VocoderItemSource:
    """Draws items by their number: equal seeds and numbers give equal items, whatever was drawn before.

    All places of all clips are equally likely. Raises DatasetError where no clip is long enough for an item.
    """

    def __init__(self, clips: Sequence[VocoderClip], n_frames: int, hop_samples: int, seed: int) -> None:
        self._clips, self._n_frames, self._hop, self._seed = clips, n_frames, hop_samples, seed
        room = np.array([max(0, len(clip.f0_hz) - n_frames + 1) for clip in clips], dtype=float)
        if not room.any():
            raise DatasetError(f"no clip has the {n_frames} frames of an item; prepare longer recordings")
        self._weights = room / room.sum()

    def draw(self, step: int, part: int, n_parts: int, count: int) -> tuple[VocoderItems, ItemDraws]:
        """Return the items of a step that belong to one of `n_parts` processes, and the chance of their excitation."""
        numbers = item_numbers(step, part, n_parts, count)
        items = [self._item(item_chance(self._seed, number)) for number in numbers]
        batch = (torch.stack(tensors) for tensors in zip(*items, strict=True))
        return VocoderItems(*batch), ItemDraws(self._seed, numbers)

    def _item(self, chance: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        clip = self._clips[int(chance.choice(len(self._clips), p=self._weights))]
        first = int(chance.integers(len(clip.f0_hz) - self._n_frames + 1))
        frames = slice(first, first + self._n_frames)
        samples = slice(first * self._hop, (first + self._n_frames) * self._hop)
        return clip.wave[None, samples], clip.mel[:, frames], clip.f0_hz[frames]
