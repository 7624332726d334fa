"""Read the weights of an ONNX file without any ONNX package: the constants of its graph, by name.

The file is a protocol buffer; of its fields only those that lead to a graph's initializers are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

_GRAPH, _INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
_DIMS, _DATA_TYPE, _FLOATS, _SMALL_INTEGERS, _NAME, _RAW_DATA = 1, 2, 4, 5, 8, 9  # fields of TensorProto
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5  # wire types
_NUMPY_TYPES = {1: np.dtype("<f4"), 2: np.dtype("u1"), 3: np.dtype("i1"), 7: np.dtype("<i8")}


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the initializers of the graph in the ONNX file at `path`, of the types float32, (u)int8 and int64."""
    model = memoryview(path.read_bytes())
    graph = next(value for field, value in _fields(model) if field == _GRAPH)
    tensors = (_tensor(value) for field, value in _fields(graph) if field == _INITIALIZER)
    return dict(tensor for tensor in tensors if tensor is not None)


def _tensor(message: memoryview) -> tuple[str, np.ndarray] | None:
    shape: list[int] = []
    name, data, kind = "", memoryview(b""), 0
    for field, value in _fields(message):
        if field == _DIMS:
            shape += [value] if isinstance(value, int) else list(_packed(value))
        elif field == _DATA_TYPE:
            kind = value
        elif field == _NAME:
            name = bytes(value).decode()
        elif field in (_RAW_DATA, _FLOATS):
            data = value
        elif field == _SMALL_INTEGERS and kind in _NUMPY_TYPES:
            data = memoryview(np.array(list(_packed(value)), _NUMPY_TYPES[kind]).tobytes())
    if kind not in _NUMPY_TYPES or not data:
        return None
    return name, np.frombuffer(data, _NUMPY_TYPES[kind]).reshape(shape)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        else:
            length = {_FIXED_64: 8, _FIXED_32: 4}[wire]
        yield key >> 3, message[at : at + length]
        at += length


def _packed(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
