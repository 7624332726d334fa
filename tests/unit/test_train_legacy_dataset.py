"""Reading dataset folders of so-vits-svc: chance, old forms, and what does not belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from tests.toy_training import training_config
from tests.toy_vits import HOP_SAMPLES, WIDTH
from timbre.config.vits import VitsShape
from timbre.config.vits_training import VitsTrainingSettings
from timbre.errors import AudioError, DatasetError, TimbreError, WeightsError
from timbre.train.legacy_dataset import LegacyDataset, load_item, read_file_list
from timbre.train.vits_batch import VitsItem, collate
from timbre.train.vits_items import random_gain, with_gain

RATE_HZ = 44_100


def write_clip(
    folder: Path, name: str = "clip.wav", n_frames: int = 40, *, extra_samples: int = 0, peak: float = 0.5
) -> Path:
    """Write a recording and its features, each feature counting its frames."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(n_frames).uniform(-1, 1, n_frames * HOP_SAMPLES + extra_samples)
    soundfile.write(folder / name, noise * peak, RATE_HZ, subtype="PCM_16")
    units = torch.arange(n_frames, dtype=torch.float32).expand(1, WIDTH, n_frames)
    torch.save(units, folder / f"{name}.soft.pt")
    f0_hz, voiced = 100 + np.arange(n_frames, dtype=np.float64), np.ones(n_frames)
    np.save(folder / f"{name}.f0.npy", np.array([f0_hz, voiced], dtype=object), allow_pickle=True)
    np.save(folder / f"{name}.vol.npy", np.arange(n_frames, dtype=np.float32))
    return folder / name


def dataset(*files: Path, **changes: Any) -> LegacyDataset:
    config = training_config(**changes)
    return LegacyDataset(files, VitsShape.from_config(config), VitsTrainingSettings.from_config(config))


def load(file: Path, **changes: Any) -> VitsItem:
    parts = dataset(file, **changes)
    return load_item(file, parts.shape, parts.settings)


def f0_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.f0.npy")


def test_an_item_lies_on_one_frame_grid(tmp_path: Path) -> None:
    item = load(write_clip(tmp_path / "björn", "ö 1.wav", 40, extra_samples=HOP_SAMPLES + 3), vol_embedding=True)
    assert item.n_frames == 40
    assert item.speaker == 1
    assert item.wave.shape == (1, 40 * HOP_SAMPLES)
    assert item.units.shape == (WIDTH, 40)
    assert item.spectrum.shape == (17, 40)
    assert item.volume is not None and torch.equal(item.volume, torch.arange(40.0))
    assert torch.equal(item.f0_hz, 100 + torch.arange(40.0))


def test_volume_is_read_only_where_the_model_hears_it(tmp_path: Path) -> None:
    file = write_clip(tmp_path / "ada")
    file.with_name("clip.wav.vol.npy").unlink()
    assert load(file).volume is None
    with pytest.raises(DatasetError, match=r"has no 'clip\.wav\.vol\.npy' beside it"):
        load(file, vol_embedding=True)


def test_pitch_of_4_0_is_bridged(tmp_path: Path) -> None:
    file = write_clip(tmp_path / "ada", n_frames=16)
    raw = np.zeros(16)
    raw[4], raw[8] = 100.0, 200.0
    np.save(f0_file(file), raw)
    item = load(file)
    assert item.f0_hz[[0, 4, 5, 8, 15]].tolist() == [100, 100, 125, 200, 200]
    assert item.voiced.sum() == 2


def test_long_clips_are_cut_at_random_to_790_frames(tmp_path: Path) -> None:
    clips = dataset(write_clip(tmp_path / "ada", n_frames=900), vol_embedding=True)
    starts = set()
    for seed in range(8):
        item = clips.item(0, np.random.default_rng(seed))
        start = int(item.f0_hz[0]) - 100
        starts.add(start)
        assert 0 <= start <= 100
        assert item.n_frames == item.units.shape[-1] == item.spectrum.shape[-1] == 790
        assert item.wave.shape == (1, 790 * HOP_SAMPLES)
        assert item.volume is not None and float(item.volume[0]) == start
    assert len(starts) > 4
    whole = load_item(clips.wave_files[0], clips.shape, clips.settings)
    torch.testing.assert_close(item.wave, whole.wave[:, start * HOP_SAMPLES :][:, : 790 * HOP_SAMPLES], rtol=0, atol=0)
    exactly = dataset(write_clip(tmp_path / "ada", "b.wav", n_frames=800))
    assert exactly.item(0, np.random.default_rng(0)).n_frames == 800


def test_volume_changes_in_half_of_the_items_and_follows_from_the_generator(tmp_path: Path) -> None:
    clips = dataset(write_clip(tmp_path / "ada"), vol_embedding=True, vol_aug=True)
    plain = load_item(clips.wave_files[0], clips.shape, clips.settings)
    items = [clips.item(0, np.random.default_rng(seed)) for seed in range(40)]
    changed = [item for item in items if not torch.equal(item.wave, plain.wave)]
    assert 10 < len(changed) < 30
    assert len({float(item.wave[0, 0]) for item in changed}) == len(changed)
    for item in changed[:3]:
        assert item.volume is not None and plain.volume is not None
        torch.testing.assert_close(item.volume[1:] / plain.volume[1:], (item.wave[0, 0] / plain.wave[0, 0]).expand(39))
    assert torch.equal(items[0].spectrum, clips.item(0, np.random.default_rng(0)).spectrum)
    for off in ({"vol_aug": False, "vol_embedding": True}, {"vol_aug": True}):
        same = [dataset(*clips.wave_files, **off).item(0, np.random.default_rng(seed)) for seed in range(4)]
        assert all(torch.equal(item.wave, plain.wave) for item in same)


