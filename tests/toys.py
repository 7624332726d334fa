"""Small stand-ins made through the normal code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from timbre.config.fast import ContentShape, DecoderShape, FastShape, SpeakerShape
from timbre.voice.base import BASE_NAME, SHAPE_FILE, WEIGHTS_FILE, Base, FastNetworks, load_base
from timbre.voice.card import VoiceCard
from timbre.voice.fast import FastVoice, Reference

TOY_SHAPE = FastShape(
    content=ContentShape(
        width=12,
        inner_width=10,
        kernels=(5, 3, 3),
        dilations=(1, 2, 4),
        lookaheads=(2, 2, 0),
        content_channels=5,
    ),
    speaker=SpeakerShape(width=8, inner_width=6, n_blocks=2, speaker_channels=4),
    decoder=DecoderShape(
        content_channels=5,
        speaker_channels=4,
        width=10,
        inner_width=8,
        dilations=(1, 2, 1),
        bank_width=8,
        bank_heads=2,
    ),
)


def liven(module: torch.nn.Module) -> None:
    """Give all weights random values large enough that every path matters (fresh residual branches are near zero)."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            scale = 0.3 if parameter.dim() > 1 else 0.1
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))


def make_toy_base() -> Base:
    """A base with random weights."""
    networks = FastNetworks(TOY_SHAPE)
    liven(networks)
    networks.eval().requires_grad_(False)
    return Base(BASE_NAME, "toy", TOY_SHAPE, networks, torch.device("cpu"))


def make_toy_voice() -> FastVoice:
    """A voice of that base with a random reference of 40 frames."""
    generator = torch.Generator().manual_seed(1)
    reference = Reference(
        torch.nn.functional.normalize(torch.randn(4, generator=generator), dim=0),
        torch.randn(40, 5, generator=generator),
        150 + 50 * torch.rand(40, generator=generator),
        torch.randn(40, 80, generator=generator),
        0.3 * torch.randn(40, 80, generator=generator),
        torch.nn.functional.normalize(torch.randn(3, 5, generator=generator), dim=1),
        torch.randn(3, 80, generator=generator),
        torch.tensor([20.0, 15.0, 5.0]),
    )
    card = VoiceCard(
        name="toy",
        description="random",
        languages=("en",),
        median_f0_hz=180.0,
        licence="CC0 1.0",
        attribution="nobody",
        base=BASE_NAME,
        base_sha256="toy",
        reference_s=0.4,
    )
    return FastVoice(card, make_toy_base(), reference)


def save_toy_assets(folder: Path) -> None:
    """Write the toy base and two toy voices as the package holds them."""
    networks, base_folder = make_toy_base().networks, folder / "base"
    base_folder.mkdir()
    tensors = {name: tensor.half().contiguous() for name, tensor in networks.state_dict().items()}
    save_file(tensors, base_folder / WEIGHTS_FILE)
    about = {"name": BASE_NAME, "version": "toy", "licence": "CC0-1.0", "shape": TOY_SHAPE.to_mapping()}
    (base_folder / SHAPE_FILE).write_text(json.dumps(about), encoding="utf-8")
    base, toy = load_base(base_folder), make_toy_voice()
    for name in ("ada", "björn"):
        card = replace(toy.card, name=name, base_sha256=base.sha256)
        FastVoice(card, base, toy.reference).save(folder / "voices" / name)


def glide(seconds: float, sample_rate_hz: int, low_hz: float = 150.0, high_hz: float = 300.0) -> NDArray[np.float32]:
    """A voice-like tone [N] with ten harmonics whose pitch rises evenly (in octaves)."""
    time = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    frequency = low_hz * (high_hz / low_hz) ** (time / seconds)
    phase = 2 * np.pi * np.cumsum(frequency) / sample_rate_hz
    wave = sum(np.sin(k * phase) / k for k in range(1, 11))
    return np.asarray(0.15 * wave, dtype=np.float32)
