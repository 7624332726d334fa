"""Reading serialised faiss indexes without faiss: IVF-Flat and flat ones with Euclidean distance.

The bytes come from anywhere: every count is checked against what is there before it is used.
"""

from __future__ import annotations

import struct

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.errors import WeightsError
from timbre.retrieval.feature_index import FeatureIndex

_IVF_FLAT, _FLAT = b"IwFl", (b"IxF2", b"IxFl")
_ARRAY_LISTS, _ALL_SIZES, _SOME_SIZES = b"ilar", b"full", b"sprs"
_NO_MAP, _ARRAY_MAP, _HASH_MAP = range(3)
_EUCLIDEAN = 1
_TRAIN_AGAIN = "train the index of this speaker again"
_ADVICE = f"only IVF-Flat and flat indexes with Euclidean distance can be read; {_TRAIN_AGAIN}"

Rows = NDArray[np.float32]


def read_faiss_index(content: bytes, device: str | torch.device = "cpu") -> FeatureIndex:
    """Read what faiss.serialize_index wrote, onto `device`.

    Raises WeightsError for another kind of index, and for one that is damaged, empty or holds NaN.
    """
    reader = _Reader(content)
    kind = reader.take(4)
    if kind == _IVF_FLAT:
        centroids, lists, n_probes = _ivf_flat(reader)
    elif kind in _FLAT:
        rows = _flat(reader)
        centroids, lists, n_probes = np.zeros((1, rows.shape[1]), dtype=np.float32), [rows], 1
    else:
        raise WeightsError(f"the feature index is of the kind {kind.decode('latin-1')!r}, but {_ADVICE}")
    vectors = np.concatenate(lists) if lists else centroids[:0]
    if reader.n_left or len(vectors) == 0 or not (np.isfinite(vectors).all() and np.isfinite(centroids).all()):
        raise _damaged()
    borders = np.cumsum([0, *map(len, lists)]).tolist()
    return FeatureIndex(
        torch.from_numpy(vectors).to(device), borders, torch.from_numpy(centroids.copy()).to(device), n_probes
    )


class _Reader:
    """Takes numbers off the front of some bytes; raises WeightsError where they end too early."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    @property
    def n_left(self) -> int:
        return len(self._content) - self._at

    def take(self, n_bytes: int) -> bytes:
        """Return the next bytes."""
        self.skip(n_bytes)
        return self._content[self._at - n_bytes : self._at]

    def skip(self, n_bytes: int) -> None:
        """Pass over bytes."""
        if not 0 <= n_bytes <= self.n_left:
            raise _damaged()
        self._at += n_bytes

    def whole(self, form: str = "Q") -> int:
        """Return the next whole number, of the form that `struct` calls so."""
        number: int = struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]
        return number

    def rows(self, n_rows: int, width: int) -> Rows:
        """Return the next float32 numbers as a table, without copying them."""
        start = self._at
        self.skip(n_rows * width * 4)
        return np.frombuffer(self._content, "<f4", n_rows * width, start).reshape(n_rows, width)


def _header(reader: _Reader) -> tuple[int, int]:
    """Return width and number of vectors."""
    width, n_vectors = reader.whole("i"), reader.whole("q")
    reader.skip(2 * 8 + 1)  # two unused numbers, and whether it was trained
    metric = reader.whole("i")
    if metric != _EUCLIDEAN:
        raise WeightsError(f"the feature index measures by faiss's metric {metric}, but {_ADVICE}")
    if width < 1 or n_vectors < 0:
        raise _damaged()
    return width, n_vectors


def _flat(reader: _Reader) -> Rows:
    """Return the vectors of a flat index, whose kind has been read."""
    width, n_vectors = _header(reader)
    if reader.whole() != n_vectors * width:
        raise _damaged()
    return reader.rows(n_vectors, width)


def _ivf_flat(reader: _Reader) -> tuple[Rows, list[Rows], int]:
    """Return centroids, lists of vectors and the number of lists to search, of an index whose kind has been read."""
    width, n_vectors = _header(reader)
    n_lists, n_probes = reader.whole(), reader.whole()
    quantiser = reader.take(4)
    if quantiser not in _FLAT:
        raise WeightsError(f"the feature index finds its lists by {quantiser.decode('latin-1')!r}, but {_ADVICE}")
    centroids = _flat(reader)
    _skip_direct_map(reader)
    form = (reader.take(4), reader.whole(), reader.whole())
    if form != (_ARRAY_LISTS, n_lists, 4 * width) or centroids.shape != (n_lists, width) or n_probes < 1:
        raise _damaged()
    lists = []
    for size in _list_sizes(reader, n_lists):
        lists.append(reader.rows(size, width))
        reader.skip(size * 8)  # the numbers of the vectors
    if sum(map(len, lists)) != n_vectors:
        raise _damaged()
    return centroids, lists, n_probes


def _skip_direct_map(reader: _Reader) -> None:
    kind = reader.whole("B")
    if kind not in (_NO_MAP, _ARRAY_MAP, _HASH_MAP):
        raise _damaged()
    reader.skip(reader.whole() * 8)
    if kind == _HASH_MAP:
        reader.skip(reader.whole() * 16)


def _list_sizes(reader: _Reader, n_lists: int) -> list[int]:
    """Return the number of vectors in each list; a sparse table names only those that are not empty."""
    kind, n_numbers = reader.take(4), reader.whole()
    table: list[int] = np.frombuffer(reader.take(n_numbers * 8), "<u8").tolist()
    if kind == _ALL_SIZES and len(table) == n_lists:
        return table
    sizes = dict(zip(table[::2], table[1::2], strict=False))
    if kind != _SOME_SIZES or len(table) % 2 or any(number >= n_lists for number in sizes):
        raise _damaged()
    return [sizes.get(number, 0) for number in range(n_lists)]


def _damaged() -> WeightsError:
    return WeightsError(f"the feature index is damaged or empty; copy it again or {_TRAIN_AGAIN}")
