"""Reading checkpoints of other programs without running anything they ask for.

A torch file or a pickle is a small program that names functions to call. Here a name is either one of the
rebuilding functions of `timbre.weights.rebuild` or becomes an inert stub; nothing else is ever looked up.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from timbre.errors import MissingWeightsError, WeightsError
from timbre.weights.inert import InertStub, inert_class
from timbre.weights.rebuild import ArrayShell, StorageKind, plain_array, rebuilders, storage_kind

MAX_FILE_BYTES = 16 * 2**30
_MAX_PICKLE_BYTES = 2**30  # of the pickle inside a torch zip file, which holds no numbers
_MAX_INFLATION = 20
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_MAX_SAFETENSORS_HEADER_BYTES = 100_000_000  # the format's own limit
_SETTINGS_TEXT = re.compile(rb"\s*(?:\{|(?:#[^\n]*\s+)*[A-Za-z_]+:\s)")  # JSON or YAML
_TORCH_DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
_MALFORMED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RuntimeError,  # includes RecursionError and torch's own
    SafetensorError,
)

_StorageLoader = Callable[[torch.dtype, str, int], Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The content of a foreign file: plain containers, tensors and arrays, and stubs for everything else."""

    data: Any
    unknown_classes: tuple[str, ...]  # dotted names that were answered with inert stubs, sorted


def read_checkpoint(path: str | Path, *, max_bytes: int = MAX_FILE_BYTES) -> Checkpoint:
    """Read a torch zip file, a legacy torch file, a plain pickle or safetensors (pipeline spec 1.2, 5.1, 5.2).

    Tensors lie on the CPU in the stored type (float16 stays float16) and need no gradient. Only tensors,
    numpy arrays and numbers, and plain containers are built; any other class becomes an `InertStub` that
    keeps its arguments and state, and no unknown function is called. The form is told by the content, not by the
    name. Raises MissingWeightsError when there
    is no such file and WeightsError when it is damaged, of another kind, or larger than `max_bytes`.
    """
    name = Path(path).name
    with _opened(path, max_bytes) as (file, size):
        head = file.read(64)
        file.seek(0)
        reader = _reader_for(name, head)
        with _explained(name):
            return reader(file, size)


@contextmanager
def _opened(path: str | Path, max_bytes: int) -> Iterator[tuple[IO[bytes], int]]:
    """Open an existing file that is not too large; gives its size in bytes as well."""
    path = Path(path)
    if not path.exists():
        raise MissingWeightsError(f"there is no weights file {str(path)!r}; check the path or download the file")
    if not path.is_file():
        raise WeightsError(f"{str(path)!r} is a folder; a weights file is needed")
    size = path.stat().st_size
    if size > max_bytes:
        raise WeightsError(
            f"{path.name!r} has {size} bytes, more than the allowed {max_bytes}; raise the limit if meant"
        )
    with path.open("rb") as file:
        yield file, size


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn whatever goes wrong in decoding the file `name` into one sentence."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{name!r} cannot be read: {error}; use another copy or file") from error
    except _MALFORMED as error:
        raise WeightsError(f"{name!r} is cut off, damaged or not a checkpoint; download or copy it again") from error


def _reader_for(name: str, head: bytes) -> Callable[[IO[bytes], int], Checkpoint]:
    if not head:
        raise WeightsError(f"{name!r} is empty; download or copy it again")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{name!r} is only a Git LFS pointer; download the weights file it points to")
    if head.lstrip().startswith(b"<"):
        raise WeightsError(f"{name!r} is a web page, not a checkpoint; download the file itself")
    if head.startswith(b"PK\x03\x04"):
        return _read_zip
    if head.startswith(b"\x80"):
        return _read_pickles
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER_BYTES:
        return _read_safetensors
    if _SETTINGS_TEXT.match(head):
        raise WeightsError(f"{name!r} is a text of settings, not a checkpoint; give the weights it belongs to")
    raise WeightsError(
        f"{name!r} is not a torch file, pickle or safetensors file; "
        "a checkpoint (.pth, .pt, .ckpt, .pkl or .safetensors) is needed"
    )


class _RestrictedUnpickler(pickle.Unpickler):
    """Builds only what `rebuilders` knows; each other name becomes a stub class of that name."""

    def __init__(self, file: IO[bytes], load_storage: _StorageLoader | None = None) -> None:
        _check_opcodes(file)
        super().__init__(file, encoding="utf-8")
        self._known = rebuilders()
        self._load_storage = load_storage
        self.stub_classes: dict[str, type[InertStub]] = {}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        known = self._known.get((module_name, global_name))
        if known is not None:
            return known
        if module_name in ("torch", "torch.cuda", "torch.storage"):
            kind = storage_kind(global_name)
            if kind is not None:
                return kind
            if module_name == "torch" and global_name in _TORCH_DTYPES:
                return _TORCH_DTYPES[global_name]
        dotted_name = f"{module_name}.{global_name}"
        return self.stub_classes.setdefault(dotted_name, inert_class(dotted_name))

    def persistent_load(self, pid: Any) -> Any:
        if self._load_storage is None or not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise WeightsError("it refers to data outside the file")
        _, kind, key, _, n_elements, *view = pid
        if not isinstance(kind, StorageKind) or not isinstance(key, str) or type(n_elements) is not int:
            raise WeightsError("it holds tensor data of an unknown kind")
        storage = self._load_storage(kind.dtype, key, n_elements)
        if view and view[0] is not None:
            _, offset, length = view[0]
            return storage[offset : offset + length]
        return storage


