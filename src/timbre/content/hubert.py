"""Content encoders with a HuBERT network: ContentVec, HuBERT-Soft, Chinese HuBERT (pipeline spec 1.1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from timbre.content.contract import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.content.fitting import check_fit
from timbre.content.hubert_files import read_hubert, read_hubert_soft
from timbre.content.hubert_network import HubertNetwork

if TYPE_CHECKING:
    from timbre.content.encoders import EncoderSpec

SOFT_PADDING_SAMPLES = 40


class HubertEncoder:
    """Encodes by one layer of a network of the HuBERT family; see `ContentEncoder`.

    `layer` counts from 1, None is the network's own output; `projected` applies its final projection to that. The
    wave gets `padding_samples` zeros on both sides and, with `normalise_wave`, is brought to mean 0 and variance 1.
    """

    sample_rate_hz = SAMPLE_RATE_HZ
    hop_samples = HOP_SAMPLES

    def __init__(
        self,
        network: HubertNetwork,
        layer: int | None = None,
        *,
        projected: bool = False,
        padding_samples: int = 0,
        normalise_wave: bool = False,
    ) -> None:
        self._network = network
        self._layer = layer
        self._projection = network.final_projection if projected else None
        self._padding_samples = padding_samples
        self._normalise_wave = normalise_wave
        self.dimensions = network.sizes.projected_width if projected else network.sizes.width

    @torch.no_grad()
    def encode(self, wave: Tensor) -> Tensor:
        """See `ContentEncoder.encode`; in networks with group norm each frame hears the whole wave a little."""
        missing = self._network.sizes.window_samples - len(wave) - 2 * self._padding_samples
        padded = functional.pad(
            wave.to(self._network.norm.weight), (self._padding_samples, self._padding_samples + max(0, missing))
        )
        if self._normalise_wave:
            padded = functional.layer_norm(padded, padded.shape)
        features = self._network.features(padded.unsqueeze(0), self._layer)[0]
        return features if self._projection is None else self._projection(features)

    def to(self, device: str) -> HubertEncoder:
        """See `ContentEncoder.to`."""
        self._network.to(device)
        return self

    def reduce(self, number_type: torch.dtype) -> None:
        """See `ContentEncoder.reduce`."""
        self._network.reduce(number_type)


def load(spec: EncoderSpec, path: Path) -> HubertEncoder:
    """Make the encoder from a fairseq file or a Hugging Face folder; raises WeightsError for an unfitting network."""
    return fitting_encoder(read_hubert(path), spec, path)


def load_soft(spec: EncoderSpec, path: Path) -> HubertEncoder:
    """Make the encoder from hubert-soft-0d54a1f4.pt; raises WeightsError for an unfitting network."""
    return fitting_encoder(read_hubert_soft(path), spec, path, padding_samples=SOFT_PADDING_SAMPLES)


def fitting_encoder(
    network: HubertNetwork, spec: EncoderSpec, path: Path, *, padding_samples: int = 0, normalise_wave: bool = False
) -> HubertEncoder:
    """Make the encoder of `spec` from the network read from `path`; raises WeightsError where it does not fit."""
    sizes = network.sizes
    n_layers = len(sizes.layers)
    n_needed = spec.layer or n_layers
    facts = {
        "features for each frame": (sizes.projected_width if spec.projected else sizes.width, spec.dimensions),
        "layers": (min(n_layers, n_needed), n_needed),  # more do no harm
        "samples per frame": (sizes.hop_samples, HOP_SAMPLES),
    }
    check_fit(spec, path, facts)
    return HubertEncoder(
        network,
        spec.layer,
        projected=spec.projected,
        padding_samples=padding_samples,
        normalise_wave=normalise_wave,
    )
