"""What one step of so-vits-svc training learns from: items of one clip each, and batches of them (models spec 8.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True, eq=False)
class VitsItem:
    """A stretch of one clip and its features on one frame grid of n frames."""

    units: Tensor  # [U, n]
    f0_hz: Tensor  # [n], gaps bridged
    voiced: Tensor  # [n], 1 or 0
    spectrum: Tensor  # [S, n], linear magnitudes
    wave: Tensor  # [1, n * hop_samples]
    speaker: int
    volume: Tensor | None  # [n]

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.f0_hz.shape[-1]


@dataclass(frozen=True, eq=False)
class VitsBatch:
    """Items, the longest first, each filled up with zeros to the longest one."""

    units: Tensor  # [B, U, T]
    f0_hz: Tensor  # [B, T]
    voiced: Tensor  # [B, T]
    spectrum: Tensor  # [B, S, T]
    wave: Tensor  # [B, 1, T * hop_samples]
    speaker: Tensor  # [B, 1] int64
    lengths: Tensor  # [B] int64, frames of each
    volume: Tensor | None  # [B, T]

    def to(self, device: torch.device) -> VitsBatch:
        """Return the batch on another device."""
        tensors = {name: value for name, value in vars(self).items() if value is not None}
        return replace(self, **{name: value.to(device, non_blocking=True) for name, value in tensors.items()})


def collate(items: Sequence[VitsItem]) -> VitsBatch:
    """Join items, which all or none have a volume, into one batch; equally long ones keep their order."""
    items = sorted(items, key=lambda item: -item.n_frames)
    volumes = [item.volume for item in items if item.volume is not None]
    return VitsBatch(
        units=_padded([item.units for item in items]),
        f0_hz=_padded([item.f0_hz for item in items]),
        voiced=_padded([item.voiced for item in items]),
        spectrum=_padded([item.spectrum for item in items]),
        wave=_padded([item.wave for item in items]),
        speaker=torch.tensor([[item.speaker] for item in items]),
        lengths=torch.tensor([item.n_frames for item in items]),
        volume=_padded(volumes) if volumes else None,
    )


def _padded(values: list[Tensor]) -> Tensor:
    """[..., n] each -> [B, ..., T]."""
    return pad_sequence([value.movedim(-1, 0) for value in values], batch_first=True).movedim(1, -1)
