"""A vocoder from its files, as a voice with a diffusion model builds it."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.toys_sovits import DIFFUSION
from timbre.config.diffusion import DiffusionShape
from timbre.vocoder.nsf_hifigan import NsfHifigan, read_vocoder
from timbre.voice.sovits.building import BuiltNetworks
from timbre.voice.sovits.parts import Network, SovitsParts


def load_vocoder(place: Path, vocoder_type: str = "nsf-hifigan") -> NsfHifigan:
    """Load the vocoder at `place` for use."""
    shape = DiffusionShape.from_config({**DIFFUSION, "vocoder": {"type": vocoder_type}})
    parts = SovitsParts(None, None, Network(*read_vocoder(place)), "4.1")
    return BuiltNetworks(parts, None, shape, torch.device("cpu")).vocoder(None)
