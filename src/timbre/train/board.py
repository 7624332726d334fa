"""What TensorBoard shows of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.errors import MissingExtraError
from timbre.train.pictures import sound_picture
from timbre.train.trainee import ProbeResult


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
        """Show numbers, pictures, sounds (gen/audio_0, ...; their sources: gt/audio_0, ...) and their spectrograms."""
        self._writer.add_scalar("probe/score", result.score, step)
        for name, value in result.numbers.items():
            self._writer.add_scalar(f"probe/{name}", value, step)
        for number, (name, sound) in enumerate(result.sounds.items()):
            self._sound("gen", number, sound, result.sample_rate_hz, step)
            if name in result.sources and not self._shown_sources:
                source = result.sources[name]
                self._sound("gt", number, source.samples, source.sample_rate_hz, step)
        self._shown_sources = True
        for name, picture in result.pictures.items():
            self._writer.add_image(name, picture, step)
        self._writer.flush()

    def _sound(self, kind: str, number: int, samples: NDArray[np.float32], sample_rate_hz: int, step: int) -> None:
        wave = torch.from_numpy(samples)
        self._writer.add_audio(f"{kind}/audio_{number}", wave.clamp(-1, 1).unsqueeze(0), step, sample_rate_hz)
        self._writer.add_image(f"{kind}/mel_{number}", sound_picture(wave, sample_rate_hz), step)

    def close(self) -> None:
        """Write what is still waiting."""
        self._writer.close()