@pytest.mark.parametrize(("peak", "highest"), [(1.0, 1.0), (0.5, 2.0), (0.001, 10.0), (0.0, 10.0)])
def test_gain_stays_within_full_scale(peak: float, highest: float) -> None:
    chance = np.random.default_rng(0)
    gains = [random_gain(torch.tensor([[-peak, 0.0]]), chance) for _ in range(400)]
    assert min(gains) == pytest.approx(0.1, rel=0.05)
    assert max(gains) == pytest.approx(highest, rel=0.05)
    assert max(gains) <= highest


def test_gain_acts_on_the_recording_and_not_on_its_spectrum(tmp_path: Path) -> None:
    file = write_clip(tmp_path / "ada")
    item, clips = load(file), dataset(file)
    louder = with_gain(item, 3.0, clips.shape, clips.settings)
    assert torch.equal(louder.wave, 3 * item.wave)
    floor = 1e-6  # of the power, added after the gain
    torch.testing.assert_close(louder.spectrum.square() - floor, 9 * (item.spectrum.square() - floor))
    assert torch.equal(louder.f0_hz, item.f0_hz)


def change_f0(values: Any) -> Callable[[Path], None]:
    return lambda file: np.save(f0_file(file), values, allow_pickle=True)


def pair(f0_hz: NDArray[Any]) -> NDArray[Any]:
    return np.array([f0_hz, np.ones(len(f0_hz))], dtype=object)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_f0(pair(np.full(43, 100.0))), r"'clip\.wav' has 40 frames and its features have \[43\]"),
        (change_f0(np.ones((3, 40))), r"has the shape \(3, 40\); it must be \[2, T\]"),
        (change_f0(pair(np.full(40, np.nan))), r"'clip\.wav\.f0\.npy' holds NaN or infinity"),
        (change_f0(np.array([["a"] * 40] * 2, dtype=object)), "does not hold plain numbers"),
        (change_f0(np.array([[None] * 40] * 2, dtype=object)), r"(does not hold plain numbers|holds NaN)"),
        (lambda file: f0_file(file).unlink(), r"has no 'clip\.wav\.f0\.npy' beside it"),
        (lambda file: f0_file(file).write_bytes(b"\x93NUMPY"), r"'clip\.wav\.f0\.npy' is cut off, damaged"),
        (
            lambda file: torch.save(torch.ones(1, WIDTH + 1, 9), f"{file}.soft.pt"),
            rf"shape \(1, {WIDTH + 1}, 9\); the config needs \[1, {WIDTH}, T\]",
        ),
        (lambda file: torch.save({"a": 1}, f"{file}.soft.pt"), "does not hold plain numbers"),
        (lambda file: soundfile.write(file, np.zeros(320), 48_000), "1 channels at 48000 Hz"),
        (lambda file: soundfile.write(file, np.zeros((320, 2)), RATE_HZ), "2 channels at 44100 Hz"),
        (lambda file: soundfile.write(file, np.zeros(8), RATE_HZ), "longer one"),
    ],
)
def test_what_does_not_belong_together_is_named(tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    file = write_clip(tmp_path / "ada")
    load(file)
    change(file)
    with pytest.raises((DatasetError, WeightsError, AudioError), match=message) as error:
        load(file)
    assert "\n" not in str(error.value)


def test_features_may_be_two_frames_off(tmp_path: Path) -> None:
    file = write_clip(tmp_path / "ada")
    for n_frames in (38, 42):
        np.save(f0_file(file), pair(np.full(n_frames, 100.0)), allow_pickle=True)
        assert load(file).n_frames == min(n_frames, 40)


def test_unknown_speakers_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is of 'eve', but the config knows: ada, björn"):
        load(write_clip(tmp_path / "eve"))


def test_file_lists(tmp_path: Path) -> None:
    file_list = tmp_path / "train.txt"
    file_list.write_text("\ufeffada/ö 1.wav\n\n./ada\\2.wav|0|more\n", encoding="utf-8")
    assert read_file_list(file_list, tmp_path) == (tmp_path / "ada" / "ö 1.wav", tmp_path / "ada" / "2.wav")
    file_list.write_text(f"{tmp_path}/ada/1.wav\n")
    assert read_file_list(file_list, tmp_path) == (tmp_path / "ada" / "1.wav",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"../secret.wav\n", r"names '\.\./secret\.wav', which is outside of"),
        (b"/etc/passwd\n", "which is outside of"),
        (b"\n\n", "names no recording"),
        (b"\xff\xfe\n", "cannot be read as text"),
        (None, "cannot be read as text"),
    ],
)
def test_wrong_file_lists(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(TimbreError, match=message):
        read_file_list(tmp_path / "train.txt", tmp_path)


def test_a_batch_is_sorted_and_filled_with_zeros(tmp_path: Path) -> None:
    items = [load(write_clip(tmp_path / "ada", f"{n}.wav", n), vol_embedding=True) for n in (20, 30)]
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
