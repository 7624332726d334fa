"""The artefact dataset: what is written is read again anywhere, and what is wrong is told in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toy_dataset import FEATURES, WIDTH, longer, toy_clip, write_toy_dataset
from timbre.dataset.folder import open_dataset
from timbre.dataset.manifest import count_frames, manifest_text, parse_manifest
from timbre.dataset.places import MANIFEST_FILE, clip_file, feature_file, write_manifest, write_text
from timbre.errors import DatasetError, OutputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    write_toy_dataset(folder)
    return folder


def test_what_is_written_is_read_again_after_a_move(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "データ"
    shutil.copytree(folder, moved)
    shutil.rmtree(folder)
    dataset = open_dataset(moved)
    assert dataset.manifest.speakers == {"Björn": 0, "ada": 1}
    clip = dataset.manifest.clips[1]
    assert clip == toy_clip(1)
    assert dataset.wave(clip).shape == (clip.n_samples,)
    features = dataset.features(clip)
    assert features.content.shape == (clip.n_frames, WIDTH)
    assert features.mel is not None and features.augmented_mel is not None
    assert features.mel.shape == features.augmented_mel.shape
    assert features.voiced.dtype == np.bool_ and np.array_equal(features.voiced, features.f0_hz > 0)
    assert isinstance(features.key_shift_semitones, float)


def test_content_is_spread_over_the_frames(folder: Path) -> None:
    dataset = open_dataset(folder)
    clip = dataset.manifest.clips[0]
    units, content = dataset.units(clip), dataset.features(clip).content
    np.testing.assert_array_equal(content, units[np.arange(clip.n_frames) * len(units) // clip.n_frames])


def test_clips_are_chosen_by_split_and_speaker(folder: Path) -> None:
    dataset = open_dataset(folder)
    assert len(dataset.clips()) == 4
    assert [clip.id for clip in dataset.clips("validation")] == [toy_clip(0).id]
    assert [clip.speaker for clip in dataset.clips("train", "Björn")] == ["Björn"]


def test_without_diffusion(tmp_path: Path) -> None:
    write_toy_dataset(tmp_path, diffusion=False)
    dataset = open_dataset(tmp_path)
    assert dataset.features(dataset.manifest.clips[0]).mel is None


def test_manifest_is_the_same_text_each_time(folder: Path) -> None:
    text = (folder / MANIFEST_FILE).read_text(encoding="utf-8")
    assert manifest_text(parse_manifest(text)) == text
    assert str(folder) not in text


@pytest.mark.parametrize(
    ("n_samples", "rates", "hop", "wanted"),
    [(44_100, (44_100, 44_100), 512, 86), (44_100, (44_100, 16_000), 160, 100), (441, (44_100, 16_000), 160, 1)],
)
def test_frames_are_counted_at_the_rate_of_the_frames(
    n_samples: int, rates: tuple[int, int], hop: int, wanted: int
) -> None:
    assert count_frames(n_samples, *rates, hop) == wanted


def change(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values.__setitem__(key, value)


def change_clip(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values["clips"][0].__setitem__(key, value)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (change("format", 2), "format 2"),
        (change("hop_samples", "512"), "hop_samples"),
        (change("hop_samples", 0), "below 1"),
        (change("diffusion", 1), "diffusion"),
        (change("clips", {}), "no list of clips"),
        (change("clips", [3]), "int"),
        (change("surplus", 1), "surplus"),
        (lambda values: values.pop("encoder"), "encoder"),
        (
            change("features", {"content": "content-00000001"}),
            "the features content instead of content, pitch, loudness, diffusion",
        ),
        (change("features", {**FEATURES, "pitch": "../pitch-1"}), "'../pitch-1'"),
        (change("features", {**FEATURES, "pitch": 7}), "folder 7"),
        (change("speakers", {"ada": 0}), "Björn"),
        (change("speakers", {"ada": "0", "Björn": 1}), "whole number"),
        (change_clip("id", "../../etc/passwd"), "passwd"),
        (change_clip("id", f"{1:016x}"), "twice"),
        (change_clip("split", "test"), "split"),
        (change_clip("gain_db", float("nan")), "gain_db"),
        (change_clip("n_frames", True), "n_frames"),
    ],
)
def test_damaged_manifest_is_told(folder: Path, damage: Callable[[dict[str, Any]], None], says: str) -> None:
    values = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    damage(values)
    (folder / MANIFEST_FILE).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(DatasetError) as told:
        open_dataset(folder)
    assert says in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_manifest_that_is_none(folder: Path, content: bytes) -> None:
    (folder / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(DatasetError):
        open_dataset(folder)


def test_folder_that_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no dataset\.json"):
        open_dataset(tmp_path / "nothing")


def test_missing_file_is_named(folder: Path) -> None:
    feature_file(folder, FEATURES["pitch"], toy_clip(2).id).unlink()
    with pytest.raises(DatasetError, match=f"1 of its 20 files, such as features/pitch-.*{toy_clip(2).id}"):
        open_dataset(folder)


@pytest.mark.parametrize("whole_folder", [True, False])
def test_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path, whole_folder: bool) -> None:
    inner = folder / "clips" if whole_folder else clip_file(folder, toy_clip(1).id)
    outer = tmp_path / "outside"
    inner.rename(outer)
    inner.symlink_to(outer)
    with pytest.raises(DatasetError, match="outside of the dataset"):
        open_dataset(folder)


def test_damaged_sound_and_features_are_told(folder: Path) -> None:
    dataset, clip = open_dataset(folder), toy_clip(1)
    clip_file(folder, clip.id).write_bytes(b"no sound")
    feature_file(folder, FEATURES["loudness"], clip.id).write_bytes(b"no arrays")
    for read in (dataset.wave, dataset.features):
        with pytest.raises(DatasetError, match="cannot be read"):
            read(clip)


def test_features_of_another_clip_are_told(tmp_path: Path) -> None:
    clips = [toy_clip(0), toy_clip(1)]
    manifest = write_toy_dataset(tmp_path, clips)
    values = json.loads(manifest_text(manifest))
    values["clips"] = [vars(longer(clip)) for clip in clips]
    write_manifest(tmp_path, parse_manifest(json.dumps(values)))
    dataset = open_dataset(tmp_path)
    for read in (dataset.wave, dataset.features):
        with pytest.raises(DatasetError, match=r"not the one it was|does not belong"):
            read(dataset.manifest.clips[0])


def test_failed_writing_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr("timbre.files.writing.os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
