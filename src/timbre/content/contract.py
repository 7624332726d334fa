"""What every content encoder promises."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 320


class ContentEncoder(Protocol):
    """Tells what is said or sung in each 20 ms of a mono wave at 16 kHz (pipeline spec 1.1)."""

    dimensions: int
    sample_rate_hz: int
    hop_samples: int

    def encode(self, wave: Tensor) -> Tensor:
        """Return the features of `wave` [N], float32 within -1..1, on the encoder's device: [T, dimensions].

        Frame t starts at sample 320 t; T is (N - 400) // 320 + 1 unless the encoder pads the wave. A wave too short
        for a frame, even an empty one, is followed by zeros until one frame comes out. The whole wave is encoded at
        once: a caller with a long one cuts it.
        """
        ...

    def to(self, device: str) -> ContentEncoder:
        """Move the encoder to a device and return it."""
        ...

    def reduce(self, number_type: torch.dtype) -> None:
        """Compute in `number_type` from now on where accuracy allows; features stay float32.

        It cannot be undone. The features then differ from the exact ones by about -40 dB of what changes in them from
        frame to frame. An ONNX network stays as it is.
        """
        ...
