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
_ARRAY_KINDS = "biufcSUV"  # no objects: raw bytes never become pointers


@dataclass(frozen=True)
class StorageKind:
    """What a pickled storage class says: the element type."""

    dtype: torch.dtype


class Allowed:
    """One allowed callable; it cannot be changed from inside a pickle."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError("a checkpoint tried to change a rebuilding function")

    def __call__(self, *args: Any) -> Any:
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
        dtype = np.dtype(self.code) if self.plain else np.dtype("O")
        if dtype.kind not in _ARRAY_KINDS and not (objects and self.plain and dtype == np.dtype("O")):
            raise WeightsError(f"the file holds an array of kind {self.code!r}; only plain numbers and text can be read")
        return dtype.newbyteorder(self.byte_order) if self.byte_order in "<>" else dtype


class ArrayShell(np.ndarray[Any, Any]):
    """An array that waits for its content; `plain_array` makes an ordinary array of it."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:  # type: ignore[override]
        version, shape, recipe, fortran, raw = state
        if not isinstance(recipe, DtypeRecipe) or not isinstance(raw, (bytes, bytearray, list)):
            raise WeightsError("the file holds a numpy array in an unknown form; save it again with torch or numpy")
        super().__setstate__((version, shape, recipe.resolve(objects=isinstance(raw, list)), fortran, raw))


def plain_array(shell: ArrayShell) -> np.ndarray[Any, Any]:
    """Return the finished array as an ordinary numpy array."""
    return shell.view(np.ndarray)


def storage_kind(class_name: str) -> StorageKind | None:
    """Return the element type of a torch storage class, or None for another name."""
    dtype = _STORAGE_DTYPES.get(class_name)
    return None if dtype is None else StorageKind(dtype)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Tensor):
        raise WeightsError("the file holds a tensor without a storage; it is not a torch checkpoint")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(type(number) is not int or number < 0 for number in numbers):
        raise WeightsError("the file holds a tensor with an impossible shape; it is damaged")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if math.prod(size) > 0 and last >= storage.numel():
        raise WeightsError("the file holds a tensor that is larger than its data; it is damaged")
    return storage.as_strided(tuple(size), tuple(stride), offset) if math.prod(size) else storage.new_empty(tuple(size))


def _tensor_of_dtype(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    if not isinstance(storage, Tensor) or not isinstance(dtype, torch.dtype):
        raise WeightsError("the file holds a tensor without a storage; it is not a torch checkpoint")
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
    return ArrayShell((0,), dtype=np.int8)


def _array_from_buffer(buffer: Any, recipe: Any, shape: Any, order: Any = "C", *_: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(bytes(buffer), dtype=recipe.resolve()).reshape(tuple(shape), order=order).copy()


def _array_scalar(recipe: Any, raw: Any = None, *_: Any) -> Any:
    return np.frombuffer(bytes(raw), dtype=recipe.resolve(), count=1)[0]


def _encode(text: str, encoding: str = "latin1", *_: Any) -> bytes:
    if encoding.lower().replace("-", "") not in ("latin1", "utf8", "ascii"):
        raise WeightsError(f"the file holds text in the encoding {encoding!r}; it is not a torch checkpoint")
    return text.encode(encoding)


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
        ("numpy", "dtype"): type("DtypeRecipe", (DtypeRecipe,), {}),
    }
    for root in ("numpy.core", "numpy._core"):
        table[root + ".multiarray", "_reconstruct"] = Allowed(_array_shell)
        table[root + ".multiarray", "scalar"] = Allowed(_array_scalar)
        table[root + ".numeric", "_frombuffer"] = Allowed(_array_from_buffer)
    for builtins_module in ("builtins", "__builtin__"):
        for plain in (set, frozenset, bytearray, list, dict, tuple, complex, slice, range, int, float, str, bytes, bool):
            table[builtins_module, plain.__name__] = plain
    return table
