"""Content encoders as ONNX networks: their contract, devices, refusals; the networks are written byte by byte."""

from __future__ import annotations

import struct
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.unit.test_content_hubert import save_fairseq
from timbre.content import onnx
from timbre.content.encoders import ENCODERS, load_encoder
from timbre.errors import MissingExtraError, MissingWeightsError, WeightsError

DIMENSIONS = 3
SPEC = replace(ENCODERS["vec256l9-onnx"], dimensions=DIMENSIONS)
FLOAT, INTS = 1, 7  # of ONNX's enumerations


def field(number: int, value: int | str | bytes) -> bytes:
    """Encode one field as protobuf does."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    head, rest = value & 127, value >> 7
    return bytes([head | 128]) + varint(rest) if rest else bytes([head])


def node(kind: str, inputs: list[str], output: str, **attributes: list[int]) -> bytes:
    content = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)
    for name, numbers in attributes.items():
        ints = b"".join(field(8, number) for number in numbers)
        content += field(5, field(1, name) + ints + field(20, INTS))
    return field(1, content)


def value_info(name: str, n_axes: int) -> bytes:
    shape = b"".join(field(1, field(2, f"{name}{axis}")) for axis in range(n_axes))
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


def save_onnx(path: Path, *, transposed: bool = True) -> Path:
    """Write a network that convolves a wave [1, 1, N] by 400 taps of one value for each feature, every 320 samples."""
    weight = struct.pack(f"<{DIMENSIONS * 400}f", *(value for value in (1.0, 2.0, -1.0) for _ in range(400)))
    dims = b"".join(field(1, size) for size in (DIMENSIONS, 1, 400))
    initializer = dims + field(2, FLOAT) + field(8, "weight") + field(9, weight)
    convolved = "convolved" if transposed else "units"
    graph = node("Conv", ["sound", "weight"], convolved, strides=[320])
    if transposed:
        graph += node("Transpose", ["convolved"], "units", perm=[0, 2, 1])
    graph += field(2, "toy") + field(5, initializer) + field(11, value_info("sound", 3))
    graph += field(12, value_info("units", 3))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


@pytest.fixture(autouse=True)
def runtime() -> Any:
    return pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("n_samples", [0, 1, 399, 400, 719, 720, 16_000])
def test_any_length_gives_a_frame(tmp_path: Path, n_samples: int) -> None:
    encoder = onnx.load(SPEC, save_onnx(tmp_path / "a.onnx"))
    wave = torch.sin(torch.arange(n_samples) * 0.01)
    features = encoder.encode(wave)
    frames = torch.cat((wave, torch.zeros(max(0, 400 - n_samples)))).unfold(0, 400, 320)
    expected = frames.sum(dim=1, keepdim=True) * torch.tensor([1.0, 2.0, -1.0])
    torch.testing.assert_close(features, expected, atol=1e-3, rtol=0)
    assert (encoder.dimensions, encoder.sample_rate_hz, encoder.hop_samples) == (DIMENSIONS, 16_000, 320)


def test_any_type_of_wave_will_do(tmp_path: Path) -> None:
    encoder = onnx.load(SPEC, save_onnx(tmp_path / "ä ö.onnx")).to("cpu")
    wave = torch.linspace(-1, 1, 2000)
    assert encoder.encode(wave.double()).dtype == torch.float32
    assert torch.equal(encoder.encode(wave.double()), encoder.encode(wave))


@pytest.mark.parametrize(
    ("device", "available", "expected"),
    [
        ("cpu", ["CUDAExecutionProvider", "CPUExecutionProvider"], []),
        ("cuda", ["CPUExecutionProvider"], [["CPUExecutionProvider"]]),
        (
            "cuda:1",
            ["CUDAExecutionProvider", "CPUExecutionProvider"],
            [[("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"]],
        ),
    ],
)
def test_the_device_is_used_where_the_runtime_can(device: str, available: list[str], expected: list[Any]) -> None:
    asked: list[Any] = []
    fake = SimpleNamespace(
        SessionOptions=SimpleNamespace,
        get_available_providers=lambda: available,
        InferenceSession=lambda path, options, providers: asked.append(providers),
    )
    onnx.OnnxEncoder(Path("a.onnx"), DIMENSIONS, fake).to(device)
    assert asked == [["CPUExecutionProvider"], *expected]


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    path = save_onnx(tmp_path / "a.onnx")
    message = r"content encoder vec256l9-onnx needs the package 'onnxruntime'.*pip install 'timbre\[encoders\]'"
    with pytest.raises(MissingExtraError, match=message):
        load_encoder("vec256l9-onnx", weights_file=path, search_folders=[], device="cpu")


def test_another_number_of_features_is_refused(tmp_path: Path) -> None:
    message = r"'a\.onnx' has 3 features for each frame, but vec256l9-onnx needs 256; give vec-256-layer-9\.onnx"
    with pytest.raises(WeightsError, match=message):
        load_encoder("vec256l9-onnx", weights_file=save_onnx(tmp_path / "a.onnx"), search_folders=[], device="cpu")
    with pytest.raises(WeightsError, match="has 49 features for each frame"):
        onnx.load(SPEC, save_onnx(tmp_path / "a.onnx", transposed=False))


def test_what_is_no_onnx_network_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = save_onnx(tmp_path / "whole.onnx").read_bytes()
    path = tmp_path / "a.onnx"
    for content in (b"", whole[:3000], b"<html></html>", b"version https://git-lfs", whole + b"\x00"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"^'a\.onnx' is damaged or no ONNX network from .*; give vec-256"):
            onnx.load(SPEC, path)
    with pytest.raises(WeightsError, match=r"^'a\.onnx' is a content encoder of the HuBERT family; give vec-256-lay"):
        onnx.load(SPEC, save_fairseq(path))
    assert capfd.readouterr().err == ""


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"there is no weights file .*a\.onnx"):
        onnx.load(SPEC, tmp_path / "a.onnx")
