"""The packaged content encoder, as voices that hear whole stretches take it."""

from __future__ import annotations

import torch
from torch import Tensor

from timbre.dsp import frontend
from timbre.errors import VoiceError
from timbre.features.extract import FrameExtractor
from timbre.voice.base import Base, load_base
from timbre.voice.card import VoiceCard


class PackagedEncoder:
    """The content encoder of a base, 100 frames a second (a `ContentEncoder`); it computes in float32."""

    sample_rate_hz, hop_samples = frontend.SAMPLE_RATE_HZ, frontend.HOP_SAMPLES

    def __init__(self, base: Base) -> None:
        self._base = base
        self.dimensions = base.shape.content.content_channels

    def encode(self, wave: Tensor) -> Tensor:
        """Return the content of `wave` [N]: [N // 160, dimensions], one frame at least."""
        wave = torch.nn.functional.pad(wave, (0, max(0, self.hop_samples - len(wave))))
        return FrameExtractor(self._base.networks.content).content(wave.to(self._base.device))

    def to(self, device: str) -> PackagedEncoder:
        """Return the encoder on a device."""
        return PackagedEncoder(load_base(device=device))

    def reduce(self, number_type: torch.dtype) -> None:
        """Stay in float32, in which it is quick."""


def packaged_encoder(card: VoiceCard, device: str) -> PackagedEncoder:
    """Return the encoder for a voice; raises VoiceError where the voice was trained with another version of it."""
    base = load_base(device=device)
    if card.base_sha256 and card.base_sha256 != base.sha256:
        raise VoiceError(
            f"voice {card.name!r} was trained with another version of the packaged encoder; train it again, or use "
            "the timbre that it was trained with"
        )
    return PackagedEncoder(base)
