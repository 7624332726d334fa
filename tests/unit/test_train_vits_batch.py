"""What becomes of the items of so-vits-svc training: crops, changes of volume, and batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.toy_training import training_config
from tests.toy_vits import HOP_SAMPLES, WIDTH
from timbre.config.vits import VitsShape
from timbre.config.vits_training import VitsTrainingSettings
from timbre.train.vits_batch import VitsItem, collate
from timbre.train.vits_items import augmented, random_gain, spectrum_of, with_gain


def facts(**changes: Any) -> tuple[VitsShape, VitsTrainingSettings]:
    config = training_config(**changes)
    return VitsShape.from_config(config), VitsTrainingSettings.from_config(config)


def item_of(n_frames: int = 40) -> VitsItem:
    """Return an item of noise whose features count its frames; it has a volume."""
    noise = np.random.default_rng(n_frames).uniform(-0.5, 0.5, (1, n_frames * HOP_SAMPLES))
    wave, frames = torch.from_numpy(noise.astype(np.float32)), torch.arange(float(n_frames))
    return VitsItem(
        units=frames.expand(WIDTH, -1),
        f0_hz=100 + frames,
        voiced=torch.ones(n_frames),
        spectrum=spectrum_of(wave, *facts()),
        wave=wave,
        speaker=0,
        volume=frames,
    )


def test_long_clips_are_cut_at_random_to_790_frames() -> None:
    whole, starts = item_of(900), set()
    for seed in range(8):
        item = augmented(whole, *facts(vol_embedding=True), np.random.default_rng(seed))
        start = int(item.f0_hz[0]) - 100
        starts.add(start)
        assert 0 <= start <= 100
        assert item.n_frames == item.units.shape[-1] == item.spectrum.shape[-1] == 790
        assert item.wave.shape == (1, 790 * HOP_SAMPLES)
        assert item.volume is not None and float(item.volume[0]) == start
    assert len(starts) > 4
    torch.testing.assert_close(item.wave, whole.wave[:, start * HOP_SAMPLES :][:, : 790 * HOP_SAMPLES], rtol=0, atol=0)
    assert augmented(item_of(800), *facts(), np.random.default_rng(0)).n_frames == 800


def test_volume_changes_in_half_of_the_items_and_follows_from_the_generator() -> None:
    plain, both = item_of(), facts(vol_embedding=True, vol_aug=True)
    items = [augmented(plain, *both, np.random.default_rng(seed)) for seed in range(40)]
    changed = [item for item in items if not torch.equal(item.wave, plain.wave)]
    assert 10 < len(changed) < 30
    assert len({float(item.wave[0, 0]) for item in changed}) == len(changed)
    for item in changed[:3]:
        assert item.volume is not None and plain.volume is not None
        torch.testing.assert_close(item.volume[1:] / plain.volume[1:], (item.wave[0, 0] / plain.wave[0, 0]).expand(39))
    assert torch.equal(items[0].spectrum, augmented(plain, *both, np.random.default_rng(0)).spectrum)
    for item, off in ((plain, {"vol_embedding": True}), (replace(plain, volume=None), {"vol_aug": True})):
        same = [augmented(item, *facts(**off), np.random.default_rng(seed)) for seed in range(4)]
        assert all(torch.equal(each.wave, plain.wave) for each in same)


@pytest.mark.parametrize(("peak", "highest"), [(1.0, 1.0), (0.5, 2.0), (0.001, 10.0), (0.0, 10.0)])
def test_gain_stays_within_full_scale(peak: float, highest: float) -> None:
    chance = np.random.default_rng(0)
    gains = [random_gain(torch.tensor([[-peak, 0.0]]), chance) for _ in range(400)]
    assert min(gains) == pytest.approx(0.1, rel=0.05)
    assert max(gains) == pytest.approx(highest, rel=0.05)
    assert max(gains) <= highest


def test_gain_acts_on_the_recording_and_not_on_its_spectrum() -> None:
    item = item_of()
    louder = with_gain(item, 3.0, *facts())
    assert torch.equal(louder.wave, 3 * item.wave)
    floor = 1e-6  # of the power, added after the gain
    torch.testing.assert_close(louder.spectrum.square() - floor, 9 * (item.spectrum.square() - floor))
    assert torch.equal(louder.f0_hz, item.f0_hz)


def test_a_batch_is_sorted_and_filled_with_zeros() -> None:
    items = [item_of(n_frames) for n_frames in (20, 30)]
    twin = replace(items[1], speaker=1)
    batch = collate([items[0], items[1], twin])
    assert batch.lengths.tolist() == [30, 30, 20]
    assert batch.speaker.tolist() == [[0], [1], [0]]
    assert batch.units.shape == (3, WIDTH, 30)
    assert batch.wave.shape == (3, 1, 30 * HOP_SAMPLES)
    assert batch.spectrum.shape == (3, 17, 30)
    assert batch.volume is not None and batch.volume.shape == (3, 30)
    assert torch.equal(batch.units[2, :, :20], items[0].units)
    for values in (batch.units, batch.f0_hz, batch.voiced, batch.spectrum, batch.volume):
        assert not values[2, ..., 20:].any()
    assert not batch.wave[2, 0, 20 * HOP_SAMPLES :].any()
    assert batch.to(torch.device("meta")).wave.is_meta
    without = collate([replace(item, volume=None) for item in items])
    assert without.volume is None and without.to(torch.device("cpu")).volume is None
