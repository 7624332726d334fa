"""The networks of a so-vits-svc voice: built once, when they are first needed, in the precision that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

import torch

from timbre.config.diffusion import DiffusionShape
from timbre.config.vits import VitsShape
from timbre.config.vocoder import VocoderShape
from timbre.models.diffusion import state as diffusion_state
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.models.vits import state as vits_state
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.weight_norm import fold_weight_norm
from timbre.vocoder.nsf_hifigan import NsfHifigan
from timbre.voice.sovits.parts import SovitsParts


class _Reducible(Protocol):
    def reduce(self, number_type: torch.dtype) -> None: ...


_N = TypeVar("_N", bound=_Reducible)


class _Slot(Generic[_N]):
    """One network in one precision at a time."""

    def __init__(self, build: Callable[[], _N]) -> None:
        self._build = build
        self._network: _N | None = None
        self._number_type: torch.dtype | None = None

    def get(self, number_type: torch.dtype | None) -> _N:
        """Return the network in that precision, None for float32; a reduced one is built anew to be exact again."""
        if self._network is None or self._number_type not in (None, number_type):
            self._network, self._number_type = self._build(), None
        if number_type is not None and self._number_type is None:
            self._network.reduce(number_type)
            self._number_type = number_type
        return self._network


class BuiltNetworks:
    """The networks of `parts`; each method raises WeightsError where weights do not fit their config."""

    def __init__(
        self, parts: SovitsParts, shape: VitsShape | None, diffusion_shape: DiffusionShape | None, device: torch.device
    ) -> None:
        self._parts, self._shape, self._diffusion_shape, self._device = parts, shape, diffusion_shape, device
        self._synthesizer = _Slot(self._build_synthesizer)
        self._unit2mel = _Slot(self._build_unit2mel)
        self._vocoder = _Slot(self._build_vocoder)

    def synthesizer(self, number_type: torch.dtype | None) -> Synthesizer:
        """Return the main model, ready for inference."""
        return self._synthesizer.get(number_type)

    def unit2mel(self, number_type: torch.dtype | None) -> Unit2Mel:
        """Return the diffusion model."""
        return self._unit2mel.get(number_type)

    def vocoder(self, number_type: torch.dtype | None) -> NsfHifigan:
        """Return the vocoder."""
        return self._vocoder.get(number_type)

    def build_all(self) -> None:
        """Build what the voice has, in float32."""
        if self._parts.model is not None:
            self.synthesizer(None)
        if self._parts.diffusion is not None:
            self.unit2mel(None)
        if self._parts.vocoder is not None:
            self.vocoder(None)

    def _build_synthesizer(self) -> Synthesizer:
        assert self._shape is not None and self._parts.model is not None
        with _no_draws():
            model = Synthesizer(self._shape, f0_saturates=self._parts.release == "4.0")
        vits_state.load_state(model, self._parts.model.tensors)
        fold_weight_norm(model)
        return model.eval().requires_grad_(False).to(self._device)

    def _build_unit2mel(self) -> Unit2Mel:
        assert self._diffusion_shape is not None and self._parts.diffusion is not None
        with _no_draws():
            model = Unit2Mel(self._diffusion_shape, diffusion_state.count_mel_bands(self._parts.diffusion.tensors))
        diffusion_state.load_state(model, self._parts.diffusion.tensors)
        return model.eval().requires_grad_(False).to(self._device)

    def _build_vocoder(self) -> NsfHifigan:
        assert self._parts.vocoder is not None
        is_log10 = self._diffusion_shape is not None and self._diffusion_shape.is_log10
        shape = VocoderShape.from_config(self._parts.vocoder.config)
        with _no_draws():
            model = NsfHifigan(shape, log10_mel=is_log10)
        model.load(self._parts.vocoder.tensors)
        return model.to(self._device)


def _no_draws() -> AbstractContextManager[None]:
    """Keep the global generator as it is while a network is built, whose first weights are drawn and then replaced."""
    return torch.random.fork_rng(devices=[])
