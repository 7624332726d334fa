"""What the training of a diffusion model starts from: settings, speakers, weights (models spec 9.1 and 9.8)."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from timbre.config.diffusion import DiffusionShape, read_diffusion_yaml
from timbre.config.diffusion_training import DiffusionTrainingSettings, usual_diffusion_config
from timbre.config.train import TrainSettings
from timbre.dataset.folder import STRETCH_MODE, Dataset
from timbre.dataset.manifest import DatasetManifest
from timbre.errors import DatasetError, MissingWeightsError, SettingsError
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.train.item_draws import seeded
from timbre.weights.identify import FileKind, network_state, require_kind
from timbre.weights.restricted import read_checkpoint

CONFIG_FILE = "config.yaml"
AMP_KEY = "amp_dtype of the diffusion settings"
_FILE_NAME = re.compile(r"model_(\d+)\.pt")
_NUMBER_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class StartFile:
    """A model_<step>.pt to start from."""

    path: Path
    step: int
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class DiffusionSetup:
    """The settings file of the model to come, and what it says."""

    config: Mapping[str, Any]
    is_given: bool  # it is a user's, so that its number type counts
    shape: DiffusionShape
    training: DiffusionTrainingSettings

    @property
    def wanted_number_type(self) -> torch.dtype | None:
        """What a user's settings ask to compute in."""
        return _NUMBER_TYPES[self.training.amp_dtype] if self.is_given else None


def read_start(place: Path) -> StartFile:
    """Read a model_<step>.pt, or the one of the highest step in a folder.

    Raises MissingWeightsError where there is none, WeightsError for a damaged or another file.
    """
    path = place
    if place.is_dir():
        steps = {int(match[1]): file for file in place.iterdir() if (match := _FILE_NAME.fullmatch(file.name))}
        if not steps:
            raise MissingWeightsError(f"{place} holds no model_*.pt; give such a file of a diffusion model to start")
        path = steps[max(steps)]
    checkpoint = read_checkpoint(path)
    require_kind(checkpoint, (FileKind.DIFFUSION,), path)
    step = checkpoint.data.get("global_step")
    return StartFile(path, step if type(step) is int and step > 0 else 0, network_state(checkpoint.data))


def set_up(
    dataset: Dataset, settings: TrainSettings, start: StartFile | None, voice_speakers: Mapping[str, int] | None
) -> DiffusionSetup:
    """Return the settings of a model for a dataset: those of --config, those beside the start, or the usual ones.

    The speakers are those of the dataset, with the numbers that the voice they are for gives them. Raises DatasetError
    for a dataset without what diffusion needs, SettingsError for settings that do not fit it.
    """
    manifest = dataset.manifest
    if not manifest.diffusion:
        raise DatasetError(
            f"{dataset.folder} holds no mel spectrograms to learn from; prepare the recordings with --diffusion"
        )
    beside = None if start is None else start.path.with_name(CONFIG_FILE)
    given = Path(settings.config) if settings.config else beside if beside is not None and beside.is_file() else None
    config = _usual_config(manifest) if given is None else copy.deepcopy(read_diffusion_yaml(given))
    shape = DiffusionShape.from_config(config)
    speakers = _speaker_numbers(manifest.speakers, shape.speakers, voice_speakers)
    if speakers != shape.speakers:
        config["spk"], config["model"]["n_spk"] = speakers, max(speakers.values()) + 1
        shape = DiffusionShape.from_config(config)
    _check_fits(shape, manifest)
    training = DiffusionTrainingSettings.from_config(config)
    if settings.learning_rate is not None:
        training = replace(training, lr=settings.learning_rate)
    return DiffusionSetup(config, given is not None, shape, training)


def new_model(setup: DiffusionSetup, n_mels: int, start: StartFile | None, seed: int) -> tuple[Unit2Mel, list[str]]:
    """Make the model with the weights of `start` that fit it; returns it and the names of weights that are fresh."""
    with seeded(seed):
        model = Unit2Mel(setup.shape, n_mels)
    if start is None:
        return model, []
    fresh = []
    for name, parameter in model.named_parameters():
        given = start.tensors.get(name)
        if given is not None and given.shape == parameter.shape:
            parameter.data.copy_(given)
        else:
            fresh.append(name)
    return model, fresh


def _usual_config(manifest: DatasetManifest) -> dict[str, Any]:
    facts = (manifest.encoder, manifest.content_width, manifest.frame_rate_hz, manifest.hop_samples)
    return usual_diffusion_config(*facts, STRETCH_MODE)


def _speaker_numbers(
    names: Mapping[str, int], configured: Mapping[str, int], of_voice: Mapping[str, int] | None
) -> dict[str, int]:
    """Return the numbers of speakers: those of the voice, of the config where it knows all, or of the dataset."""
    if of_voice is not None:
        if set(names) <= set(of_voice):
            return dict(of_voice)
        if len(names) > 1 or len(of_voice) > 1:
            raise SettingsError(
                f"the dataset is of {', '.join(names)}, but the voice knows {', '.join(of_voice)}; "
                "prepare recordings of its speakers under the same names"
            )
    if set(names) <= set(configured):
        return dict(configured)
    return {name: number for number, name in enumerate(names)}


def _check_fits(shape: DiffusionShape, manifest: DatasetManifest) -> None:
    """Raise SettingsError where the model hears other features than the dataset holds."""
    for key, wanted, there in (
        ("encoder", shape.encoder, manifest.encoder),
        ("encoder_out_channels", shape.encoder_out_channels, manifest.content_width),
        ("sampling_rate", shape.sampling_rate, manifest.frame_rate_hz),
        ("block_size", shape.block_size, manifest.hop_samples),
    ):
        if wanted != there:
            raise SettingsError(
                f"the diffusion settings say {key} {wanted}, but the dataset was prepared with {there}; "
                "prepare it anew for these settings, or give others with --config"
            )
