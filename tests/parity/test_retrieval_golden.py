"""Cluster centres and feature indexes against recorded results (golden README: 1e-5)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from timbre.dsp.stretch import stretch
from timbre.retrieval.contract import ContentRetrieval
from timbre.retrieval.faiss_file import read_faiss_index
from timbre.retrieval.feature_index import FeatureIndex
from timbre.retrieval.foreign import read_index_bytes, read_kmeans
from timbre.retrieval.kmeans import ClusterCentres
from timbre.weights.restricted import read_checkpoint

TOLERANCE = 1e-5


def load_indexes(folder: Path) -> dict[int, FeatureIndex]:
    contents = read_index_bytes(read_checkpoint(folder / "feature_and_index.pkl"))
    return {number: read_faiss_index(content) for number, content in contents.items()}


def load_all(folder: Path) -> dict[str, ContentRetrieval]:
    """Return everything to retrieve from by the beginning of the names of its results."""
    centres = read_kmeans(read_checkpoint(folder / "kmeans_10000.pt"))
    found: dict[str, ContentRetrieval] = {f"km_{name}": ClusterCentres(rows) for name, rows in centres.items()}
    return found | {f"fr_s{number}": index for number, index in load_indexes(folder).items()}


def test_mixed_content(golden_pipeline: Path) -> None:
    retrievals = load_all(golden_pipeline)
    with np.load(golden_pipeline / "unit_mix.npz") as recorded:
        names = [name for name in recorded if name.startswith(("km_", "fr_"))]
        assert {name.rsplit("_", 2)[0] for name in names} == set(retrievals)
        for name in names:
            source, ratio, mode = name.rsplit("_", 2)
            expected = recorded[name]
            content = stretch(torch.from_numpy(recorded["c"]), expected.shape[1], mode).T
            got = retrievals[source].mix(content, float(ratio)).T.numpy()
            assert np.isfinite(got).all(), name
            known = ~np.isnan(expected)  # an exact hit was NaN in the original
            np.testing.assert_allclose(got[known], expected[known], rtol=0, atol=TOLERANCE, err_msg=name)


def test_neighbours(golden_pipeline: Path) -> None:
    indexes = load_indexes(golden_pipeline)
    with np.load(golden_pipeline / "unit_mix.npz") as recorded:
        for number, index in indexes.items():
            distances, ids = recorded[f"search_{number}_dist"], recorded[f"search_{number}_ids"]
            got = _search_of_some_mode(index, torch.from_numpy(recorded["c"]), distances)
            found = ids >= 0
            np.testing.assert_allclose(got[0].numpy()[found], distances[found], rtol=TOLERANCE)
            neighbours = index.vectors[got[1]].numpy()[found]
            np.testing.assert_array_equal(neighbours, recorded[f"bank_{number}"][ids[found]])
            assert torch.isinf(got[0])[torch.from_numpy(~found)].all()


def _search_of_some_mode(index: FeatureIndex, units: Tensor, distances: np.ndarray) -> tuple[Tensor, Tensor]:
    """Search the neighbours of `units`, stretched in the mode that was used when `distances` were recorded."""
    searches = [index.search(stretch(units, len(distances), mode).T) for mode in ("left", "nearest")]
    return min(searches, key=lambda search: float(np.abs(search[0][:, 0].numpy() - distances[:, 0]).sum()))


def test_banks(golden_pipeline: Path) -> None:
    indexes = load_indexes(golden_pipeline)
    with np.load(golden_pipeline / "unit_mix.npz") as recorded:
        for number, index in indexes.items():
            bank = recorded[f"bank_{number}"]
            assert sorted(map(tuple, index.vectors.tolist())) == sorted(map(tuple, bank.tolist()))
