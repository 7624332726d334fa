"""The table of content encoders, readable without torch, and the one way to load one (pipeline spec 1.1)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from timbre.errors import SettingsError
from timbre.weights.catalogue import find_in_catalogue
from timbre.weights.finding import known_weights

if TYPE_CHECKING:
    from timbre.content.contract import ContentEncoder


@dataclass(frozen=True)
class EncoderSpec:
    """The facts about one encoder."""

    name: str
    help: str
    dimensions: int
    weights: str  # their name in `timbre.weights.catalogue`
    factory: str  # "module:function" of (spec, path) -> ContentEncoder
    layer: int | None = None  # counted from 1; None is the network's own output
    projected: bool = False  # the network's final projection is applied to that layer

    @property
    def file_names(self) -> tuple[str, ...]:
        """What its weights may be called, the usual name first; some are folders."""
        return find_in_catalogue(self.weights).names


_SPECS = (
    EncoderSpec(
        name="vec768l12",
        help="ContentVec, layer 12: the usual one of so-vits-svc 4.1",
        dimensions=768,
        weights="contentvec",
        layer=12,
        factory="timbre.content.hubert:load",
    ),
    EncoderSpec(
        name="vec256l9",
        help="ContentVec, layer 9 and its projection: that of so-vits-svc 4.0",
        dimensions=256,
        weights="contentvec",
        layer=9,
        projected=True,
        factory="timbre.content.hubert:load",
    ),
    EncoderSpec(
        name="hubertsoft",
        help="HuBERT-Soft: soft speech units, trained on English",
        dimensions=256,
        weights="hubertsoft",
        projected=True,
        factory="timbre.content.hubert:load_soft",
    ),
    EncoderSpec(
        name="cnhubertlarge",
        help="Chinese HuBERT large: trained on 10 000 hours of Mandarin",
        dimensions=1024,
        weights="cnhubertlarge",
        factory="timbre.content.hubert:load",
    ),
    EncoderSpec("whisper-ppg-small", "Whisper small", 768, "whisper-ppg-small", "timbre.content.whisper:load"),
    EncoderSpec("whisper-ppg", "Whisper medium", 1024, "whisper-ppg", "timbre.content.whisper:load"),
    EncoderSpec("whisper-ppg-large", "Whisper large v2", 1280, "whisper-ppg-large", "timbre.content.whisper:load"),
    EncoderSpec("dphubert", "HuBERT pruned to a quarter", 768, "dphubert", "timbre.content.dphubert:load"),
    EncoderSpec("wavlmbase+", "WavLM Base+", 768, "wavlmbase+", "timbre.content.wavlm:load"),
    EncoderSpec("vec256l9-onnx", "vec256l9 as ONNX", 256, "vec256l9-onnx", "timbre.content.onnx:load"),
    EncoderSpec("vec256l12-onnx", "ContentVec as ONNX", 256, "vec256l12-onnx", "timbre.content.onnx:load"),
    EncoderSpec("vec768l9-onnx", "ContentVec as ONNX", 768, "vec768l9-onnx", "timbre.content.onnx:load"),
    EncoderSpec("vec768l12-onnx", "vec768l12 as ONNX", 768, "vec768l12-onnx", "timbre.content.onnx:load"),
    EncoderSpec("hubertsoft-onnx", "hubertsoft as ONNX", 256, "hubertsoft-onnx", "timbre.content.onnx:load"),
)

ENCODERS: dict[str, EncoderSpec] = {spec.name: spec for spec in _SPECS}


def load_encoder(
    name: str, *, weights_file: Path | None, search_folders: Sequence[Path], device: str
) -> ContentEncoder:
    """Load the encoder `name` from `weights_file`, or from the first of its usual files in `search_folders`.

    `timbre.weights.search.weights_folders` gives the folders. Where an encoder is known as a Hugging Face folder,
    `weights_file` may be such a folder. Raises SettingsError for an unknown name, MissingWeightsError when there is no
    file, WeightsError when it is damaged, of another network or has changed since it was found first,
    MissingExtraError when a package that the encoder needs is not installed, and DeviceError.
    """
    if name not in ENCODERS:
        raise SettingsError(f"the content encoder is {name!r}; it must be one of: {', '.join(ENCODERS)}")
    spec = ENCODERS[name]
    with known_weights(spec.weights, weights_file, search_folders, needed_for=f"content encoder {name}") as path:
        from timbre.nn.device import check_device  # brings torch

        check_device(device)
        module_name, _, function = spec.factory.partition(":")
        load = getattr(importlib.import_module(module_name), function)
        return cast("ContentEncoder", load(spec, path).to(device))
