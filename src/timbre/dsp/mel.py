"""Mel filter banks: triangles that are equally wide on one of the two mel scales."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.errors import SettingsError

MelScale = Literal["slaney", "htk"]

_SLANEY_HZ_PER_MEL = 200 / 3  # linear below 1 kHz
_SLANEY_CORNER_HZ = 1000.0
_SLANEY_LOG_STEP = np.log(6.4) / 27  # 27 mels from 1 kHz to 6.4 kHz


def mel_filter_bank(
    sample_rate_hz: float, n_fft: int, n_mels: int, low_hz: float, high_hz: float, *, scale: MelScale = "slaney"
) -> Tensor:
    """Return the weights of each mel band on the bins of an `n_fft` spectrum, [n_mels, n_fft // 2 + 1] float32.

    Each triangle has unit area in Hz (the norm of Slaney's Auditory Toolbox, used with both scales; pipeline
    spec 2.9 and 2.10). Raises SettingsError when the band does not lie within 0..`sample_rate_hz` / 2.
    """
    if not 0 <= low_hz < high_hz <= sample_rate_hz / 2:
        raise SettingsError(
            f"the mel bands go from {low_hz:g} to {high_hz:g} Hz; they must rise within 0 to {sample_rate_hz / 2:g} Hz"
        )
    edges_mel = np.linspace(_to_mel(low_hz, scale), _to_mel(high_hz, scale), n_mels + 2)
    edges_hz = _to_hz(edges_mel, scale)
    bins_hz = np.linspace(0, sample_rate_hz / 2, n_fft // 2 + 1)
    below, centre, above = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = (bins_hz - below) / (centre - below)
    falling = (above - bins_hz) / (above - centre)
    triangles = np.maximum(0, np.minimum(rising, falling)) * (2 / (above - below))
    return torch.from_numpy(triangles.astype(np.float32))


def _to_mel(hz: float, scale: MelScale) -> float:
    if scale == "htk":
        return float(2595 * np.log10(1 + hz / 700))
    if hz < _SLANEY_CORNER_HZ:
        return hz / _SLANEY_HZ_PER_MEL
    return float(_SLANEY_CORNER_HZ / _SLANEY_HZ_PER_MEL + np.log(hz / _SLANEY_CORNER_HZ) / _SLANEY_LOG_STEP)


def _to_hz(mel: NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    corner_mel = _SLANEY_CORNER_HZ / _SLANEY_HZ_PER_MEL
    above = _SLANEY_CORNER_HZ * np.exp(_SLANEY_LOG_STEP * (np.maximum(mel, corner_mel) - corner_mel))
    return np.asarray(np.where(mel < corner_mel, mel * _SLANEY_HZ_PER_MEL, above))
