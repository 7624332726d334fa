"""What CREPE's pitch passes through: filters that skip missing values, and the loudness gate (spec 2.7, step 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from timbre.dsp.stft import stft_magnitude_blocks

_N_FFT = 1024
_SAMPLE_RATE_HZ = 16_000
_AMPLITUDE_FLOOR = 1e-5
_RANGE_DB = 80.0
_OFFSET_DB = 20.0
_LOWEST_DB = -100.0


def median_of_three(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the median of each value and its neighbours [T]; at the ends the lower of the two there are."""
    padded = np.pad(values.astype(np.float32), 1, constant_values=np.nan)
    # NaN sorts last, so position 0 is the lower of two values and position 1 the middle of three.
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, 3), axis=1)
    count = np.isfinite(windows).sum(axis=1)
    median: NDArray[np.float32] = windows[np.arange(len(windows)), np.maximum(0, (count - 1) // 2)]
    return median


def mean_of_three(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of those of each value and its neighbours that are not NaN [T]; NaN where all are."""
    padded = np.pad(values.astype(np.float64), 1, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3)
    count = np.isfinite(windows).sum(axis=1)
    total = np.where(np.isfinite(windows), windows, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def a_weighted_loudness(wave16: Tensor, hop_samples: int) -> NDArray[np.float32]:
    """Return the A-weighted level of each frame of 16 kHz sound [N], in dB, -100 at the least: [1 + N // hop].

    Quirks kept: levels are cut 80 dB below the loudest bin of the whole sound, and averaged in dB over bins.
    """
    padded = functional.pad(wave16[None], (_N_FFT // 2, _N_FFT // 2))
    blocks = (block[0] for block in stft_magnitude_blocks(padded, _N_FFT, hop_samples))
    levels = [20 * torch.log10(block.clamp_min(_AMPLITUDE_FLOOR)) for block in blocks]
    lowest = max(float(level.max()) for level in levels) - _RANGE_DB
    weighting = torch.from_numpy(a_weighting_db(np.linspace(0, _SAMPLE_RATE_HZ / 2, _N_FFT // 2 + 1)))
    weighting = (weighting - _OFFSET_DB).to(wave16)[:, None]
    means = [(level.clamp_min(lowest) + weighting).clamp_min(_LOWEST_DB).mean(dim=0) for level in levels]
    loudness: NDArray[np.float32] = torch.cat(means).cpu().numpy()
    return loudness


def a_weighting_db(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the A-weighting (IEC 61672-1) of frequencies [..] in dB, -80 at the least."""
    squared = hz**2
    lows = squared + 20.598997**2, squared + 107.65265**2, squared + 737.86223**2, squared + 12194.217**2
    with np.errstate(divide="ignore"):
        gain = 12194.217**2 * squared**2 / (lows[0] * np.sqrt(lows[1] * lows[2]) * lows[3])
        return np.maximum(20 * np.log10(gain) + 2.0, -80.0)
