"""Items and batches from a dataset folder of so-vits-svc against recorded ones, once it is a dataset of our own."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tests.golden_cases import Case, parametrize
from tests.toy_dataset import FEATURES, feature_folders, toy_clip
from timbre.audio.reader import read_audio
from timbre.config.vits import VitsShape
from timbre.config.vits_training import VitsTrainingSettings
from timbre.dataset.folder import open_dataset
from timbre.dataset.manifest import ClipEntry, DatasetManifest
from timbre.dataset.places import write_clip, write_features, write_manifest
from timbre.train.vits_batch import VitsBatch, VitsItem, collate
from timbre.train.vits_items import ClipSource, augmented
from timbre.weights.restricted import read_checkpoint

ORIGINAL_SHUFFLE_SEED = 1234


@parametrize("dataset")
def test_items_and_batch(case: Case, tmp_path: Path) -> None:
    shape, settings = VitsShape.from_config(case.config), VitsTrainingSettings.from_config(case.config)
    names = case.beside(case.config["data"]["training_files"]).read_text(encoding="utf-8").split()
    random.Random(ORIGINAL_SHUFFLE_SEED).shuffle(names)  # clips of one name were recorded in the loader's order
    files = [case.beside(name) for name in names]
    clips = [write_as_ours(case, tmp_path, number, file, shape) for number, file in enumerate(files)]
    write_manifest(tmp_path, manifest_of(clips, shape))
    source = ClipSource(open_dataset(tmp_path), shape, settings, seed=0)
    items = [augmented(source.load(clip), shape, settings, np.random.default_rng(0)) for clip in clips]
    items = [with_recorded_gaps(case, item, file) for item, file in zip(items, files, strict=True)]
    got = {f"batch.{key}": value for key, value in batch_arrays(collate(items)).items()}
    for file, item in zip(files, items, strict=True):
        got |= {f"item.{file.name}.{key}": value for key, value in item_arrays(item).items()}
    case.judge(got)


def write_as_ours(case: Case, folder: Path, number: int, file: Path, shape: VitsShape) -> ClipEntry:
    """Write a clip and its features as a dataset of our own holds them; its volume is always measured anew."""
    sound = read_audio(file)
    (wave,), (f0_hz, voiced) = sound.samples, pitch_of(case, file)
    units = read_checkpoint(case.beside(f"{file}.soft.pt")).data
    seconds, rate_hz = len(wave) / sound.sample_rate_hz, sound.sample_rate_hz
    grid = {"rate_hz": rate_hz, "frame_rate_hz": shape.sample_rate_hz, "hop_samples": shape.hop_samples}
    clip = toy_clip(number, file.parent.name, seconds, **grid, split="train")
    write_clip(folder, clip.id, wave, rate_hz)
    for kind, arrays in {
        "content": {"content": units[0].T.contiguous().numpy()},
        "pitch": {"f0_hz": f0_hz, "voiced": voiced},
        "loudness": {"volume": np.ones(clip.n_frames, dtype=np.float32)},
    }.items():
        write_features(folder, FEATURES[kind], clip.id, arrays)
    return clip


def manifest_of(clips: list[ClipEntry], shape: VitsShape) -> DatasetManifest:
    return DatasetManifest(
        sample_rate_hz=shape.sample_rate_hz,
        frame_rate_hz=shape.sample_rate_hz,
        hop_samples=shape.hop_samples,
        encoder=shape.speech_encoder,
        content_width=shape.ssl_dim,
        pitch="pm",
        settings={},
        speakers=shape.speakers,
        features=feature_folders(diffusion=False),
        clips=tuple(clips),
        left_out=(),
        diffusion=False,
    )


def with_recorded_gaps(case: Case, item: VitsItem, file: Path) -> VitsItem:
    """Return an item with the pitch that the file has between voiced frames, which was drawn and not interpolated."""
    f0_hz, voiced = (torch.from_numpy(values[: item.n_frames]) for values in pitch_of(case, file))
    return replace(item, f0_hz=torch.where(voiced, item.f0_hz, f0_hz))


def pitch_of(case: Case, file: Path) -> tuple[np.ndarray, np.ndarray]:
    f0_hz, voiced = np.load(case.beside(f"{file}.f0.npy"), allow_pickle=True)
    return f0_hz.astype(np.float32), voiced.astype(bool)


def item_arrays(item: VitsItem) -> dict[str, torch.Tensor | None]:
    return {
        "c": item.units,
        "f0": item.f0_hz,
        "spec": item.spectrum,
        "wav": item.wave,
        "spk": torch.tensor([item.speaker]),
        "uv": item.voiced,
        "vol": item.volume,
    }


def batch_arrays(batch: VitsBatch) -> dict[str, torch.Tensor | None]:
    return {
        "c": batch.units,
        "f0": batch.f0_hz,
        "spec": batch.spectrum,
        "wav": batch.wave,
        "spk": batch.speaker,
        "lengths": batch.lengths,
        "uv": batch.voiced,
        "vol": batch.volume,
    }
