"""What so-vits-svc training learns from in a dataset: items drawn by their number (models spec 8.6 and 8.7)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from timbre.config.vits import VitsShape
from timbre.config.vits_training import VitsTrainingSettings
from timbre.dataset.folder import STRETCH_MODE, Dataset
from timbre.dataset.manifest import ClipEntry
from timbre.dsp.spectrogram import linear_spectrogram
from timbre.dsp.stretch import stretch
from timbre.dsp.volume import frame_volume
from timbre.errors import DatasetError
from timbre.pitch.gaps import bridge
from timbre.train.item_draws import ItemDraws, item_chance, item_numbers, shuffled_place
from timbre.train.vits_batch import VitsBatch, VitsItem, collate

_LONGEST_FRAMES, _CROP_FRAMES = 800, 790
_VOLUME_SHARE = 0.5  # of the items, whose volume changes


class ClipSource:
    """Draws the items of the clips to learn from; equal seeds and numbers give equal items, whatever came before.

    The items of a training are numbered through: each epoch has every clip once, in an order of its own. Raises
    DatasetError where no clip is as long as a training segment.
    """

    def __init__(self, dataset: Dataset, shape: VitsShape, settings: VitsTrainingSettings, seed: int) -> None:
        self._dataset, self._shape, self._settings, self._seed = dataset, shape, settings, seed
        clips, needed = dataset.clips("train"), settings.segment_size
        self.clips = tuple(clip for clip in clips if self._n_samples(clip) >= needed)
        self.n_left_out = len(clips) - len(self.clips)
        if not self.clips:
            seconds = needed / shape.sample_rate_hz
            raise DatasetError(
                f"no clip of {dataset.folder} to learn from is as long as a training segment, {seconds:.2f} s; "
                "prepare longer recordings, or give a config.json with a smaller train.segment_size"
            )

    def epoch(self, step: int, n_parts: int, count: int) -> int:
        """Return the epoch, from 1, that a step of `n_parts` times `count` items begins in."""
        return 1 + step * n_parts * count // len(self.clips)

    def batch(self, step: int, part: int, n_parts: int, count: int) -> tuple[VitsBatch, ItemDraws]:
        """Return the `count` items of one of `n_parts` parts of a step, and what draws for each of them."""
        numbered = [(self.item(number), number) for number in item_numbers(step, part, n_parts, count)]
        numbered.sort(key=lambda pair: -pair[0].n_frames)
        return collate([item for item, _ in numbered]), ItemDraws(self._seed, [number for _, number in numbered])

    def item(self, number: int) -> VitsItem:
        """Return an item by its number, augmented; raises DatasetError where its files are damaged."""
        clip = self.clips[shuffled_place(self._seed, number, len(self.clips))]
        return augmented(self.load(clip), self._shape, self._settings, item_chance(self._seed, number))

    def shown(self, speaker: str) -> VitsBatch:
        """Return one clip that is always the same, of the speaker's validation clips where one is long enough."""
        held_out = self._dataset.clips("validation", speaker)
        long = [clip for clip in held_out if self._n_samples(clip) >= self._settings.segment_size]
        item = self.load((long or self.clips)[0])
        return collate([cut(item, 0, min(item.n_frames, _CROP_FRAMES), self._shape.hop_samples)])

    def load(self, clip: ClipEntry) -> VitsItem:
        """Read a clip as it is, on as many frames as sound and features both have."""
        shape = self._shape
        wave, features = torch.from_numpy(self._dataset.wave(clip))[None], self._dataset.features(clip)
        if shape.unit_interpolate_mode == STRETCH_MODE:
            units = torch.from_numpy(features.content).T
        else:
            units = stretch(torch.from_numpy(self._dataset.units(clip)).T, clip.n_frames, shape.unit_interpolate_mode)
        spectrum = spectrum_of(wave, shape, self._settings)
        item = VitsItem(
            units=units,
            f0_hz=torch.from_numpy(bridge(np.where(features.voiced, features.f0_hz, 0)).astype(np.float32)),
            voiced=torch.from_numpy(features.voiced.astype(np.float32)),
            spectrum=spectrum,
            wave=wave,
            speaker=shape.speakers[clip.speaker],
            volume=frame_volume(wave[0], shape.hop_samples) if shape.vol_embedding else None,
        )
        return cut(item, 0, min(clip.n_frames, spectrum.shape[-1]), shape.hop_samples)

    def _n_samples(self, clip: ClipEntry) -> int:
        hop = self._shape.hop_samples
        return min(clip.n_frames, clip.n_samples // hop) * hop


def augmented(
    item: VitsItem, shape: VitsShape, settings: VitsTrainingSettings, chance: np.random.Generator
) -> VitsItem:
    """Return an item, its volume changed at times where `settings` say so; of more than 800 frames, 790 of them."""
    if settings.vol_aug and item.volume is not None and chance.random() < _VOLUME_SHARE:
        item = with_gain(item, random_gain(item.wave, chance), shape, settings)
    if item.n_frames <= _LONGEST_FRAMES:
        return item
    first = int(chance.integers(0, item.n_frames - _LONGEST_FRAMES, endpoint=True))
    return cut(item, first, _CROP_FRAMES, shape.hop_samples)


def random_gain(wave: Tensor, chance: np.random.Generator) -> float:
    """Draw a factor from 0.1 to what just fits full scale, at most 10, evenly in decibels (models spec 8.6)."""
    peak = float(wave.abs().max()) + 1e-5
    return float(10 ** chance.uniform(-1, min(1.0, math.log10(1 / peak))))


def with_gain(item: VitsItem, gain: float, shape: VitsShape, settings: VitsTrainingSettings) -> VitsItem:
    """Return the item as if it had been recorded louder by the factor `gain`."""
    wave = item.wave * gain
    volume = None if item.volume is None else item.volume * gain
    return replace(item, wave=wave, spectrum=spectrum_of(wave, shape, settings), volume=volume)


def spectrum_of(wave: Tensor, shape: VitsShape, settings: VitsTrainingSettings) -> Tensor:
    """Return the linear magnitudes of a wave [1, N] -> [S, N // hop_samples]."""
    return linear_spectrogram(wave, shape.filter_length, shape.hop_samples, settings.win_length)[0]


def cut(item: VitsItem, first: int, n_frames: int, hop_samples: int) -> VitsItem:
    """Return `n_frames` frames of an item from `first` on."""

    def part(values: Tensor, samples: int = 1) -> Tensor:
        return values[..., first * samples : (first + n_frames) * samples]

    return replace(
        item,
        units=part(item.units),
        f0_hz=part(item.f0_hz),
        voiced=part(item.voiced),
        spectrum=part(item.spectrum),
        wave=part(item.wave, hop_samples),
        volume=None if item.volume is None else part(item.volume),
    )
