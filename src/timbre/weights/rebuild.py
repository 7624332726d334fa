"""The few functions a checkpoint may ask for, written anew: tensors, numpy arrays and plain containers.

A pickle names functions and asks to call them. Every name in `rebuilders` is answered by a function of this
file, which checks its arguments; no function of torch, numpy or Python is handed out itself.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from timbre.errors import WeightsError
from timbre.weights.inert import InertStub

_STORAGE_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "UntypedStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
_ARRAY_KINDS = "biufcSU"  # no objects and no records of them: raw bytes never become pointers


@dataclass(frozen=True)
class StorageKind:
    """What a pickled storage class says: the element type."""

    dtype: torch.dtype


class Allowed:
    """One allowed callable; it cannot be changed from inside a pickle."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError("a checkpoint tried to change a rebuilding function")

    def __call__(self, *args: Any) -> Any:
        """Run the rebuilding function."""
        return self._call(*args)


class DtypeRecipe:
    """A pickled numpy dtype: type code and byte order, resolved only for plain numbers and text."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = code
        self.byte_order = "="
        self.plain = isinstance(code, str)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, structured = state[1], state[2:5]
        self.plain = self.plain and order in ("<", ">", "|", "=") and all(part is None for part in structured)
        self.byte_order = order if self.plain else "="

    def resolve(self, *, objects: bool = False) -> np.dtype[Any]:
        """Return a fresh dtype; raises WeightsError for structured and (unless `objects`) object arrays."""
        dtype = np.dtype(self.code) if self.plain else np.dtype("V")
        if dtype.kind not in _ARRAY_KINDS and not (objects and dtype == np.dtype("O")):
            raise WeightsError(f"it holds an array of the kind {self.code!r}, but only numbers and text are allowed")
        return dtype.newbyteorder(">") if self.byte_order == ">" else dtype


class ArrayShell(np.ndarray[Any, Any]):
    """An array that waits for its content; `plain_array` makes an ordinary array of it."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, recipe, fortran, raw = state
        if not isinstance(recipe, DtypeRecipe) or not isinstance(raw, (bytes, list)):
            raise WeightsError("it holds a numpy array in an unknown form")
        if isinstance(raw, list) and len(raw) != math.prod(shape):
            raise WeightsError("it holds a numpy array whose shape does not fit its data")
        dtype = recipe.resolve(objects=isinstance(raw, list))
        content: Any = (1, tuple(shape), dtype, bool(fortran), raw)
        super().__setstate__(content)


def plain_array(shell: ArrayShell) -> np.ndarray[Any, Any]:
    """Return the finished array as an ordinary numpy array."""
    array: np.ndarray[Any, Any] = shell.view(np.ndarray)
    return array


def storage_kind(class_name: str) -> StorageKind | None:
    """Return the element type of a torch storage class, or None for another name."""
    dtype = _STORAGE_DTYPES.get(class_name)
    return None if dtype is None else StorageKind(dtype)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Tensor):
        raise WeightsError("it holds a tensor without data")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(type(number) is not int or number < 0 for number in numbers):
        raise WeightsError("it holds a tensor of an impossible shape")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if math.prod(size) > 0 and last >= storage.numel():
        raise WeightsError("it holds a tensor that is larger than its data")
    return storage.as_strided(tuple(size), tuple(stride), offset) if math.prod(size) else storage.new_empty(tuple(size))


