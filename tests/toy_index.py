"""Serialised faiss indexes written by hand, so that no test needs faiss."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from torch import Tensor

L2 = 1


def flat_index(vectors: Tensor, kind: bytes = b"IxF2", metric: int = L2) -> bytes:
    """Return a flat index of `vectors` [N, D]."""
    n_vectors, width = vectors.shape
    return kind + _header(width, n_vectors, metric) + struct.pack("<Q", n_vectors * width) + _floats(vectors)


def ivf_index(
    centroids: Tensor, lists: Sequence[Tensor], *, n_probes: int = 1, sparse: bool = False, direct_map: bytes = b""
) -> bytes:
    """Return an IVF-Flat index of `lists`, each [n, D], around `centroids` [lists, D]."""
    n_lists, width = centroids.shape
    sizes = [len(rows) for rows in lists]
    table = [number for pair in enumerate(sizes) if pair[1] for number in pair] if sparse else sizes
    written = [b"IwFl", _header(width, sum(sizes)), struct.pack("<QQ", n_lists, n_probes), flat_index(centroids)]
    written += [direct_map or struct.pack("<BQ", 0, 0), b"ilar", struct.pack("<QQ", n_lists, 4 * width)]
    written += [b"sprs" if sparse else b"full", struct.pack(f"<Q{len(table)}Q", len(table), *table)]
    first = 0
    for rows in lists:
        written += [_floats(rows), np.arange(first, first + len(rows), dtype="<i8").tobytes()]
        first += len(rows)
    return b"".join(written)


def _header(width: int, n_vectors: int, metric: int = L2) -> bytes:
    return struct.pack("<iqqqBi", width, n_vectors, 1 << 20, 1 << 20, 1, metric)


def _floats(values: Tensor) -> bytes:
    return values.numpy().astype("<f4").tobytes()
