"""The teacher of the base: its weights out of a file, its features on our frames, and what it finds alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.base.onnx_weights import read_weights
from recipes.base.taught import on_frames
from recipes.base.teacher import FIRST_CENTRE_SAMPLES, HOP_SAMPLES, HeardAlike, Teacher, load_teacher
from timbre.errors import MissingWeightsError


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def initializer(name: str, kind: int, shape: tuple[int, ...], content: bytes) -> bytes:
    return b"".join(field(1, size) for size in shape) + field(2, kind) + field(8, name.encode()) + content


def test_weights_are_read_by_name(tmp_path: Path) -> None:
    """A file may hold numbers as raw bytes, or a scalar as a list of integers; other fields are passed over."""
    matrix = np.arange(-3, 297, dtype="<f4").reshape(3, 100)
    tensors = [
        initializer("matrix", 1, matrix.shape, field(9, matrix.tobytes())),
        initializer("small", 3, (2,), field(9, b"\xff\x05")),
        initializer("zero", 2, (), field(5, varint(141))),
        initializer("text", 8, (1,), field(6, b"ignored")),
    ]
    graph = field(2, b"graph") + b"".join(field(5, tensor) for tensor in tensors)
    path = tmp_path / "model.onnx"
    path.write_bytes(field(1, 8) + varint(3 << 3 | 5) + b"\0\0\0\0" + field(7, graph))
    weights = read_weights(path)
    assert list(weights) == ["matrix", "small", "zero"]
    np.testing.assert_array_equal(weights["matrix"], matrix)
    assert weights["small"].tolist() == [-1, 5]
    assert weights["zero"].item() == 141 and weights["zero"].shape == ()


def test_a_missing_teacher_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="moonshine-js"):
        load_teacher(tmp_path, torch.device("cpu"))


def test_features_lie_on_our_frames() -> None:
    """A feature that tells the time is read off at the centres of our frames, and held at the ends."""
    times = (FIRST_CENTRE_SAMPLES + HOP_SAMPLES * torch.arange(20.0)).unsqueeze(1)
    read = on_frames(times, 60)[:, 0]
    expected = (160.0 * torch.arange(60)).clamp(times[0].item(), times[-1].item())
    torch.testing.assert_close(read, expected)
    assert on_frames(torch.ones(1, 3), 4).tolist() == [[1.0] * 3] * 4


def test_a_frame_of_the_teacher_is_centred_where_it_says() -> None:
    """Only the samples around its centre move the third convolution's output."""
    torch.manual_seed(0)
    teacher = Teacher()
    wave = torch.zeros(1, 1, 16_000).requires_grad_()
    out = teacher.third(teacher.second(teacher.first(wave)))
    frame = 10
    out[0, :, frame].sum().backward()
    assert wave.grad is not None
    touched = torch.nonzero(wave.grad[0, 0]).flatten()
    centre = (touched.min() + touched.max()).item() / 2
    assert centre == FIRST_CENTRE_SAMPLES + frame * HOP_SAMPLES


def test_alike_is_zero_for_the_same_sound_and_passes_a_gradient() -> None:
    torch.manual_seed(1)
    alike = HeardAlike(Teacher().eval().requires_grad_(False))
    original = torch.randn(3, 8000) * 0.1
    same, said = alike(original, original, n_copies=2)
    assert same.item() == 0 and said.item() == 0
    other = (torch.randn(3, 8000) * 0.1).requires_grad_()
    same, said = alike(other, original, n_copies=2)
    (same + said).backward()
    assert same.item() > 0.1 and said.item() > 0.1
    assert other.grad is not None and other.grad.abs().amax(dim=1).min() > 0
