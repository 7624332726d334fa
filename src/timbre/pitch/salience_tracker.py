"""The way from a wave to a pitch track that rmvpe and fcpe share: 16 kHz, log-mel, network, decoding, stretching."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from timbre.dsp.sinc_resample import sinc_resample
from timbre.pitch.contract import PitchTrack
from timbre.pitch.frame_grid import check_wave, frame_count, track_of, unvoiced_track
from timbre.pitch.gaps import nearest_stretch

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160
_ZERO_CROSSINGS = 128

Network = TypeVar("Network", bound=nn.Module)


class SalienceTracker(ABC, Generic[Network]):
    """Follows pitch by a network that gives the salience of 360 pitches for each 10 ms."""

    def __init__(self, network: Network, voiced_threshold: float, device: str = "cpu") -> None:
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
        f0 = self.decode(self.salience(self.log_mel(wave16, len(wave))))
        return track_of(nearest_stretch(f0, count), hop_samples, sample_rate_hz)

    @torch.inference_mode()
    def salience(self, log_mel: Tensor) -> NDArray[np.float32]:
        """Return the network's output for what `log_mel` gives: [T, 360], within 0..1."""
        salience: NDArray[np.float32] = self._network(log_mel[None])[0].cpu().numpy()
        return salience

    @abstractmethod
    def log_mel(self, wave16: Tensor, n_samples_given: int) -> Tensor:
        """16 kHz sound [N], from `n_samples_given` samples before resampling -> the network's input."""

    @abstractmethod
    def decode(self, salience: NDArray[np.float32]) -> NDArray[np.float32]:
        """Salience [T, 360] -> f0 [T] in Hz each 10 ms, 0 where unvoiced."""
