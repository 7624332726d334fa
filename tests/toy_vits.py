"""A small so-vits-svc synthesizer with random weights; its sound is noise, not its timing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from timbre.config.vits import VitsShape
from timbre.models.vits.synthesizer import Synthesizer

HOP_SAMPLES = 8
WIDTH = 6
TOY_MODEL = {
    "inter_channels": 4,
    "hidden_channels": 8,
    "filter_channels": 10,
    "n_heads": 2,
    "n_layers": 2,
    "kernel_size": 3,
    "p_dropout": 0.1,
    "resblock": "1",
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]],
    "upsample_rates": [4, 2],
    "upsample_initial_channel": 8,
    "upsample_kernel_sizes": [8, 4],
    "gin_channels": 5,
    "ssl_dim": WIDTH,
    "n_speakers": 3,
}
TOY_DATA = {"sampling_rate": 44_100, "hop_length": HOP_SAMPLES, "filter_length": 32}


def toy_config(**changes: Any) -> dict[str, Any]:
    """Return a config.json of 4.0, with `changes` to its section model."""
    return {"train": {}, "data": dict(TOY_DATA), "model": TOY_MODEL | changes, "spk": {"ada": 0, "björn": 1}}


def toy_synthesizer(*, seed: int = 1, f0_saturates: bool = False, **changes: Any) -> Synthesizer:
    """Return a synthesizer for evaluation in which no weight is zero."""
    model = Synthesizer(VitsShape.from_config(toy_config(**changes)), f0_saturates=f0_saturates)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def toy_inputs(n_frames: int, n_batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Return units, f0 in Hz and voiced."""
    generator = torch.Generator().manual_seed(n_frames)
    units = torch.randn(n_batch, WIDTH, n_frames, generator=generator)
    f0_hz = 100 + 300 * torch.rand(n_batch, n_frames, generator=generator)
    return units, f0_hz, (torch.rand(n_batch, n_frames, generator=generator) > 0.3).float()
