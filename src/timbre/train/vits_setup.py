"""What so-vits-svc training starts from: its config.json, number type and weights (models spec 1, 7.4 and 7.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from timbre.config.train import TrainSettings
from timbre.config.vits import VitsShape
from timbre.config.vits_template import HeardContent, new_config, said_by_options, with_speakers
from timbre.config.vits_training import VitsTrainingSettings
from timbre.dataset.manifest import DatasetManifest
from timbre.errors import DatasetError, SettingsError
from timbre.models.vits.discriminator import MultiPeriodDiscriminator
from timbre.models.vits.synthesizer import Synthesizer
from timbre.train.item_draws import seeded
from timbre.train.number_type import choose_number_type
from timbre.train.vits_checkpoint import CheckpointFiles, fill
from timbre.train.vits_step import NUMBER_TYPES, VitsTraining, start_training
from timbre.voice.sovits.parts import release_of
from timbre.voice.sovits.reading import read_config

_NAMES = {number_type: name for name, number_type in NUMBER_TYPES.items()}
_BATCH_SIZE = 6


@dataclass(frozen=True)
class VitsSetup:
    """The config.json of the model to come, and what it says."""

    config: Mapping[str, Any]
    shape: VitsShape
    training: VitsTrainingSettings
    release: str  # whose behaviour it is trained with
    batch_size: int
    notes: tuple[str, ...]

    @property
    def number_type(self) -> torch.dtype:
        """What the networks compute in."""
        return NUMBER_TYPES[self.training.precision]


def set_up(manifest: DatasetManifest, settings: TrainSettings, device: torch.device) -> VitsSetup:
    """Return the settings of a model for a dataset: those of --config, or else the template of so-vits-svc 4.1.

    Raises SettingsError for a config.json that cannot be used, DatasetError where the dataset was prepared for
    another one, DeviceError for a precision that the device has not.
    """
    heard = _heard_content(manifest)
    given = None if settings.config is None else read_config(Path(settings.config))
    config = new_config(heard) if given is None else with_speakers(given, heard.speakers)
    shape, training = VitsShape.from_config(config), VitsTrainingSettings.from_config(config)
    _check_fits(heard, shape)
    wanted = None if given is None else NUMBER_TYPES[training.precision]
    number_type, notes = choose_number_type(wanted, "config.json", settings.precision, device)
    config["train"]["batch_size"] = settings.batch_size or _batch_size(config["train"])
    config["train"]["learning_rate"] = settings.learning_rate or training.learning_rate
    training = replace(VitsTrainingSettings.from_config(config), precision=_NAMES[number_type])
    batch_size = config["train"]["batch_size"]
    notes += [] if given is None else _not_followed(given)
    return VitsSetup(config, shape, training, release_of(config), batch_size, tuple(notes))


def _not_followed(given: Mapping[str, Any]) -> list[str]:
    """Say which values of a user's config.json do not count."""
    options = said_by_options(given)
    if not options:
        return []
    values = ", ".join(f"train.{key} {given['train'][key]!r}" for key in options)
    instead = ", ".join(option for option in options.values() if option)
    return [f"config.json says {values}, which does not count here" + (f"; give {instead}" if instead else "")]


def _batch_size(train: Mapping[str, Any]) -> int:
    given = train.get("batch_size", _BATCH_SIZE)
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise SettingsError(f"train.batch_size of config.json is {given!r}, and must be a whole number from 1 on")
    return given


def begin(
    setup: VitsSetup, start: CheckpointFiles | None, seed: int, device: torch.device
) -> tuple[VitsTraining, list[str]]:
    """Make the networks and their optimizers, filled with what fits of `start`; returns notes for the user too.

    Raises WeightsError for files that are damaged or of another kind, SettingsError for a config.json that contradicts
    itself.
    """
    with seeded(seed):
        synthesizer = Synthesizer(setup.shape, f0_saturates=setup.release == "4.0")
        discriminator = MultiPeriodDiscriminator(use_spectral_norm=setup.training.use_spectral_norm)
    training = start_training(synthesizer.to(device).train(), discriminator.to(device).train(), setup.training)
    return training, [] if start is None else fill(training, start)


def _heard_content(manifest: DatasetManifest) -> HeardContent:
    hop, rest = divmod(manifest.hop_samples * manifest.sample_rate_hz, manifest.frame_rate_hz)
    if rest:
        raise DatasetError(
            f"the dataset has frames of {manifest.hop_samples} samples at {manifest.frame_rate_hz} Hz, which are no "
            f"whole samples at {manifest.sample_rate_hz} Hz; prepare it again"
        )
    return HeardContent(
        manifest.encoder,
        manifest.content_width,
        manifest.sample_rate_hz,
        hop,
        manifest.speakers,
        manifest.settings.get("vol_aug") is True,
    )


def _check_fits(heard: HeardContent, shape: VitsShape) -> None:
    """Raise DatasetError where the dataset was prepared for another model."""
    if heard.encoder.removesuffix("-onnx") != shape.speech_encoder.removesuffix("-onnx"):
        raise DatasetError(
            f"the dataset was prepared with the encoder {heard.encoder}, and config.json says {shape.speech_encoder}; "
            f"prepare the recordings with --encoder {shape.speech_encoder}, or leave out --config"
        )
    for what, found, said in (
        ("content of width", heard.width, shape.ssl_dim),
        ("the sample rate", heard.sample_rate_hz, shape.sample_rate_hz),
        ("frames of the length", heard.hop_samples, shape.hop_samples),
    ):
        if found != said:
            raise DatasetError(
                f"the dataset has {what} {found}, and config.json says {said}; prepare the recordings again for it, or "
                "leave out --config"
            )
