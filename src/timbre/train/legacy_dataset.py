"""Reading the dataset of so-vits-svc: recordings with their feature files beside them (models spec 8.3, 8.5 to 8.7)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.audio.reader import read_audio
from timbre.config.vits import VitsShape
from timbre.config.vits_training import VitsTrainingSettings
from timbre.dsp.stretch import stretch
from timbre.errors import DatasetError
from timbre.pitch.gaps import bridge
from timbre.train.vits_batch import VitsItem
from timbre.train.vits_items import augmented, cut, spectrum_of
from timbre.weights.restricted import read_checkpoint, read_numpy

_MAX_MISMATCH_FRAMES = 2
_PREPARE_AGAIN = "prepare the dataset again"


@dataclass(frozen=True)
class LegacyDataset:
    """The clips of one file list, each in a folder with the name of its speaker."""

    wave_files: tuple[Path, ...]
    shape: VitsShape
    settings: VitsTrainingSettings

    def __len__(self) -> int:
        return len(self.wave_files)

    def item(self, index: int, chance: np.random.Generator) -> VitsItem:
        """Return one clip for training: its volume changed at times, and a clip above 800 frames cut to 790 of them.

        Raises the errors of `load_item`.
        """
        item = load_item(self.wave_files[index], self.shape, self.settings)
        return augmented(item, self.shape, self.settings, chance)


def read_file_list(path: Path, root: Path) -> tuple[Path, ...]:
    """Read the recordings named in a list such as filelists/train.txt, one on each line, relative to `root`.

    Raises DatasetError when there is no such list, or it is no text, is empty, or names a file outside of `root`.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"the file list {str(path)!r} cannot be read as text; {_PREPARE_AGAIN}") from error
    names = [line.partition("|")[0].strip() for line in lines]
    files = tuple(_inside(root, name) for name in names if name)
    if not files:
        raise DatasetError(f"the file list {str(path)!r} names no recording; {_PREPARE_AGAIN}")
    return files


def load_item(wave_file: Path, shape: VitsShape, settings: VitsTrainingSettings) -> VitsItem:
    """Read a recording with its features as they are, the volume only where `shape` has an embedding for it.

    Raises DatasetError when files are missing or do not belong together, and AudioError or WeightsError when one is
    damaged.
    """
    wave = _read_wave(wave_file, shape.sample_rate_hz)
    f0_hz, voiced = _read_pitch(wave_file)
    units = stretch(_read_units(wave_file, shape.ssl_dim), len(f0_hz), shape.unit_interpolate_mode)
    volume = _read_volume(wave_file) if shape.vol_embedding else None
    spectrum = spectrum_of(wave, shape, settings)
    lengths = [spectrum.shape[-1], len(f0_hz), *([] if volume is None else [len(volume)])]
    if max(lengths) - min(lengths) > _MAX_MISMATCH_FRAMES:
        raise DatasetError(
            f"{wave_file.name!r} has {lengths[0]} frames and its features have {lengths[1:]}; {_PREPARE_AGAIN}"
        )
    item = VitsItem(units, f0_hz, voiced, spectrum, wave, _speaker_id(wave_file, shape.speakers), volume)
    return cut(item, 0, min(lengths), shape.hop_samples)


def _inside(root: Path, name: str) -> Path:
    path, top = (Path(os.path.abspath(place)) for place in (root / name.replace("\\", "/"), root))
    if not path.is_relative_to(top):
        raise DatasetError(f"a file list names {name!r}, which is outside of {str(root)!r}; {_PREPARE_AGAIN}")
    return path


def _speaker_id(wave_file: Path, speakers: Mapping[str, int]) -> int:
    name = wave_file.parent.name
    if name not in speakers:
        raise DatasetError(f"{wave_file.name!r} is of {name!r}, but the config knows: {', '.join(speakers)}")
    return speakers[name]


def _read_wave(path: Path, sample_rate_hz: int) -> Tensor:
    sound = read_audio(path)
    if sound.sample_rate_hz != sample_rate_hz or sound.n_channels != 1:
        raise DatasetError(
            f"{path.name!r} has {sound.n_channels} channels at {sound.sample_rate_hz} Hz; "
            f"the config needs 1 at {sample_rate_hz} Hz: {_PREPARE_AGAIN}"
        )
    return torch.from_numpy(sound.samples)


def _read_pitch(wave_file: Path) -> tuple[Tensor, Tensor]:
    """Return f0 in Hz without gaps and the voiced flags, each [T]; 4.0 stored f0 alone, with its gaps."""
    stored = _read_feature(wave_file, "f0.npy", read_numpy)
    if stored.ndim == 1:
        stored = np.stack([bridge(stored), stored > 0])
    if stored.ndim != 2 or len(stored) != 2:
        raise DatasetError(
            f"the f0.npy of {wave_file.name!r} has the shape {stored.shape}; it must be [2, T]: {_PREPARE_AGAIN}"
        )
    f0_hz, voiced = torch.from_numpy(stored.astype(np.float32))
    return f0_hz, voiced


def _read_units(wave_file: Path, dimensions: int) -> Tensor:
    stored = _read_feature(wave_file, "soft.pt", lambda path: read_checkpoint(path).data)
    if stored.ndim != 3 or stored.shape[:2] != (1, dimensions):
        raise DatasetError(
            f"the units of {wave_file.name!r} have the shape {stored.shape}; "
            f"the config needs [1, {dimensions}, T]: {_PREPARE_AGAIN} for its speech encoder"
        )
    return torch.from_numpy(stored[0].astype(np.float32))


def _read_volume(wave_file: Path) -> Tensor:
    return torch.from_numpy(_read_feature(wave_file, "vol.npy", read_numpy).reshape(-1).astype(np.float32))


def _read_feature(wave_file: Path, ending: str, read: Callable[[Path], Any]) -> NDArray[np.float64]:
    path = wave_file.with_name(f"{wave_file.name}.{ending}")
    if not path.is_file():
        raise DatasetError(f"{wave_file.name!r} has no {path.name!r} beside it; {_PREPARE_AGAIN}")
    try:
        values = np.asarray(read(path), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path.name!r} does not hold plain numbers; {_PREPARE_AGAIN}") from error
    if not np.isfinite(values).all():
        raise DatasetError(f"{path.name!r} holds NaN or infinity; {_PREPARE_AGAIN}")
    return values
