"""What TensorBoard shows of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from timbre.errors import MissingExtraError
from timbre.train.trainee import ProbeResult

PICTURE_FFT, PICTURE_HOP = 512, 512
PICTURE_RANGE_DB = 80.0


class Board:
    """Writes events; `first_step` hides what an interrupted run wrote after its last checkpoint.

    Raises MissingExtraError where tensorboard is not installed.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "train", "the record of a training") from error
        self._writer = SummaryWriter(str(folder), purge_step=first_step or None)

    def scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Show the scalars of a step."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def probe(self, step: int, result: ProbeResult) -> None:
        """Show numbers, sounds and spectrograms of a listening."""
        self._writer.add_scalar("probe/score", result.score, step)
        for name, value in result.numbers.items():
            self._writer.add_scalar(f"probe/{name}", value, step)
        for name, sound in result.sounds.items():
            wave = torch.from_numpy(sound)
            self._writer.add_audio(f"probe/{name}", wave.clamp(-1, 1).unsqueeze(0), step, result.sample_rate_hz)
            self._writer.add_image(f"probe/{name}", picture(wave), step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is still waiting."""
        self._writer.close()


def picture(wave: Tensor) -> Tensor:
    """Return the spectrogram of a sound [N] as a picture [1, bins, T] from 0 to 1, low frequencies at the bottom."""
    window = torch.hann_window(PICTURE_FFT)
    spectrum = torch.stft(wave, PICTURE_FFT, PICTURE_HOP, window=window, return_complex=True, pad_mode="constant")
    level_db = 20 * torch.log10(spectrum.abs() + 1e-6)
    shown = (level_db - level_db.max() + PICTURE_RANGE_DB) / PICTURE_RANGE_DB
    return shown.clamp(0, 1).flip(0).unsqueeze(0)
