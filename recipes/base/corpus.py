"""The cached arrays as random crops and whole recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FRAME_16K, FRAME_44K = 160, 441
SINGING_SOURCES = ("vocobox", "sms_tools")
MARGIN_FRAMES = 16  # kept free at the end of the flat arrays for an encoder that looks ahead


class Recordings:
    """The real corpus: flat waves, f0 and, where aligned, phone classes (-100 where unknown)."""

    def __init__(self, cache: Path) -> None:
        folder = cache / "recordings"
        self.index: list[dict[str, Any]] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.wave_16k = np.load(folder / "wave_16k.npy", mmap_mode="r")
        self.wave_44k = np.load(folder / "wave_44k.npy", mmap_mode="r")
        self.f0 = np.load(folder / "f0.npy")
        speakers = sorted({entry["speaker"] for entry in self.index})
        self.speaker_of = np.array([speakers.index(entry["speaker"]) for entry in self.index])
        self.n_speakers = len(speakers)
        self.n_frames = np.array([entry["n_frames"] for entry in self.index])
        self.first_frame = np.array([entry["first_frame"] for entry in self.index])
        self.phones = np.full(len(self.f0), -100, dtype=np.int16)

    def weights(self, power: float = 0.4) -> np.ndarray:
        """Probability of drawing each recording: seconds x (speaker's total)^-power."""
        total = np.bincount(self.speaker_of, self.n_frames)
        weight = self.n_frames * total[self.speaker_of] ** -power
        return np.asarray(weight / weight.sum())

    def crops(self, files: np.ndarray, n_frames: int, rng: np.random.Generator) -> np.ndarray:
        """Choose a first frame [B] (in the flat arrays) in each file; a short file is padded by what follows it."""
        room = np.maximum(self.n_frames[files] - n_frames, 0)
        start = self.first_frame[files] + (rng.random(len(files)) * (room + 1)).astype(np.int64)
        return np.minimum(start, len(self.f0) - n_frames - MARGIN_FRAMES)

    def inside(self, files: np.ndarray, starts: np.ndarray, n_frames: int) -> Tensor:
        """Which frames of the crops belong to their own recording [B, n_frames] (bool)."""
        frame = starts[:, None] + np.arange(n_frames)
        return torch.from_numpy(frame < (self.first_frame + self.n_frames)[files][:, None])


class Synthetic:
    """Speech by espeak-ng with exact phone times."""

    def __init__(self, cache: Path) -> None:
        folder = cache / "labels"
        self.wave_16k = np.load(folder / "synthetic_audio.npy", mmap_mode="r")
        self.phones = np.load(folder / "synthetic_phones.npy", mmap_mode="r")

    def crops(self, count: int, n_frames: int, rng: np.random.Generator) -> np.ndarray:
        """Choose first frames [B] anywhere."""
        return rng.integers(0, len(self.phones) - n_frames, count)


def moved(array: np.ndarray, device: torch.device) -> Tensor:
    """Return `array` as a tensor on `device`; a GPU takes it from pinned memory while the processor goes on."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def waves(flat: np.ndarray, starts: np.ndarray, n_frames: int, frame_samples: int, device: torch.device) -> Tensor:
    """Cut crops [B, n_frames * frame_samples] out of a flat int16 array, as float32 within -1..1."""
    cut = np.stack([flat[s * frame_samples : (s + n_frames) * frame_samples] for s in starts])
    return moved(cut, device).float() / 32768


def frames(flat: np.ndarray, starts: np.ndarray, n_frames: int, device: torch.device) -> Tensor:
    """Cut crops [B, n_frames] out of a per-frame array."""
    return moved(np.stack([flat[s : s + n_frames] for s in starts]), device)
