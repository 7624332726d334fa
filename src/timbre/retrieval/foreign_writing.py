"""Writing cluster and index files that so-vits-svc reads (pipeline spec 5.1, 5.2), without scikit-learn and faiss."""

from __future__ import annotations

import math
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from timbre.retrieval.clustering import cluster

KMEANS_FILE, INDEX_FILE = "kmeans_10000.pt", "feature_and_index.pkl"
_FLAT = b"IxF2"
_EUCLIDEAN = 1
_ROWS_PER_LIST = 39  # below which faiss warns
_OLD_ARRAYS, _NEW_ARRAYS = b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"


def write_kmeans(centres: Mapping[str, Tensor], path: Path) -> None:
    """Write the centres [K, D] of speakers by name as a torch file; equal centres give equal bytes.

    Raises OSError where it cannot be written.
    """
    entries = {name: _kmeans_entry(rows) for name, rows in centres.items()}
    # numpy 2 names a module that so-vits-svc's numpy 1 does not have; the old name is known to both.
    content = pickle.dumps(entries, protocol=2).replace(_NEW_ARRAYS, _OLD_ARRAYS, 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (("data.pkl", content), ("version", b"3\n")):
            archive.writestr(zipfile.ZipInfo(f"{Path(KMEANS_FILE).stem}/{name}"), data)


def pickled_indexes(indexes: Mapping[int, bytes]) -> bytes:
    """Return the pickle {speaker id: faiss index} that faiss would write for these serialised indexes.

    Written by hand, because faiss itself need not be here: each index is an empty object of its class with the state
    {"this": bytes} (pipeline spec 5.2).
    """
    written = [pickle.PROTO, b"\x03", pickle.EMPTY_DICT, pickle.MARK]
    for speaker_id, content in indexes.items():
        name = b"IndexFlatL2" if content.startswith(_FLAT) else b"IndexIVFFlat"
        written += [pickle.BININT, struct.pack("<i", speaker_id)]
        written += [pickle.GLOBAL, b"faiss.swigfaiss\n" + name + b"\n", pickle.EMPTY_TUPLE, pickle.NEWOBJ]
        written += [pickle.EMPTY_DICT, pickle.BINUNICODE, struct.pack("<I", 4), b"this"]
        written += [pickle.BINBYTES, struct.pack("<I", len(content)), content, pickle.SETITEM, pickle.BUILD]
    return b"".join([*written, pickle.SETITEMS, pickle.STOP])


def flat_index(rows: Tensor) -> bytes:
    """Return rows [N, D] as a serialised faiss index that is searched whole."""
    width = rows.shape[1]
    return _FLAT + _header(width, len(rows)) + struct.pack("<Q", len(rows) * width) + _numbers(rows)


def listed_index(rows: Tensor, seed: int) -> bytes:
    """Return rows [N, D] as the serialised faiss index that so-vits-svc makes: lists around k-means centres.

    One list, the nearest, is searched for each frame. Fewer than 39 rows become an index that is searched whole, where
    the original failed.
    """
    n_lists = min(int(16 * math.sqrt(len(rows))), len(rows) // _ROWS_PER_LIST)
    if n_lists == 0:
        return flat_index(rows)
    found = cluster(rows, n_lists, seed)
    order, counts = found.nearest.argsort(stable=True), found.nearest.bincount()
    width, n_lists = rows.shape[1], len(found.centres)
    written = [b"IwFl", _header(width, len(rows)), struct.pack("<QQ", n_lists, 1), flat_index(found.centres)]
    written += [struct.pack("<BQ", 0, 0), b"ilar", struct.pack("<QQ", n_lists, 4 * width)]
    written += [b"full", struct.pack(f"<Q{n_lists}Q", n_lists, *counts.tolist())]
    for numbers in order.split(counts.tolist()):
        written += [_numbers(rows[numbers]), numbers.cpu().numpy().astype("<i8").tobytes()]
    return b"".join(written)


def _kmeans_entry(centres: Tensor) -> dict[str, object]:
    return {"n_features_in_": centres.shape[1], "_n_threads": 1, "cluster_centers_": centres.float().cpu().numpy()}


def _header(width: int, n_rows: int) -> bytes:
    """Return what begins every index: sizes, two numbers without meaning, that it is trained, how it measures."""
    return struct.pack("<iqqqBi", width, n_rows, 1 << 20, 1 << 20, 1, _EUCLIDEAN)


def _numbers(rows: Tensor) -> bytes:
    return np.ascontiguousarray(rows.cpu().numpy(), dtype="<f4").tobytes()
