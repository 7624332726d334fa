"""The power spectra of a clip, from which most measures are read."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.audio.sound import Samples
from timbre.dsp.stft import stft_magnitude

N_FFT = 2048
HOP_SAMPLES = 512
BINS_PER_BAND = 8  # 172 Hz at 44.1 kHz
_SMOOTHED_FRAMES = 8  # 93 ms: a consonant, a breath


def power_spectra(wave: Samples) -> NDArray[np.float32]:
    """Return the power of each bin of `wave` [N] per frame [T, 1025]; a frame's bins add up to its mean square.

    Frames of 2048 samples each 512 lie within the sound; a shorter sound is padded with silence to one frame.
    """
    padded = np.pad(wave, (0, max(0, N_FFT - len(wave))))
    magnitude = stft_magnitude(torch.from_numpy(padded).unsqueeze(0), N_FFT, HOP_SAMPLES)[0]
    hann_power = 3 / 8
    power = magnitude.square() * (2 / (N_FFT**2 * hann_power))
    return np.asarray(power.T.numpy())


def band_powers(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add up the bins of [T, 1025] to bands [T, 128]; the bin at half the sample rate is left out."""
    n_frames = len(power)
    return np.asarray(power[:, :-1].reshape(n_frames, -1, BINS_PER_BAND).sum(axis=2))


def smooth_frames(bands: NDArray[np.float32]) -> NDArray[np.float64]:
    """Average every 8 successive frames of [T, M]: [max(1, T - 7), M]."""
    n_smoothed = min(_SMOOTHED_FRAMES, len(bands))
    total = np.cumsum(np.pad(bands, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    smooth: NDArray[np.float64] = np.maximum((total[n_smoothed:] - total[:-n_smoothed]) / n_smoothed, 0)
    return smooth


def band_width_hz(sample_rate_hz: int) -> float:
    """Width of one band of `band_powers`."""
    return BINS_PER_BAND * sample_rate_hz / N_FFT


def to_db(power: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Return powers in dB, at least -160."""
    return np.asarray(10 * np.log10(np.maximum(np.asarray(power, dtype=np.float64), 1e-16)))
