"""What so-vits-svc training starts from: its config.json, number type and weights (models spec 1, 7.4 and 7.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from timbre.config.train import TrainSettings
from timbre.config.vits import VitsShape
from timbre.config.vits_template import HeardContent, new_config, with_speakers
from timbre.config.vits_training import Precision, VitsTrainingSettings
from timbre.dataset.manifest import DatasetManifest
from timbre.errors import DatasetError, MissingWeightsError
from timbre.models.vits.discriminator import MultiPeriodDiscriminator
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.precision import reduced_type
from timbre.train.sovits_voice import seeded
from timbre.train.vits_checkpoint import newest_pair, read_vits_checkpoint, restore_optimizer, take_fitting
from timbre.train.vits_step import VitsTraining, start_training
from timbre.voice.sovits.parts import release_of
from timbre.voice.sovits.reading import read_config
from timbre.weights.digest import sha256_of

_NUMBER_TYPES: Mapping[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
_NAMES = {number_type: name for name, number_type in _NUMBER_TYPES.items()}
_BATCH_SIZE = 6
_SYNTHESIZER_FILE = re.compile(r"G_(\d+)\.pth")
_FEW_NAMES = 3


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
        return _NUMBER_TYPES[self.training.precision]


@dataclass(frozen=True)
class StartFiles:
    """The weights to start from; without a discriminator that one begins anew."""

    synthesizer: Path
    discriminator: Path | None

    @property
    def digest(self) -> str:
        """Hash of the contents."""
        files = [file for file in (self.synthesizer, self.discriminator) if file is not None]
        return "+".join(sha256_of(file) for file in files)


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
    wanted = training.precision if given is not None and settings.precision == "auto" else None
    precision, notes = _choose_precision(wanted, settings.precision, device)
    config["train"]["batch_size"] = settings.batch_size or config["train"].get("batch_size", _BATCH_SIZE)
    config["train"]["learning_rate"] = settings.learning_rate or training.learning_rate
    training = replace(VitsTrainingSettings.from_config(config), precision=precision)
    batch_size = int(config["train"]["batch_size"])
    return VitsSetup(config, shape, training, release_of(config), batch_size, notes)


def find_start(place: Path) -> StartFiles:
    """Return the files in a folder, the newest pair or a lone G_*.pth, or a file and the D_*.pth beside it.

    Raises MissingWeightsError where there is none.
    """
    if place.is_dir():
        lone = sorted(place.glob("G_*.pth"))
        if len(lone) == 1:
            place = lone[0]
        else:
            pair = newest_pair(place)
            if pair is None:
                raise MissingWeightsError(f"{place} holds no G_*.pth; give a folder with G_0.pth and D_0.pth to start")
            return StartFiles(pair.synthesizer, pair.discriminator)
    if not place.is_file():
        raise MissingWeightsError(f"{place} is not there; give a folder with G_0.pth and D_0.pth, or a file G_*.pth")
    match = _SYNTHESIZER_FILE.fullmatch(place.name)
    partner = place.with_name(f"D_{match[1]}.pth") if match else None
    return StartFiles(place, partner if partner is not None and partner.is_file() else None)


def begin(
    setup: VitsSetup, start: StartFiles | None, seed: int, device: torch.device
) -> tuple[VitsTraining, list[str]]:
    """Make the networks, with the weights of `start` that fit, and their optimizers; returns notes for the user too.

    States of the optimizers are taken where all weights fit and both are there. Raises WeightsError for files that
    are damaged or of another kind, SettingsError for a config.json that contradicts itself.
    """
    with seeded(seed):
        synthesizer = Synthesizer(setup.shape, f0_saturates=setup.release == "4.0")
        discriminator = MultiPeriodDiscriminator(use_spectral_norm=setup.training.use_spectral_norm)
    training = start_training(synthesizer.to(device).train(), discriminator.to(device).train(), setup.training)
    if start is None:
        return training, []
    given = read_vits_checkpoint(start.synthesizer)
    fresh = [f"{given.name}: {name}" for name in take_fitting(synthesizer, given)]
    if start.discriminator is None:
        return training, [*_fresh_note(fresh), f"beside {given.name} there is no discriminator, which begins anew"]
    judging = read_vits_checkpoint(start.discriminator)
    fresh += [f"{judging.name}: {name}" for name in take_fitting(discriminator, judging)]
    if not fresh and given.optimizer is not None and judging.optimizer is not None:
        for optimizer, checkpoint in (
            (training.synthesizer_optimizer, given),
            (training.discriminator_optimizer, judging),
        ):
            restore_optimizer(optimizer, checkpoint)
            optimizer.param_groups[0].update(betas=setup.training.betas, eps=setup.training.eps)
    return training, _fresh_note(fresh)


def _fresh_note(fresh: list[str]) -> list[str]:
    if not fresh:
        return []
    shown = ", ".join(fresh[:_FEW_NAMES]) + (", ..." if len(fresh) > _FEW_NAMES else "")
    return [f"{len(fresh)} weights of the start do not fit or are not there and begin anew: {shown}"]


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
            f"prepare the recordings with --encoder {shape.speech_encoder}, or leave out the config"
        )
    for what, found, said in (
        ("content is wide", heard.width, shape.ssl_dim),
        ("sample rate is", heard.sample_rate_hz, shape.sample_rate_hz),
        ("frame has samples", heard.hop_samples, shape.hop_samples),
    ):
        if found != said:
            raise DatasetError(
                f"the dataset's {what}: {found}, and config.json says {said}; prepare the recordings for it again, or "
                "leave out the config"
            )


def _choose_precision(wanted: Precision | None, asked: str, device: torch.device) -> tuple[Precision, tuple[str, ...]]:
    """Return what to compute in: what a given config says, where it is `wanted`, else what the settings ask for."""
    if wanted is not None and (wanted != "float16" or device.type == "cuda"):
        return wanted, ()
    precision = _NAMES[reduced_type(asked, device) or torch.float32]
    if wanted is None:
        return precision, ()
    return precision, (f"config.json asks for float16, which needs CUDA; computed in {precision}",)
