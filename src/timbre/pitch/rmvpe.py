"""RMVPE (pipeline spec 2.9), with the published weights given as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from timbre.dsp.mel import mel_filter_bank
from timbre.dsp.sinc_resample import sinc_resample
from timbre.dsp.stft import reflect_pad, stft_magnitude_blocks
from timbre.errors import MissingWeightsError, WeightsError
from timbre.pitch.contract import PitchTrack
from timbre.pitch.frame_grid import check_wave, frame_count, track_of, unvoiced_track
from timbre.pitch.gaps import nearest_stretch
from timbre.pitch.rmvpe_network import RmvpeNetwork, build_rmvpe
from timbre.pitch.salience import local_average_hz
from timbre.weights.restricted import read_checkpoint

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160
_N_FFT = 1024
_N_MELS = 128
_MEL_FLOOR = 1e-5
_ZERO_CROSSINGS = 128


class RmvpeTracker:
    """Follows pitch by RMVPE's network; made for voices with accompaniment, its range is 32 to 2006 Hz."""

    def __init__(self, network: RmvpeNetwork, voiced_threshold: float, device: str = "cpu") -> None:
        self._network = network.to(device)
        self._threshold = voiced_threshold
        self._device = device

    def track(
        self, wave: NDArray[np.float32], sample_rate_hz: int, hop_samples: int, n_frames: int | None = None
    ) -> PitchTrack:
        """See `PitchTracker.track`."""
        check_wave(wave)
        count = frame_count(len(wave), sample_rate_hz, hop_samples, n_frames)
        if count == 0 or not wave.any():
            return unvoiced_track(count, hop_samples, sample_rate_hz)
        samples = torch.from_numpy(wave.astype(np.float32)).to(self._device)
        wave16 = sinc_resample(samples, sample_rate_hz, SAMPLE_RATE_HZ, _ZERO_CROSSINGS)
        f0 = local_average_hz(self.salience(rmvpe_log_mel(wave16)), self._threshold)
        return track_of(nearest_stretch(f0, count), hop_samples, sample_rate_hz)

    @torch.inference_mode()
    def salience(self, log_mel: Tensor) -> NDArray[np.float32]:
        """Return the network's output for a mel spectrogram [128, T]: [T, 360], within 0..1."""
        salience: NDArray[np.float32] = self._network(log_mel[None])[0].cpu().numpy()
        return salience


def rmvpe_log_mel(wave16: Tensor) -> Tensor:
    """Return the natural log of mel band magnitudes of 16 kHz sound [N]: [128, N // 160 + 1]."""
    half = _N_FFT // 2
    if len(wave16) <= half:  # too short to mirror: the original failed, silence is taken to follow
        wave16 = functional.pad(wave16, (0, half + 1 - len(wave16)))
    bank = mel_filter_bank(SAMPLE_RATE_HZ, _N_FFT, _N_MELS, 30.0, 8000.0, scale="htk").to(wave16)
    padded = reflect_pad(wave16[None], half, half)
    bands = [bank @ block[0] for block in stft_magnitude_blocks(padded, _N_FFT, HOP_SAMPLES)]
    return torch.cat(bands, dim=-1).clamp_min(_MEL_FLOOR).log()


def load(voiced_threshold: float, device: str, weights_file: Path | None) -> RmvpeTracker:
    """Make the tracker from rmvpe.pt.

    Raises MissingWeightsError without a file, WeightsError when it is damaged or of another network.
    """
    if weights_file is None:
        raise MissingWeightsError(
            "pitch tracker rmvpe needs its weights file rmvpe.pt; download it and give its path as weights_file"
        )
    content = read_checkpoint(weights_file).data
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{weights_file.name!r} holds no network weights; use the published rmvpe.pt")
    return RmvpeTracker(build_rmvpe(state), voiced_threshold, device)
