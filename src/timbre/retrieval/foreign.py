"""Reading the cluster and index files of so-vits-svc (pipeline spec 5.1, 5.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from timbre.errors import WeightsError
from timbre.weights.identify import FileKind, identify, wrong_kind
from timbre.weights.restricted import Checkpoint


def read_kmeans(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the cluster centres [K, D], float32, of each speaker by name.

    Raises WeightsError for another file, or for centres that are not K > 0 rows of finite numbers.
    """
    if identify(checkpoint.data) is not FileKind.KMEANS:
        raise wrong_kind(checkpoint, FileKind.KMEANS)
    return {str(name): _centres(str(name), entry["cluster_centers_"]) for name, entry in checkpoint.data.items()}


def read_index_bytes(checkpoint: Checkpoint) -> dict[int, bytes]:
    """Return the serialised faiss index of each speaker by number; nothing of faiss is run.

    Raises WeightsError for another file.
    """
    if identify(checkpoint.data) is not FileKind.FEATURE_INDEX:
        raise wrong_kind(checkpoint, FileKind.FEATURE_INDEX)
    return {_speaker(key): _content(stub.state) for key, stub in checkpoint.data.items()}


def _centres(name: str, rows: object) -> Tensor:
    array = np.asarray(rows)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise WeightsError(f"the cluster centres of speaker {name!r} are damaged; train or copy the file again")
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _speaker(key: object) -> int:
    if not isinstance(key, int):
        raise WeightsError(f"the feature index has a speaker {key!r}, which is no number; train the index again")
    return key


def _content(state: object) -> bytes:
    content = state.get("this") if isinstance(state, dict) else None
    if not isinstance(content, bytes):
        raise WeightsError("the feature index holds no data of faiss; train the index again")
    return content
