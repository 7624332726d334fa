"""RMVPE (pipeline spec 2.9), with the published weights given as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from timbre.dsp.mel import mel_filter_bank
from timbre.dsp.stft import reflect_pad, stft_magnitude_blocks
from timbre.errors import WeightsError
from timbre.pitch.rmvpe_network import RmvpeNetwork, build_rmvpe
from timbre.pitch.salience import local_average_hz
from timbre.pitch.salience_tracker import HOP_SAMPLES, SAMPLE_RATE_HZ, SalienceTracker
from timbre.weights.restricted import read_checkpoint

_N_FFT = 1024
_N_MELS = 128
_MEL_FLOOR = 1e-5


class RmvpeTracker(SalienceTracker[RmvpeNetwork]):
    """Follows pitch by RMVPE's network; made for voices with accompaniment, its range is 32 to 2006 Hz."""

    def log_mel(self, wave16: Tensor, n_samples_given: int) -> Tensor:
        """Return [128, T]; see `rmvpe_log_mel`."""
        return rmvpe_log_mel(wave16)

    def decode(self, salience: NDArray[np.float32]) -> NDArray[np.float32]:
        """Salience [T, 360] -> f0 [T] in Hz each 10 ms, 0 where unvoiced."""
        return local_average_hz(salience, self._threshold)


def rmvpe_log_mel(wave16: Tensor) -> Tensor:
    """Return the natural log of mel band magnitudes of 16 kHz sound [N]: [128, N // 160 + 1]."""
    half = _N_FFT // 2
    if len(wave16) <= half:  # too short to mirror: the original failed, silence is taken to follow
        wave16 = functional.pad(wave16, (0, half + 1 - len(wave16)))
    bank = mel_filter_bank(SAMPLE_RATE_HZ, _N_FFT, _N_MELS, 30.0, 8000.0, scale="htk").to(wave16)
    padded = reflect_pad(wave16[None], half, half)
    bands = [bank @ block[0] for block in stft_magnitude_blocks(padded, _N_FFT, HOP_SAMPLES)]
    return torch.cat(bands, dim=-1).clamp_min(_MEL_FLOOR).log()


def load(voiced_threshold: float, device: str, weights_file: Path) -> RmvpeTracker:
    """Make the tracker from rmvpe.pt.

    Raises MissingWeightsError when there is no such file, WeightsError when it is damaged or of another network.
    """
    content = read_checkpoint(weights_file).data
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{weights_file.name!r} holds no network weights; use the published rmvpe.pt")
    return RmvpeTracker(build_rmvpe(state), voiced_threshold, device)
