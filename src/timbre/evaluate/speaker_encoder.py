"""The independent speaker encoder: GE2E (Wan et al. 2018, "Generalized end-to-end loss for speaker verification").

The network and its 40-band front end are ours; the weights are the ones inside the PyPI package Resemblyzer
(Apache-2.0), which is located but never imported. No model of this project was trained with them.
"""

from __future__ import annotations

import pickle
from functools import lru_cache

import torch
from torch import Tensor, nn

from timbre.dsp.mel import mel_filter_bank
from timbre.errors import WeightsError
from timbre.weights.catalogue import CATALOGUE
from timbre.weights.locate import packaged_asset

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
N_MELS = 40


class SpeakerEncoder(nn.Module):
    """Mel frames -> 3-layer LSTM -> last state -> linear -> ReLU -> unit length."""

    def __init__(self, n_mels: int = N_MELS, width: int = 256, n_layers: int = 3) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_mels, width, n_layers, batch_first=True)
        self.linear = nn.Linear(width, width)

    def forward(self, mel: Tensor) -> Tensor:
        """Map mel power [B, T, n_mels] to unit vectors [B, width]."""
        _, (hidden, _) = self.lstm(mel)
        embedding = torch.relu(self.linear(hidden[-1]))
        return nn.functional.normalize(embedding, dim=1)


def mel_power(samples: Tensor) -> Tensor:
    """Return the mel power (no logarithm) of a 16 kHz wave: [N] -> [N // 160 + 1, 40].

    25 ms periodic Hann windows each 10 ms, centred with reflected edges; N must exceed 200.
    """
    spectrum = torch.stft(
        samples,
        WINDOW_SAMPLES,
        HOP_SAMPLES,
        window=torch.hann_window(WINDOW_SAMPLES),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    power = spectrum.abs() ** 2  # [201, T]
    bands = mel_filter_bank(SAMPLE_RATE_HZ, WINDOW_SAMPLES, N_MELS, 0.0, SAMPLE_RATE_HZ / 2)  # [40, 201]
    return (bands @ power).T


@lru_cache(maxsize=1)
def load_speaker_encoder() -> SpeakerEncoder:
    """Return the encoder with its packaged weights, loaded once per process.

    Raises MissingExtraError when the package with the weights is not installed, WeightsError when its file is missing
    or does not fit.
    """
    packaged = CATALOGUE["resemblyzer"].packaged
    assert packaged is not None
    path = packaged_asset(packaged.package, packaged.path, extra="evaluate", needed_for="speaker similarity")
    encoder = SpeakerEncoder()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        # the checkpoint also stores the two numbers of its training loss
        encoder.load_state_dict({key: value for key, value in state.items() if not key.startswith("similarity_")})
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError) as error:
        raise WeightsError(f"the speaker weights in {path.name} do not fit; install Resemblyzer again") from error
    return encoder.eval().requires_grad_(False)
