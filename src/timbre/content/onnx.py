"""Content encoders as ONNX networks (pipeline spec 1.1), run by the optional package onnxruntime."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from timbre.content.contract import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.content.fitting import check_fit
from timbre.errors import MissingExtraError, MissingWeightsError, WeightsError
from timbre.weights.identify import identify
from timbre.weights.restricted import read_checkpoint

if TYPE_CHECKING:
    from timbre.content.encoders import EncoderSpec

_WINDOW_SAMPLES = 400  # that the first frame hears
_ONLY_FATAL = 4  # what onnxruntime prints by itself; errors are raised all the same


class OnnxEncoder:
    """Encodes by the first output of a network for its first input, whatever their names; see `ContentEncoder`.

    `runtime` is the module onnxruntime. On cuda the network runs there if that can, and else on the CPU. Making one
    and moving it raises what onnxruntime raises for a file that it cannot read.
    """

    sample_rate_hz = SAMPLE_RATE_HZ
    hop_samples = HOP_SAMPLES

    def __init__(self, path: Path, dimensions: int, runtime: Any) -> None:
        self.dimensions = dimensions
        self._path = path
        self._runtime = runtime
        self._device = torch.device("cpu")
        self._session = self._open()

    @torch.no_grad()
    def encode(self, wave: Tensor) -> Tensor:
        """See `ContentEncoder.encode`."""
        padded = functional.pad(wave.float(), (0, max(0, _WINDOW_SAMPLES - len(wave))))
        inputs = {self._session.get_inputs()[0].name: padded[None, None].cpu().numpy()}
        output = self._session.run([self._session.get_outputs()[0].name], inputs)[0]
        return torch.from_numpy(output)[0].to(self._device, torch.float32)

    def to(self, device: str) -> OnnxEncoder:
        """See `ContentEncoder.to`."""
        wanted = torch.device(device)
        if wanted != self._device:
            self._device = wanted
            self._session = self._open()
        return self

    def reduce(self, number_type: torch.dtype) -> None:
        """Do nothing: the number types are part of an ONNX network."""

    def _open(self) -> Any:
        options = self._runtime.SessionOptions()
        options.log_severity_level = _ONLY_FATAL
        options.intra_op_num_threads = torch.get_num_threads()
        providers: list[Any] = ["CPUExecutionProvider"]
        if self._device.type == "cuda" and "CUDAExecutionProvider" in self._runtime.get_available_providers():
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": self._device.index or 0}))
        return self._runtime.InferenceSession(str(self._path), options, providers=providers)


def load(spec: EncoderSpec, path: Path) -> OnnxEncoder:
    """Make the encoder from an ONNX file and try it on a second of silence.

    Raises MissingExtraError without onnxruntime, MissingWeightsError when there is no such file, WeightsError when it
    is damaged or holds something else.
    """
    try:
        runtime = importlib.import_module("onnxruntime")
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnxruntime", "encoders", f"content encoder {spec.name}") from error
    try:
        encoder = OnnxEncoder(path, spec.dimensions, runtime)
        _, dimensions = encoder.encode(torch.zeros(SAMPLE_RATE_HZ)).shape
    except Exception as error:  # those of onnxruntime have no class in common
        raise _refusal(spec, path) from error
    check_fit(spec, path, {"features for each frame": (dimensions, spec.dimensions)})
    return encoder


def _refusal(spec: EncoderSpec, path: Path) -> WeightsError:
    """Return the error for a file that onnxruntime cannot use, which tells what it is where that is known."""
    try:
        what = identify(read_checkpoint(path).data).description
    except MissingWeightsError as error:
        return error
    except WeightsError:
        what = f"damaged or no ONNX network from samples [1, 1, N] to features [1, T, {spec.dimensions}]"
    return WeightsError(f"{path.name!r} is {what}; give {spec.file_names[0]}")