def _check_opcodes(file: IO[bytes]) -> None:
    """Refuse a pickle that asks for absurd amounts of memory before any of it is run."""
    start = file.tell()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and (argument is None or argument > count):
            raise WeightsError("its pickle is malformed")
        if opcode.name.startswith("EXT"):
            raise WeightsError("its pickle uses an extension registry")
    file.seek(start)


def _finish(data: Any, *stub_classes: dict[str, type[InertStub]]) -> Checkpoint:
    return Checkpoint(_plain(data, {}), tuple(sorted(set().union(*stub_classes))))


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """Replace the array shells inside nested containers; lists, dictionaries and stubs are changed in place."""
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, ArrayShell):
        finished: Any = plain_array(value)
        if finished.dtype == object:
            finished.flat[:] = [_plain(item, done) for item in finished.flat]
    elif isinstance(value, OrderedDict):
        finished = done[id(value)] = OrderedDict()  # without the attributes a pickle may have set
        for key, item in dict.items(value):
            finished[key] = _plain(item, done)
    elif type(value) is tuple:
        finished = tuple(_plain(item, done) for item in value)
    else:
        done[id(value)] = value
        if type(value) is list:
            value[:] = [_plain(item, done) for item in value]
        elif type(value) is dict:
            value.update({key: _plain(item, done) for key, item in value.items()})
        elif isinstance(value, InertStub):
            for name in ("args", "kwargs", "state", "items", "entries"):
                setattr(value, name, _plain(getattr(value, name), done))
        return value
    done[id(value)] = finished
    return finished


def _read_zip(file: IO[bytes], size: int) -> Checkpoint:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if sum(info.file_size for info in members.values()) > _MAX_INFLATION * size:
            raise WeightsError("it unpacks to an absurd size")
        pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise WeightsError("it is a zip archive without torch data")
        root = pickles[0].removesuffix("data.pkl")
        if any(name.startswith(root + "code/") for name in members):
            raise WeightsError("it is a TorchScript program, not a checkpoint")
        if root + "byteorder" in members and archive.read(root + "byteorder") != b"little":
            raise WeightsError("it was written on a big-endian machine")
        if members[pickles[0]].file_size > _MAX_PICKLE_BYTES:
            raise WeightsError("its structure has an absurd size")
        storages: dict[str, Tensor] = {}

        def load_storage(dtype: torch.dtype, key: str, n_elements: int) -> Tensor:
            if key not in storages:
                info = members[root + "data/" + key]
                storages[key] = torch.empty(info.file_size, dtype=torch.uint8)
                with archive.open(info) as member:
                    _fill(member, storages[key].numpy())
            return storages[key][: n_elements * dtype.itemsize].view(dtype)

        with archive.open(pickles[0]) as member:
            unpickler = _RestrictedUnpickler(member, load_storage)
            data = unpickler.load()
        return _finish(data, unpickler.stub_classes)


def _read_safetensors(file: IO[bytes], size: int) -> Checkpoint:
    return Checkpoint(load_file(file.name), ())


def _read_pickles(file: IO[bytes], size: int) -> Checkpoint:
    first = _RestrictedUnpickler(file)
    value = first.load()
    if type(value) is int and value == _LEGACY_MAGIC:
        return _read_legacy(file, size)
    return _finish(value, first.stub_classes)


def _read_legacy(file: IO[bytes], size: int) -> Checkpoint:
    """Read what follows the magic number: version, system, the data's pickle, then the storages in order."""
    if _RestrictedUnpickler(file).load() != _LEGACY_VERSION:
        raise WeightsError("it is a legacy torch file of an unknown version")
    system = _RestrictedUnpickler(file).load()
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise WeightsError("it was written on a big-endian machine")
    storages: dict[str, Tensor] = {}
    room = size

    def load_storage(dtype: torch.dtype, key: str, n_elements: int) -> Tensor:
        nonlocal room
        if key not in storages:
            room -= n_elements * dtype.itemsize
            if n_elements < 0 or room < 0:
                raise WeightsError("its tensors are larger than the file, so it is cut off or damaged")
            storages[key] = torch.zeros(n_elements, dtype=dtype)
        return storages[key]

    unpickler = _RestrictedUnpickler(file, load_storage)
    data = unpickler.load()
    for key in _RestrictedUnpickler(file).load():
        (n_elements,) = struct.unpack("<q", file.read(8))
        if n_elements != storages[key].numel():
            raise WeightsError("its tensors do not fit its structure, so it is damaged")
        _fill(file, storages[key].view(torch.uint8).numpy())
    return _finish(data, unpickler.stub_classes)


def _fill(file: IO[bytes], raw: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Read exactly as many bytes as `raw` holds."""
    view, filled = memoryview(raw.data), 0
    while filled < len(view):
        count = file.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        filled += count