def _tensor_of_dtype(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    if not isinstance(storage, Tensor) or not isinstance(dtype, torch.dtype):
        raise WeightsError("it holds a tensor without data")
    return _tensor(storage.view(dtype), offset, size, stride)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _from_type(rebuild: Any, kind: Any, args: Any, state: Any) -> Any:
    if not isinstance(rebuild, Allowed):
        return InertStub(rebuild, kind, args, state)
    return rebuild(*args)


def _size(values: Any = ()) -> torch.Size:
    return torch.Size(int(value) for value in values)


def _device(name: Any = "cpu", *_: Any) -> str:
    return str(name)


def _array_shell(kind: Any, shape: Any, code: Any) -> ArrayShell:
    shell: ArrayShell = ArrayShell((0,), dtype=np.int8)
    return shell


def _array_from_buffer(buffer: Any, recipe: Any, shape: Any, order: Any = "C", *_: Any) -> np.ndarray[Any, Any]:
    if not isinstance(buffer, (bytes, bytearray)) or not isinstance(recipe, DtypeRecipe):
        raise WeightsError("it holds a numpy array in an unknown form")
    array: np.ndarray[Any, Any] = np.array(np.frombuffer(buffer, dtype=recipe.resolve()))
    return array.reshape(tuple(shape), order=order)


def _array_scalar(recipe: Any, raw: Any = None, *_: Any) -> Any:
    if not isinstance(raw, bytes) or not isinstance(recipe, DtypeRecipe):
        raise WeightsError("it holds a numpy number in an unknown form")
    return np.frombuffer(raw, dtype=recipe.resolve(), count=1)[0]


def _encode(text: str, encoding: str = "latin1", *_: Any) -> bytes:
    if encoding.lower().replace("-", "") not in ("latin1", "utf8", "ascii"):
        raise WeightsError(f"it holds text in the unexpected encoding {encoding!r}")
    return text.encode(encoding)


def _empty_dict(*_: Any) -> dict[Any, Any]:
    return {}


def _bytearray(content: Any = b"", encoding: str = "latin1", *_: Any) -> bytearray:
    if isinstance(content, str):
        return bytearray(_encode(content, encoding))
    if not isinstance(content, (bytes, bytearray)):  # a number would ask for that much memory
        raise WeightsError("it holds bytes in an unknown form")
    return bytearray(content)


def _container_maker(kind: Callable[[Any], Any]) -> Callable[..., Any]:
    def make(items: Any = (), *_: Any) -> Any:
        if not isinstance(items, (list, tuple, set, frozenset)):
            raise WeightsError("it holds a container in an unknown form")
        return kind(items)

    return make


def _reconstruct_object(kind: Any, base: Any = None, state: Any = None) -> Any:
    if isinstance(kind, type) and issubclass(kind, InertStub):
        return kind()
    return InertStub(kind, base, state)


def rebuilders() -> dict[tuple[str, str], Any]:
    """Return what each allowed dotted name is answered with; fresh, so that no file can affect another."""
    table: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor"): Allowed(_tensor),
        ("torch._utils", "_rebuild_tensor_v2"): Allowed(_tensor),
        ("torch._utils", "_rebuild_tensor_v3"): Allowed(_tensor_of_dtype),
        ("torch._utils", "_rebuild_parameter"): Allowed(_parameter),
        ("torch._utils", "_rebuild_parameter_with_state"): Allowed(_parameter),
        ("torch._tensor", "_rebuild_from_type_v2"): Allowed(_from_type),
        ("torch", "Size"): Allowed(_size),
        ("torch", "device"): Allowed(_device),
        ("_codecs", "encode"): Allowed(_encode),
        ("copyreg", "_reconstructor"): Allowed(_reconstruct_object),
        ("copy_reg", "_reconstructor"): Allowed(_reconstruct_object),
        ("numpy", "ndarray"): Allowed(_array_shell),
        ("numpy", "dtype"): DtypeRecipe,
        ("collections", "defaultdict"): Allowed(_empty_dict),
    }
    for root in ("numpy.core", "numpy._core"):
        table[root + ".multiarray", "_reconstruct"] = Allowed(_array_shell)
        table[root + ".multiarray", "scalar"] = Allowed(_array_scalar)
        table[root + ".numeric", "_frombuffer"] = Allowed(_array_from_buffer)
    for home in ("builtins", "__builtin__"):
        for kind in (set, frozenset, list, tuple):
            table[home, kind.__name__] = Allowed(_container_maker(kind))
        table[home, "dict"] = Allowed(_empty_dict)
        table[home, "bytearray"] = Allowed(_bytearray)
        table[home, "complex"] = complex
        table[home, "slice"] = slice
    return table
