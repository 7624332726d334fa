"""Items and batches from a dataset folder of so-vits-svc against recorded ones."""

from __future__ import annotations

import random

import numpy as np
import torch

from tests.golden_cases import Case, parametrize
from timbre.config.vits import VitsShape
from timbre.config.vits_training import VitsTrainingSettings
from timbre.train.legacy_dataset import LegacyDataset, read_file_list
from timbre.train.vits_batch import VitsBatch, VitsItem, collate

ORIGINAL_SHUFFLE_SEED = 1234


@parametrize("dataset")
def test_items_and_batch(case: Case) -> None:
    shape = VitsShape.from_config(case.config)
    file_list = case.beside(case.config["data"]["training_files"])
    files = list(read_file_list(file_list, case.path.parent))
    random.Random(ORIGINAL_SHUFFLE_SEED).shuffle(files)  # clips of one name were recorded in the loader's order
    for file in files:
        for ending in ("", ".soft.pt", ".f0.npy", *([".vol.npy"] if shape.vol_embedding else [])):
            case.beside(f"{file}{ending}")
    dataset = LegacyDataset(tuple(files), shape, VitsTrainingSettings.from_config(case.config))
    items = [dataset.item(index, np.random.default_rng(0)) for index in range(len(dataset))]
    got = {f"batch.{key}": value for key, value in batch_arrays(collate(items)).items()}
    for file, item in zip(files, items, strict=True):
        got |= {f"item.{file.name}.{key}": value for key, value in item_arrays(item).items()}
    case.judge(got)


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
