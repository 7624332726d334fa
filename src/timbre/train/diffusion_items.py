"""What a diffusion model learns from: stretches of clips, drawn by their number (models spec 9.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from timbre.config.diffusion import DiffusionShape
from timbre.config.diffusion_training import DiffusionTrainingSettings
from timbre.dataset.folder import STRETCH_MODE, Dataset
from timbre.dataset.manifest import ClipEntry
from timbre.dsp.stretch import stretch
from timbre.errors import DatasetError
from timbre.nn.device import check_device
from timbre.pitch.gaps import bridge
from timbre.train.item_draws import ItemDraws, item_chance, item_numbers, shuffled_place

AUGMENTED_SHARE = 0.5
_SPARE_S = 0.1  # that a clip must have beyond an item
_HALVED = ("units", "mel", "augmented_mel")


@dataclass(frozen=True, eq=False)
class DiffusionClip:
    """One clip as the model hears it, on T frames."""

    units: Tensor  # [T, U]
    f0_hz: Tensor  # [T], gaps bridged
    volume: Tensor  # [T]
    mel: Tensor  # [T, M]
    augmented_mel: Tensor  # [T, M]
    augmented_volume: Tensor  # [T]
    key_shift_semitones: float
    speaker: int

    def kept(self, device: torch.device, *, halved: bool) -> DiffusionClip:
        """Return the clip on a device, with `halved` the large ones of its tensors in float16."""
        changed: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                changed[name] = value.to(device, torch.float16 if halved and name in _HALVED else value.dtype)
        return replace(self, **changed)


@dataclass(frozen=True, eq=False)
class DiffusionItems:
    """A batch of stretches of n frames."""

    units: Tensor  # [B, n, U]
    f0_hz: Tensor  # [B, n, 1]
    volume: Tensor  # [B, n, 1]
    mel: Tensor  # [B, n, M]
    speaker: Tensor  # [B, 1] int64
    aug_shift: Tensor  # [B, 1, 1], semitones

    def to(self, device: torch.device) -> DiffusionItems:
        """Return the items on another device."""
        return DiffusionItems(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def read_clip(dataset: Dataset, entry: ClipEntry, shape: DiffusionShape, speakers: Mapping[str, int]) -> DiffusionClip:
    """Read a clip of a dataset that was made for diffusion; raises DatasetError where it is damaged."""
    features = dataset.features(entry)
    mel, augmented_mel, volume = features.mel, features.augmented_mel, features.augmented_volume
    assert mel is not None and augmented_mel is not None and volume is not None  # as the manifest says
    units = torch.from_numpy(features.content)
    if shape.unit_interpolate_mode != STRETCH_MODE:
        units = stretch(torch.from_numpy(dataset.units(entry)).T, entry.n_frames, shape.unit_interpolate_mode).T
    f0_hz = bridge(np.where(features.voiced, features.f0_hz, 0))
    return DiffusionClip(
        units=units,
        f0_hz=torch.from_numpy(f0_hz).float(),
        volume=torch.from_numpy(features.volume),
        mel=torch.from_numpy(mel),
        augmented_mel=torch.from_numpy(augmented_mel),
        augmented_volume=torch.from_numpy(volume),
        key_shift_semitones=features.key_shift_semitones or 0.0,
        speaker=speakers[entry.speaker],
    )


def long_clips(dataset: Dataset, split: str, duration_s: float) -> list[ClipEntry]:
    """Return the clips of a split that are long enough for items of `duration_s`."""
    least_samples = (duration_s + _SPARE_S) * dataset.manifest.sample_rate_hz
    return [clip for clip in dataset.clips(split) if clip.n_samples >= least_samples]


class ClipStore:
    """The clips of a split, kept in memory or read again each time, as the settings say.

    Raises DeviceError for a cache on a device that is not there, and DatasetError for a damaged clip.
    """

    def __init__(
        self,
        dataset: Dataset,
        entries: Sequence[ClipEntry],
        shape: DiffusionShape,
        speakers: Mapping[str, int],
        settings: DiffusionTrainingSettings,
    ) -> None:
        self._dataset, self._entries, self._shape, self._speakers = dataset, entries, shape, speakers
        self.frames_per_s = shape.sampling_rate / shape.block_size
        self.lengths_s = [entry.n_samples / dataset.manifest.sample_rate_hz for entry in entries]
        self._kept: list[DiffusionClip] | None = None
        if settings.cache_all_data:
            device = check_device(settings.cache_device)
            self._kept = [self._read(entry).kept(device, halved=settings.cache_fp16) for entry in entries]

    def clip(self, place: int) -> DiffusionClip:
        """Return clip number `place` of the entries."""
        return self._read(self._entries[place]) if self._kept is None else self._kept[place]

    def _read(self, entry: ClipEntry) -> DiffusionClip:
        return read_clip(self._dataset, entry, self._shape, self._speakers)


class DiffusionItemSource:
    """Draws items by their number: equal seeds and numbers give equal items, whatever was drawn before.

    Raises DatasetError where no clip is long enough for an item.
    """

    def __init__(self, store: ClipStore, duration_s: float, seed: int, *, augments: bool = True) -> None:
        self._store, self._seed, self._duration_s, self._augments = store, seed, duration_s, augments
        self.n_frames = int(duration_s * store.frames_per_s)
        self._lengths_s = store.lengths_s
        self.n_skipped = sum(not self._is_long(length_s) for length_s in self._lengths_s)
        if self.n_skipped == len(self._lengths_s) or self.n_frames < 1:
            raise DatasetError(
                f"the longest clip has {max(self._lengths_s, default=0.0):.1f} s, and items of {duration_s:g} s need "
                f"{duration_s + _SPARE_S:.1f} s; give a config with a smaller data.duration"
            )

    def draw(self, step: int, part: int, n_parts: int, count: int) -> tuple[DiffusionItems, ItemDraws]:
        """Return the items of a step that belong to one of `n_parts` processes, and the chance of their losses."""
        numbers = item_numbers(step, part, n_parts, count)
        items = [self._item(number, item_chance(self._seed, number)) for number in numbers]
        names = [field.name for field in fields(DiffusionItems)]
        batch = {name: torch.stack([getattr(item, name) for item in items]) for name in names}
        return DiffusionItems(**batch), ItemDraws(self._seed, numbers)

    def _item(self, number: int, chance: np.random.Generator) -> DiffusionItems:
        """Return one item, without the axis of the batch."""
        place = shuffled_place(self._seed, number, len(self._lengths_s))
        while not self._is_long(self._lengths_s[place]):
            place = (place + 1) % len(self._lengths_s)
        clip = self._store.clip(place)
        start_s = chance.random() * (self._lengths_s[place] - self._duration_s - _SPARE_S)
        first = int(start_s * self._store.frames_per_s)
        frames = slice(first, first + self.n_frames)
        augmented = self._augments and chance.random() < AUGMENTED_SHARE
        shift = clip.key_shift_semitones if augmented else 0.0
        return DiffusionItems(
            units=clip.units[frames].float(),
            f0_hz=clip.f0_hz[frames, None] * 2 ** (shift / 12),
            volume=(clip.augmented_volume if augmented else clip.volume)[frames, None],
            mel=(clip.augmented_mel if augmented else clip.mel)[frames].float(),
            speaker=torch.tensor([clip.speaker], device=clip.mel.device),
            aug_shift=torch.tensor([[shift]], device=clip.mel.device),
        )

    def _is_long(self, length_s: float) -> bool:
        return length_s >= self._duration_s + _SPARE_S
