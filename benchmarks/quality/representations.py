"""What the probes listen through: log-mel, a base's content encoder, or another encoder, all at 100 frames a second."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.content.contract import ContentEncoder
from timbre.content.fast import FastContentEncoder
from timbre.dsp.frontend import HOP_SAMPLES, WINDOW_SAMPLES, SpectralFrontend

LOUD_RANGE_DB = 40.0

Frames = NDArray[np.float32]  # [T, D]
Samples = NDArray[np.float32]  # [N] at 16 kHz
Representation = Callable[[Samples], Frames]  # T = N // 160, frame t centred on sample 160 t


def log_mel() -> Representation:
    """Return the baseline: the 80 log-mel bands that the base's encoder hears."""
    frontend = SpectralFrontend()

    @torch.inference_mode()
    def hear(samples: Samples) -> Frames:
        power = frontend.power(torch.from_numpy(samples).unsqueeze(0))
        return np.asarray(frontend.log_mel(power)[0].numpy())

    return hear


def content(encoder: FastContentEncoder) -> Representation:
    """Return the content of a base, on the CPU."""

    @torch.inference_mode()
    def hear(samples: Samples) -> Frames:
        power = encoder.frontend.power(torch.from_numpy(samples).unsqueeze(0))
        return np.asarray(encoder(encoder.frontend.log_mel(power))[0].numpy())

    return hear


def other_encoder(encoder: ContentEncoder) -> Representation:
    """Return an encoder of `timbre.content`, each of its 20 ms frames given to the 10 ms frames nearest to it."""

    @torch.inference_mode()
    def hear(samples: Samples) -> Frames:
        slow = encoder.encode(torch.from_numpy(samples)).numpy()
        centres = np.arange(len(samples) // HOP_SAMPLES) * HOP_SAMPLES
        nearest = np.round((centres - WINDOW_SAMPLES / 2) / encoder.hop_samples).astype(int)
        return np.asarray(slow[np.clip(nearest, 0, len(slow) - 1)])

    return hear


@torch.inference_mode()
def loud_frames(samples: Samples) -> NDArray[np.bool_]:
    """Say which frames [N // 160] are at most 40 dB below the loudest one."""
    frontend = SpectralFrontend()
    loudness = frontend.loudness(frontend.power(torch.from_numpy(samples).unsqueeze(0)))[0].numpy()
    return np.asarray(loudness > loudness.max(initial=-np.inf) - LOUD_RANGE_DB * np.log(10) / 10)
