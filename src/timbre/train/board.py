"""What TensorBoard shows of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from timbre.dsp.mel import mel_filter_bank
from timbre.dsp.spectrogram import linear_spectrogram
from timbre.errors import MissingExtraError
from timbre.train.trainee import ProbeResult

PICTURE_FFT, PICTURE_HOP, PICTURE_BANDS = 2048, 512, 128
PICTURE_RANGE_DB = 80.0


class Board:
    """Writes events; what an interrupted run wrote after the checkpoint of `resumed_step` is hidden.

    Raises MissingExtraError where tensorboard is not installed.
    """

    def __init__(self, folder: Path, resumed_step: int | None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "train", "the record of a training") from error
        self._writer = SummaryWriter(str(folder), purge_step=None if resumed_step is None else resumed_step + 1)
        self._shown_sources = False

    def scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Show the scalars of a step."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def probe(self, step: int, result: ProbeResult) -> None:
        """Show numbers, sounds (gen/audio_0, ...; what they were made of: gt/audio_0, ...) and their spectrograms."""
        self._writer.add_scalar("probe/score", result.score, step)
        for name, value in result.numbers.items():
            self._writer.add_scalar(f"probe/{name}", value, step)
        for number, (name, sound) in enumerate(result.sounds.items()):
            self._sound("gen", number, sound, result.sample_rate_hz, step)
            if name in result.sources and not self._shown_sources:
                source = result.sources[name]
                self._sound("gt", number, source.samples, source.sample_rate_hz, step)
        self._shown_sources = True
        self._writer.flush()

    def _sound(self, kind: str, number: int, samples: NDArray[np.float32], sample_rate_hz: int, step: int) -> None:
        wave = torch.from_numpy(samples)
        self._writer.add_audio(f"{kind}/audio_{number}", wave.clamp(-1, 1).unsqueeze(0), step, sample_rate_hz)
        self._writer.add_image(f"{kind}/mel_{number}", picture(wave, sample_rate_hz), step)

    def close(self) -> None:
        """Write what is still waiting."""
        self._writer.close()


def picture(wave: Tensor, sample_rate_hz: int) -> Tensor:
    """Return the mel spectrogram of a sound [N] as a picture [1, bands, T] from 0 to 1, low bands at the bottom."""
    padded = functional.pad(wave, (0, max(0, PICTURE_FFT - len(wave))))
    magnitude = linear_spectrogram(padded.unsqueeze(0), PICTURE_FFT, PICTURE_HOP, PICTURE_FFT)[0]
    bank = mel_filter_bank(sample_rate_hz, PICTURE_FFT, PICTURE_BANDS, 0.0, sample_rate_hz / 2)
    level_db = 20 * torch.log10(bank @ magnitude + 1e-6)
    shown = (level_db - level_db.max() + PICTURE_RANGE_DB) / PICTURE_RANGE_DB
    return shown.clamp(0, 1).flip(0).unsqueeze(0)
