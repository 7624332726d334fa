"""WavLM and DPHuBERT (1e-4), Whisper (1e-3) and ONNX encoders (1e-5) against recorded results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from timbre.content.contract import HOP_SAMPLES
from timbre.content.dphubert import read_dphubert
from timbre.content.encoders import ENCODERS
from timbre.content.hubert import HubertEncoder
from timbre.content.wavlm import read_wavlm
from timbre.content.whisper import WINDOW_FRAMES, WhisperEncoder, whisper_log_mel
from timbre.content.whisper_network import read_whisper

TOLERANCE = 1e-4
WHISPER_TOLERANCE = 1e-3
ONNX_TOLERANCE = 1e-5


def recorded(folder: Path, name: str, weights: str) -> tuple[Tensor, dict[str, NDArray[Any]], Path]:
    """Return the wave, the results and the weights of a case."""
    with np.load(folder / f"{name}.npz") as archive:
        arrays = dict(archive)
    return torch.from_numpy(arrays.pop("wav")), arrays, folder / weights


def judge(got: Tensor, expected: NDArray[Any], tolerance: float, what: str) -> None:
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=tolerance, err_msg=what)


@pytest.mark.parametrize("name", ["wavlm_plain", "wavlm_norm"])
def test_wavlm(golden_pipeline: Path, name: str) -> None:
    wave, results, weights = recorded(golden_pipeline, name, f"{name}.pt")
    network, normalise_wave = read_wavlm(weights)
    for key, expected in results.items():
        if key == "conv":
            heard = functional.layer_norm(wave, wave.shape) if normalise_wave else wave
            got = network.projection(network.projection_norm(network.front(heard[None])))[0]
        else:
            layer = None if key == "out" else int(key.removeprefix("layer"))
            got = HubertEncoder(network, layer, normalise_wave=normalise_wave).encode(wave)
        judge(got, expected, TOLERANCE, key)


@pytest.mark.parametrize("name", ["dphubert_plain", "dphubert_normln"])
def test_dphubert(golden_pipeline: Path, name: str) -> None:
    wave, results, weights = recorded(golden_pipeline, name, f"{name}.pth")
    network, normalise_wave = read_dphubert(weights)
    got = HubertEncoder(network, normalise_wave=normalise_wave).encode(wave)
    judge(got, results["out_eval"], TOLERANCE, name)


def test_whisper(golden_pipeline: Path) -> None:
    wave, results, weights = recorded(golden_pipeline, "whisper_tiny", "whisper_tiny.pt")
    judge(WhisperEncoder(read_whisper(weights)).encode(wave).T, results["out"], WHISPER_TOLERANCE, "out")
    window = functional.pad(wave, (0, WINDOW_FRAMES * HOP_SAMPLES - len(wave)))
    head = results["mel_head"]
    judge(whisper_log_mel(window[None])[0, :, : head.shape[1]], head, WHISPER_TOLERANCE, "mel_head")


def test_onnx(golden_pipeline: Path) -> None:
    pytest.importorskip("onnxruntime")
    from timbre.content import onnx

    wave, results, weights = recorded(golden_pipeline, "encoder_onnx", "encoder_tiny.onnx")
    spec = replace(ENCODERS["vec768l12-onnx"], dimensions=len(results["out"]))
    judge(onnx.load(spec, weights).encode(wave).T, results["out"], ONNX_TOLERANCE, "out")
