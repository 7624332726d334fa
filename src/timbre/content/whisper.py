"""The content encoders with Whisper's network (pipeline spec 1.6).

Whisper always hears 30 s. A shorter sound is followed by zeros, as in the original. A longer one, which the original
cut off and stretched, is heard in windows: the fewest that overlap by 2 s or more, evenly spread. From each to the next
the features pass linearly within 2 s in the middle of their overlap, where both windows know what is before and after.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from timbre.content.contract import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.content.fitting import check_fit
from timbre.content.reduced_transformer import reduce_layers
from timbre.content.whisper_network import WhisperNetwork, read_whisper
from timbre.dsp.mel import mel_filter_bank
from timbre.dsp.stft import reflect_pad, stft_magnitude

if TYPE_CHECKING:
    from timbre.content.encoders import EncoderSpec

N_MELS = 80
WINDOW_FRAMES = 1500
FADE_FRAMES = 100

_N_FFT = 400
_MEL_HOP_SAMPLES = 160
_POWER_FLOOR = 1e-10
_RANGE_DECADES = 8.0


class WhisperEncoder:
    """Encodes by the encoder of a Whisper network; see `ContentEncoder`."""

    sample_rate_hz = SAMPLE_RATE_HZ
    hop_samples = HOP_SAMPLES

    def __init__(self, network: WhisperNetwork) -> None:
        self._network = network
        self.dimensions = network.sizes.width

    @torch.no_grad()
    def encode(self, wave: Tensor) -> Tensor:
        """See `ContentEncoder.encode`; T is N // 320, at least 1, and any length is encoded window by window."""
        window_frames = self._network.sizes.n_frames
        wave = wave.to(self._network.positions)
        n_frames = max(1, len(wave) // HOP_SAMPLES)
        starts = window_starts(n_frames, window_frames)
        if len(starts) == 1:
            return self._encode_window(wave)[:n_frames]  # the samples after the last frame are heard as well
        features = wave.new_empty(n_frames, self.dimensions)
        n_done = 0
        for start in starts:
            window = self._encode_window(wave[start * HOP_SAMPLES :])
            overlap = n_done - start
            features[start:n_done].lerp_(window[:overlap], _fade_in(overlap).to(wave)[:, None])
            features[n_done : start + window_frames] = window[overlap:]
            n_done = start + window_frames
        return features

    def _encode_window(self, wave: Tensor) -> Tensor:
        """Encode the beginning of `wave`, or it and zeros: [n_frames, dimensions]."""
        n_samples = self._network.sizes.n_frames * HOP_SAMPLES
        window = functional.pad(wave[:n_samples], (0, max(0, n_samples - len(wave))))
        features: Tensor = self._network(whisper_log_mel(window[None]))[0]
        return features

    def to(self, device: str) -> WhisperEncoder:
        """See `ContentEncoder.to`."""
        self._network.to(device)
        return self

    def reduce(self, number_type: torch.dtype) -> None:
        """See `ContentEncoder.reduce`; the layers are all that takes long."""
        reduce_layers(self._network.layers, number_type)


def window_starts(n_frames: int, window_frames: int) -> list[int]:
    """Return the first frames of the windows that hear `n_frames` frames; several end with the last frame."""
    beyond = n_frames - window_frames
    if beyond <= 0:
        return [0]
    n_more = math.ceil(beyond / (window_frames - FADE_FRAMES))
    return [round(beyond * i / n_more) for i in range(n_more + 1)]


def _fade_in(overlap_frames: int) -> Tensor:
    """Return how much the later of two windows counts in each frame of their overlap, 0 to 1."""
    from_middle = torch.arange(overlap_frames) + 0.5 - overlap_frames / 2
    return (from_middle / FADE_FRAMES + 0.5).clamp(0, 1)


def whisper_log_mel(wave: Tensor) -> Tensor:
    """Return Whisper's log-mel frames of 16 kHz sound [B, N], N at least 201: [B, 80, N // 160]."""
    bank = mel_filter_bank(SAMPLE_RATE_HZ, _N_FFT, N_MELS, 0.0, SAMPLE_RATE_HZ / 2).to(wave)
    magnitude = stft_magnitude(reflect_pad(wave, _N_FFT // 2, _N_FFT // 2), _N_FFT, _MEL_HOP_SAMPLES)
    power = bank @ magnitude[..., : wave.shape[-1] // _MEL_HOP_SAMPLES].square()
    decades = power.clamp_min(_POWER_FLOOR).log10()
    loudest = decades.amax(dim=(-2, -1), keepdim=True)
    return torch.maximum(decades, loudest - _RANGE_DECADES) / 4 + 1


def load(spec: EncoderSpec, path: Path) -> WhisperEncoder:
    """Make the encoder from OpenAI's file or a Hugging Face folder; raises WeightsError for an unfitting network."""
    network = read_whisper(path)
    sizes = network.sizes
    facts = {
        "features for each frame": (sizes.width, spec.dimensions),
        "mel bands": (sizes.n_mels, N_MELS),  # 128 from large-v3 on
        "frames in its window": (sizes.n_frames, WINDOW_FRAMES),
    }
    check_fit(spec, path, facts)
    return WhisperEncoder(network)
