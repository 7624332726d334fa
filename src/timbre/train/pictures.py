"""Pictures for TensorBoard, as tensors [3, height, width] from 0 to 1."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from timbre.dsp.mel import mel_filter_bank
from timbre.dsp.spectrogram import linear_spectrogram
from timbre.errors import MissingExtraError

FFT, HOP, BANDS = 2048, 512, 128
RANGE_DB = 80.0
COLOURS = "magma"
LEAST_PIXELS = 200  # of either side of a spectrogram, so that a short one can be seen
DB_PER_NEPER = 20 / math.log(10)
WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 10.0, 3.0, 80


def drawing_library() -> ModuleType:
    """Return matplotlib, which is loaded only now; raises MissingExtraError where it is not installed."""
    try:
        import matplotlib
        import matplotlib.figure
        import matplotlib.ticker
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train", "the pictures of a training") from error
    return matplotlib


def sound_picture(wave: Tensor, sample_rate_hz: int) -> Tensor:
    """Return the mel spectrogram of a sound [N]; its loudest point has the brightest colour."""
    padded = functional.pad(wave, (0, max(0, FFT - len(wave))))
    magnitude = linear_spectrogram(padded.unsqueeze(0), FFT, HOP, FFT)[0]
    bank = mel_filter_bank(sample_rate_hz, FFT, BANDS, 0.0, sample_rate_hz / 2)
    return mel_pictures([torch.log(bank @ magnitude + 1e-6)])[0]


def mel_pictures(log_mels: Sequence[Tensor]) -> list[Tensor]:
    """Return spectrograms of natural logarithms [bands, T] in the same colours, low bands at the bottom.

    The loudest point of the first one has the brightest colour, what is 80 dB below it the darkest.
    """
    colours = torch.from_numpy(_colours())
    loudest = log_mels[0].max()
    pictures = []
    for log_mel in log_mels:
        shown = (DB_PER_NEPER * (log_mel - loudest) / RANGE_DB + 1).clamp(0, 1).flip(0).cpu()
        picture = colours[(shown * (len(colours) - 1)).long()].movedim(-1, 0)
        pictures.append(_enlarged(picture))
    return pictures


def line_picture(rows: Mapping[str, NDArray[np.float32]]) -> Tensor:
    """Return rows of numbers [T] as named lines over frames; raises MissingExtraError without matplotlib."""
    figure = drawing_library().figure.Figure(
        figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, layout="constrained"
    )
    panel = figure.subplots()
    for name, row in rows.items():
        panel.plot(row, label=name, linewidth=1)
    panel.set_xlabel("frame")
    panel.legend(loc="upper right")
    panel.grid(alpha=0.3)
    file = io.BytesIO()
    figure.savefig(file, format="rgba")
    width, height = figure.canvas.get_width_height()
    pixels = np.frombuffer(file.getvalue(), np.uint8).reshape(height, width, 4)[..., :3]
    return torch.from_numpy(pixels.astype(np.float32) / 255).movedim(-1, 0)


def _colours() -> NDArray[np.float32]:
    """Return the colours from dark to bright [256, 3]."""
    return np.asarray(drawing_library().colormaps[COLOURS](np.arange(256)), dtype=np.float32)[:, :3]


def _enlarged(picture: Tensor) -> Tensor:
    """Repeat the pixels of a picture [3, H, W] until neither side is short."""
    height, width = (math.ceil(LEAST_PIXELS / size) for size in picture.shape[1:])
    return picture.repeat_interleave(height, dim=1).repeat_interleave(width, dim=2)
