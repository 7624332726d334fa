"""The base model of the fast family: one set of networks that all its voices share."""

from __future__ import annotations

import copy
import functools
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from timbre.config.fast import HOP_SAMPLES, N_FFT, SAMPLE_RATE_HZ, FastShape
from timbre.content.fast import FastContentEncoder
from timbre.errors import MissingWeightsError, VoiceError
from timbre.models.fast.decoder import FastDecoder
from timbre.models.fast.synthesis import FastSynthesis
from timbre.nn.device import check_device
from timbre.speaker.fast import FastSpeakerEncoder
from timbre.voice import shelf
from timbre.weights.digest import sha256_of

BASE_NAME = "timbre-base"
SHAPE_FILE, WEIGHTS_FILE = "base.json", "weights.safetensors"


class FastNetworks(nn.Module):
    """Content encoder, speaker encoder and decoder, as they are trained and packaged together."""

    def __init__(self, shape: FastShape) -> None:
        super().__init__()
        self.content = FastContentEncoder(**vars(shape.content))
        self.speaker = FastSpeakerEncoder(**vars(shape.speaker))
        self.decoder = FastDecoder(**vars(shape.decoder))
        self.synthesis = FastSynthesis(N_FFT, HOP_SAMPLES, SAMPLE_RATE_HZ)


@dataclass(frozen=True)
class Base:
    """A base model in memory, float32, ready to use."""

    name: str
    sha256: str  # of the weights file
    shape: FastShape
    networks: FastNetworks
    device: torch.device
    is_tuned: bool = False  # its decoder was trained further for one voice


def with_decoder(base: Base, decoder: FastDecoder) -> Base:
    """Return `base` with another decoder of its shape, for one voice; all else is shared with `base`."""
    networks = copy.copy(base.networks)
    networks._modules = {**base.networks._modules, "decoder": decoder}
    return replace(base, networks=networks, is_tuned=True)


def load_base(folder: Path | None = None, device: str = "cpu") -> Base:
    """Load the base in `folder` (default: the packaged one) onto `device`.

    Raises MissingWeightsError where it is not there, VoiceError where it is damaged, DeviceError for a device that this
    machine does not have.
    """
    return _load_base(folder or shelf.ASSETS / "base", str(check_device(device)))


@functools.lru_cache(maxsize=2)
def _load_base(folder: Path, device: str) -> Base:
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise MissingWeightsError(
            f"{folder} holds no {WEIGHTS_FILE}; install timbre again, or give the folder of a base"
        )
    try:
        shape = FastShape.from_mapping(json.loads((folder / SHAPE_FILE).read_text(encoding="utf-8"))["shape"])
        networks = FastNetworks(shape)
        networks.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise VoiceError(
            f"the base in {folder} is damaged ({str(error).splitlines()[0]}); install timbre again"
        ) from error
    digest = sha256_of(weights)
    networks.eval().requires_grad_(False).to(device)
    return Base(BASE_NAME, digest, shape, networks, torch.device(device))
