"""The table of content encoders, readable without torch, and the one way to load one (pipeline spec 1.1)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from timbre.errors import MissingWeightsError, SettingsError
from timbre.weights.search import WEIGHTS_VARIABLE, find_weights

if TYPE_CHECKING:
    from timbre.content.contract import ContentEncoder


@dataclass(frozen=True)
class EncoderSpec:
    """The facts about one encoder."""

    name: str
    help: str
    dimensions: int
    file_names: tuple[str, ...]  # the usual one first; also folders
    source_url: str
    size_mb: int | None = None  # of the network as float32; files may hold float16, or more than the network
    layer: int | None = None  # counted from 1; None is the network's own output
    projected: bool = False  # the network's final projection is applied to that layer
    licence: str | None = None
    factory: str | None = None  # "module:function" of (spec, path) -> ContentEncoder; None: this version has none

    @property
    def implemented(self) -> bool:
        """Whether this version can run the encoder."""
        return self.factory is not None


_CONTENTVEC_FILES = ("checkpoint_best_legacy_500.pt", "hubert_base.pt", "content-vec-best", "contentvec")
_CONTENTVEC_URL = "https://github.com/auspicious3000/contentvec"
_SOFT_URL = "https://github.com/bshall/hubert/releases/tag/v0.1"
_WHISPER_URL = "https://github.com/openai/whisper"

_SPECS = (
    EncoderSpec(
        name="vec768l12",
        help="ContentVec, layer 12: the usual one of so-vits-svc 4.1",
        dimensions=768,
        file_names=_CONTENTVEC_FILES,
        source_url=_CONTENTVEC_URL,
        size_mb=378,
        layer=12,
        licence="MIT",
        factory="timbre.content.hubert:load",
    ),
    EncoderSpec(
        name="vec256l9",
        help="ContentVec, layer 9 and its projection: that of so-vits-svc 4.0",
        dimensions=256,
        file_names=_CONTENTVEC_FILES,
        source_url=_CONTENTVEC_URL,
        size_mb=378,
        layer=9,
        projected=True,
        licence="MIT",
        factory="timbre.content.hubert:load",
    ),
    EncoderSpec(
        name="hubertsoft",
        help="HuBERT-Soft: soft speech units, trained on English",
        dimensions=256,
        file_names=("hubert-soft-0d54a1f4.pt",),
        source_url=_SOFT_URL,
        size_mb=378,
        projected=True,
        licence="MIT",
        factory="timbre.content.hubert:load_soft",
    ),
    EncoderSpec(
        name="cnhubertlarge",
        help="Chinese HuBERT large: trained on 10 000 hours of Mandarin",
        dimensions=1024,
        file_names=("chinese-hubert-large-fairseq-ckpt.pt", "chinese-hubert-large"),
        source_url="https://huggingface.co/TencentGameMate/chinese-hubert-large",
        size_mb=1262,
        licence="MIT",
        factory="timbre.content.hubert:load",
    ),
    EncoderSpec("whisper-ppg", "Whisper medium", 1024, ("medium.pt",), _WHISPER_URL, licence="MIT"),
    EncoderSpec("whisper-ppg-large", "Whisper large v2", 1280, ("large-v2.pt",), _WHISPER_URL, licence="MIT"),
    EncoderSpec(
        "dphubert", "HuBERT pruned to a quarter", 768, ("DPHuBERT-sp0.75.pth",), "https://huggingface.co/pyf98/DPHuBERT"
    ),
    EncoderSpec(
        "wavlmbase+",
        "WavLM Base+",
        768,
        ("WavLM-Base+.pt",),
        "https://github.com/microsoft/unilm/tree/master/wavlm",
    ),
    EncoderSpec("vec256l9-onnx", "vec256l9 as ONNX", 256, ("vec-256-layer-9.onnx",), _CONTENTVEC_URL),
    EncoderSpec("vec256l12-onnx", "ContentVec as ONNX", 256, ("vec-256-layer-12.onnx",), _CONTENTVEC_URL),
    EncoderSpec("vec768l9-onnx", "ContentVec as ONNX", 768, ("vec-768-layer-9.onnx",), _CONTENTVEC_URL),
    EncoderSpec("vec768l12-onnx", "vec768l12 as ONNX", 768, ("vec-768-layer-12.onnx",), _CONTENTVEC_URL),
    EncoderSpec("hubertsoft-onnx", "hubertsoft as ONNX", 256, ("hubert-soft.onnx",), _SOFT_URL),
)

ENCODERS: dict[str, EncoderSpec] = {spec.name: spec for spec in _SPECS}


def load_encoder(
    name: str, *, weights_file: Path | None, search_folders: Sequence[Path], device: str
) -> ContentEncoder:
    """Load the encoder `name` from `weights_file`, or from the first of its usual files in `search_folders`.

    `timbre.weights.search.weights_folders` gives the folders. Where an encoder is known as a Hugging Face folder,
    `weights_file` may be such a folder. Raises SettingsError for an unknown name or one that this version cannot run,
    MissingWeightsError when there is no file, WeightsError when it is damaged or of another network, and DeviceError.
    """
    spec = _runnable(name)
    path = weights_file or find_weights(spec.file_names, search_folders)
    if path is None:
        searched = ", ".join(str(folder) for folder in search_folders) or "no folder"
        raise MissingWeightsError(
            f"content encoder {name} needs its weights file {spec.file_names[0]}, which is not in: {searched}; get it "
            f"from {spec.source_url} and put it there, or name its folder by --weights-dir or ${WEIGHTS_VARIABLE}"
        )
    from timbre.nn.device import check_device  # brings torch

    check_device(device)
    module_name, _, function = cast(str, spec.factory).partition(":")
    load = getattr(importlib.import_module(module_name), function)
    return cast("ContentEncoder", load(spec, path).to(device))


def _runnable(name: str) -> EncoderSpec:
    runnable = ", ".join(spec.name for spec in _SPECS if spec.implemented)
    if name not in ENCODERS:
        raise SettingsError(f"the content encoder is {name!r}; it must be one of: {runnable}")
    if not ENCODERS[name].implemented:
        raise SettingsError(f"the content encoder {name!r} cannot be run by this version; it can run: {runnable}")
    return ENCODERS[name]
