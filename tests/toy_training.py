"""so-vits-svc training for tests: of tiny networks, and with the full-size discriminator of the recorded cases."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tests.rule_weights import hashed_tensor
from tests.toy_vits import HOP_SAMPLES, WIDTH, toy_config
from timbre.config.vits import VitsShape
from timbre.config.vits_training import VitsTrainingSettings
from timbre.models.vits.discriminator import MultiPeriodDiscriminator, SubDiscriminator
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.weight_norm import legacy_name
from timbre.train.vits_batch import VitsBatch
from timbre.train.vits_step import VitsTraining, start_training

_TRAIN = {
    "learning_rate": 1e-3,
    "betas": [0.8, 0.99],
    "eps": 1e-9,
    "lr_decay": 0.5,
    "warmup_epochs": 0,
    "segment_size": 4 * HOP_SAMPLES,
    "c_mel": 45,
    "c_kl": 1.0,
    "fp16_run": False,
    "half_type": "fp16",
    "vol_aug": False,
}
_DATA = {
    "win_length": 32,
    "n_mel_channels": 4,
    "mel_fmin": 0.0,
    "mel_fmax": None,
    "unit_interpolate_mode": "nearest",
}
_MODEL = {
    "p_dropout": 0.0,  # torch draws it from the global generator
    "use_spectral_norm": False,
    "use_automatic_f0_prediction": True,
    "vol_embedding": False,
}


def training_config(**changes: Any) -> dict[str, Any]:
    """Return the config.json of a tiny network; `changes` replace keys in the section that has them."""
    config = toy_config()
    for section, values in (("train", _TRAIN), ("data", _DATA), ("model", _MODEL)):
        config[section] = {**config[section], **values}
    for key, value in changes.items():
        next(section for section in config.values() if key in section)[key] = value
    return config


class ToyDiscriminator(MultiPeriodDiscriminator):
    """One discriminator of the wave and one of the wave folded by 3, of one layer each."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        of_wave = [weight_norm(nn.Conv1d(1, 4, 5, 2, padding=2))]
        of_columns = [weight_norm(nn.Conv2d(1, 4, (5, 1), (3, 1), padding=(2, 0)))]
        self.discriminators = nn.ModuleList(
            [
                SubDiscriminator(of_wave, weight_norm(nn.Conv1d(4, 1, 3, padding=1)), None),
                SubDiscriminator(of_columns, weight_norm(nn.Conv2d(4, 1, (3, 1), padding=(1, 0))), 3),
            ]
        )


def toy_training(seed: int = 0, **changes: Any) -> VitsTraining:
    """Start a training of tiny networks; their weights follow from `seed`."""
    config = training_config(**changes)
    synthesizer, discriminator = Synthesizer(VitsShape.from_config(config)), ToyDiscriminator()
    for network in (synthesizer, discriminator):
        randomise(network, seed)
    return start_training(synthesizer, discriminator, VitsTrainingSettings.from_config(config))


@torch.no_grad()
def randomise(network: nn.Module, seed: int) -> None:
    """Give every weight, also those that start at 0, a value that follows from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))


def toy_batch(lengths: tuple[int, ...] = (12, 7), *, seed: int = 0, volume: bool = False) -> VitsBatch:
    """Make a batch for the tiny networks."""
    generator = torch.Generator().manual_seed(seed)
    n_items, n_frames = len(lengths), max(lengths)
    inside = (torch.arange(n_frames) < torch.tensor(lengths)[:, None]).float()

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return VitsBatch(
        units=noise(n_items, WIDTH, n_frames) * inside[:, None],
        f0_hz=(200 + 20 * noise(n_items, n_frames)) * inside,
        voiced=inside,
        spectrum=noise(n_items, 17, n_frames).abs() * inside[:, None],
        wave=0.1 * noise(n_items, 1, n_frames * HOP_SAMPLES),
        speaker=torch.arange(n_items)[:, None] % 2,
        lengths=torch.tensor(lengths),
        volume=noise(n_items, n_frames).abs() * inside if volume else None,
    )


def hashed_discriminator() -> MultiPeriodDiscriminator:
    """Return the full-size discriminator of the recorded cases; each weight follows from its legacy key."""
    discriminator = MultiPeriodDiscriminator().eval()
    for key, tensor in discriminator.state_dict().items():
        tensor.copy_(hashed_tensor(legacy_name(key), list(tensor.shape)))
    return discriminator
