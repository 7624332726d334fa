"""The base model of the fast family: one set of networks that all its voices share."""

from __future__ import annotations

import copy
import functools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

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

Module = TypeVar("Module", bound=nn.Module)
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
    return replace(base, networks=_with_parts(base.networks, decoder=decoder), is_tuned=True)


@functools.lru_cache(maxsize=2)
def with_reduced_products(base: Base, number_type: torch.dtype) -> Base:
    """Return `base` with encoder and decoder that compute the products of their blocks in `number_type`."""
    content, decoder = (
        _with_parts(network, stack=network.stack.reduced(number_type))
        for network in (base.networks.content, base.networks.decoder)
    )
    return replace(base, networks=_with_parts(base.networks, content=content, decoder=decoder))


def _with_parts(module: Module, **parts: nn.Module) -> Module:
    """Return a copy of `module` with other `parts`; it shares all else."""
    copied = copy.copy(module)
    copied._modules = {**module._modules, **parts}
    return copied


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
