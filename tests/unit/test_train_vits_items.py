"""What so-vits-svc training draws from a dataset: the same for the same numbers, however it is cut into batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.toy_dataset import WIDTH, toy_clip, write_toy_dataset
from tests.toy_training import ToyDiscriminator
from tests.toy_vits_dataset import tiny_config
from timbre.config.vits import VitsShape
from timbre.config.vits_training import VitsTrainingSettings
from timbre.dataset.folder import open_dataset
from timbre.errors import DatasetError
from timbre.models.vits.synthesizer import Synthesizer
from timbre.train.item_draws import ItemDraws, seeded, shuffled_place
from timbre.train.vits_items import ClipSource
from timbre.train.vits_step import (
    VitsTraining,
    discriminator_loss,
    make_segments,
    start_training,
    synthesizer_losses,
)

HOP_SAMPLES = 512
GRID = {"hop_length": HOP_SAMPLES, "upsample_rates": [8, 8, 8], "upsample_kernel_sizes": [16, 16, 16]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of one length, and one that is shorter than a segment."""
    folder = tmp_path_factory.mktemp("vits")
    clips = [replace(toy_clip(number), split="train") for number in range(5)]
    write_toy_dataset(folder, [*clips, toy_clip(7, seconds=0.05)], diffusion=False)
    return folder


def config(**changes: Any) -> dict[str, Any]:
    values = {**GRID, "segment_size": 10 * HOP_SAMPLES, "p_dropout": 0.0, "speech_encoder": "toy", **changes}
    return {**tiny_config(WIDTH, **values), "spk": {"ada": 0}}


def source(folder: Path, seed: int = 0, **changes: Any) -> ClipSource:
    given = config(**changes)
    return ClipSource(open_dataset(folder), VitsShape.from_config(given), VitsTrainingSettings.from_config(given), seed)


def test_each_epoch_has_every_clip_once_in_an_order_of_its_own(folder: Path) -> None:
    clips = source(folder)
    assert len(clips.clips) == 5 and clips.n_left_out == 1
    epochs = [[shuffled_place(0, number, 5) for number in range(first, first + 5)] for first in (0, 5, 10)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs) and len({tuple(epoch) for epoch in epochs}) > 1
    assert [clips.epoch(step, 1, 2) for step in (0, 2, 3, 5)] == [1, 1, 2, 3]
    assert clips.epoch(3, 2, 1) == clips.epoch(3, 1, 2)


def test_two_parts_hold_the_items_of_one(folder: Path) -> None:
    whole, _ = source(folder).batch(1, 0, 1, 4)
    halves = [source(folder).batch(1, part, 2, 2)[0] for part in range(2)]
    assert torch.equal(whole.units, torch.cat([half.units for half in halves]))
    assert not torch.equal(whole.units, source(folder, seed=1).batch(1, 0, 1, 4)[0].units)


def test_two_processes_have_the_gradients_of_one_with_the_doubled_batch(folder: Path) -> None:
    """Clips of one length: no padding, by which the losses kl and lf0 would weigh the halves otherwise."""
    clips = source(folder)
    whole = _gradients(clips, 0, 1, 4)
    halves = [_gradients(clips, part, 2, 2) for part in range(2)]
    for name, gradient in whole.items():
        mean = (halves[0][name] + halves[1][name]) / 2
        assert torch.allclose(gradient, mean, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()) + 1e-9), name


def _gradients(clips: ClipSource, part: int, n_parts: int, count: int) -> dict[str, torch.Tensor]:
    given = config()
    with seeded(3):
        synthesizer, discriminator = Synthesizer(VitsShape.from_config(given)), ToyDiscriminator()
    training: VitsTraining = start_training(synthesizer, discriminator, VitsTrainingSettings.from_config(given))
    segments = make_segments(training, *clips.batch(0, part, n_parts, count))
    discriminator_loss(training, segments).backward()
    synthesizer_losses(training, segments).total().backward()
    return {
        name: weight.grad
        for network in (synthesizer, discriminator)
        for name, weight in network.named_parameters()
        if weight.grad is not None and not name.endswith("conv_k.bias")  # rounding noise: the softmax sees them not
    }


def test_draws_do_not_depend_on_the_batch_or_its_padding() -> None:
    one, two = ItemDraws(0, [7]), ItemDraws(0, [3, 7])
    assert torch.equal(one.normal(1, 4, 10)[0], two.normal(2, 4, 25)[1, :, :10])
    assert torch.equal(one.uniform(1)[0], two.uniform(2)[1])
    assert torch.equal(one.normal(1, 6, 9)[0], two.normal(2, 6, 9)[1])
    assert not torch.equal(one.uniform(1), one.uniform(1))
    assert one.uniform(1, 3).shape == (1, 3) and one.uniform(1).dtype == torch.float32


def test_items_have_all_features_on_one_grid(folder: Path) -> None:
    item = source(folder, vol_embedding=True).load(open_dataset(folder).clips("train")[0])
    n_frames = item.n_frames
    assert item.units.shape == (WIDTH, n_frames) and item.spectrum.shape == (1025, n_frames)
    assert item.wave.shape == (1, n_frames * HOP_SAMPLES)
    assert item.volume is not None and item.volume.shape == (n_frames,)
    assert source(folder).load(open_dataset(folder).clips("train")[0]).volume is None  # the model does not hear it
    assert bool((item.f0_hz > 0).all()) and 0 < item.voiced.mean() < 1  # gaps are bridged
    other = source(folder, unit_interpolate_mode="linear").load(open_dataset(folder).clips("train")[0])
    assert other.units.shape == item.units.shape and not torch.equal(other.units, item.units)


def test_volume_changes_for_half_of_the_items(folder: Path) -> None:
    plain, changing = source(folder, vol_embedding=True), source(folder, vol_embedding=True, vol_aug=True)
    changed = [not torch.equal(plain.item(number).wave, changing.item(number).wave) for number in range(24)]
    assert 4 < sum(changed) < 20
    again = changing.item(changed.index(True))
    assert torch.equal(again.wave, changing.item(changed.index(True)).wave)


def test_clips_that_are_all_too_short_are_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"as long as a training segment, 1\.16 s"):
        source(folder, segment_size=100 * HOP_SAMPLES)
