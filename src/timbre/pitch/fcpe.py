"""FCPE (pipeline spec 2.10), with the weights inside the torchfcpe package or a so-vits-svc fcpe.pt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from timbre.dsp.mel import mel_filter_bank
from timbre.dsp.stft import reflect_pad, stft_magnitude_blocks
from timbre.errors import WeightsError
from timbre.pitch.fcpe_network import FcpeNetwork, build_fcpe
from timbre.pitch.salience import local_average_hz
from timbre.pitch.salience_tracker import HOP_SAMPLES, SAMPLE_RATE_HZ, SalienceTracker
from timbre.weights.restricted import read_checkpoint

_N_FFT = 1024
_N_MELS = 128
_MEL_FLOOR = 1e-5
_POWER_FLOOR = 1e-9
_MEL_FACTS = (SAMPLE_RATE_HZ, _N_MELS, _N_FFT, _N_FFT, HOP_SAMPLES, 0, 8000)
_MEL_KEYS = (("sr", "sampling_rate"), "num_mels", "n_fft", "win_size", "hop_size", "fmin", "fmax")


class FcpeTracker(SalienceTracker[FcpeNetwork]):
    """Follows pitch by FCPE's network; robust to noise and quick for a network, its range is 33 to 1975 Hz."""

    def log_mel(self, wave16: Tensor, n_samples_given: int) -> Tensor:
        """Return [T, 128]; see `fcpe_log_mel`."""
        return fcpe_log_mel(wave16, n_samples_given)

    def decode(self, salience: NDArray[np.float32]) -> NDArray[np.float32]:
        """Salience [T, 360] -> f0 [T] in Hz each 10 ms, 0 where unvoiced."""
        cents = self._network.cent_table.cpu().numpy().astype(np.float64)
        return local_average_hz(salience, self._threshold, cents, clamp=True)


def fcpe_log_mel(wave16: Tensor, n_samples_given: int) -> Tensor:
    """Return the natural log of mel band magnitudes of 16 kHz sound [N]: [T, 128].

    A historic quirk: T is made from `n_samples_given`, the length before resampling, so that sound of another
    rate than 16 kHz gets its last frame twice or loses frames of a lower rate.
    """
    n_samples = len(wave16)
    left = (_N_FFT - HOP_SAMPLES) // 2
    right = max(left, _N_FFT - n_samples - left)
    if max(left, right) < n_samples:
        padded = reflect_pad(wave16[None], left, right)
    else:
        padded = functional.pad(wave16[None], (left, right))
    bank = mel_filter_bank(SAMPLE_RATE_HZ, _N_FFT, _N_MELS, 0.0, 8000.0).to(wave16)
    bands = [
        bank @ (block[0].square() + _POWER_FLOOR).sqrt() for block in stft_magnitude_blocks(padded, _N_FFT, HOP_SAMPLES)
    ]
    log_mel = torch.cat(bands, dim=-1).clamp_min(_MEL_FLOOR).log().T
    wanted = n_samples_given // HOP_SAMPLES + 1
    if wanted > len(log_mel):
        return torch.cat((log_mel, log_mel[-1:]))
    return log_mel[:wanted]


def load(voiced_threshold: float, device: str, weights_file: Path) -> FcpeTracker:
    """Make the tracker from weights of either layout.

    Raises MissingWeightsError when there is no such file and WeightsError when it is damaged, of another network, or
    made for another spectrogram.
    """
    content = read_checkpoint(weights_file).data
    config, state = _config_of(content), content.get("model") if isinstance(content, dict) else None
    if config is None or not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{weights_file.name!r} holds no FCPE weights; use torchfcpe's or a so-vits-svc fcpe.pt")
    facts = tuple(_first(config["mel"], keys) for keys in _MEL_KEYS)
    if facts != _MEL_FACTS:
        raise WeightsError(
            f"{weights_file.name!r} wants a mel spectrogram of rate, bands, FFT, window, hop and range {facts}; "
            f"only {_MEL_FACTS} is known, use such a file"
        )
    normalise = bool(config.get("model", {}).get("use_fa_norm", False))
    return FcpeTracker(build_fcpe(state, normalise_queries=normalise), voiced_threshold, device)


def _config_of(content: Any) -> dict[str, Any] | None:
    config = _first(content, ("config_dict", "config")) if isinstance(content, dict) else None
    return config if isinstance(config, dict) and isinstance(config.get("mel"), dict) else None


def _first(mapping: dict[str, Any], keys: str | tuple[str, ...]) -> Any:
    for key in (keys,) if isinstance(keys, str) else keys:
        if key in mapping:
            return mapping[key]
    return None
