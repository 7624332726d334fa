"""Making centres and indexes: k-means, our own file, and the files of so-vits-svc."""

from __future__ import annotations

import pickle
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.toy_index import flat_index as handmade_flat
from timbre.errors import MissingWeightsError, WeightsError
from timbre.retrieval import clustering
from timbre.retrieval.clustering import cluster
from timbre.retrieval.euclid import nearest_rows
from timbre.retrieval.faiss_file import read_faiss_index
from timbre.retrieval.foreign import read_index_bytes, read_kmeans
from timbre.retrieval.foreign_writing import flat_index, listed_index, pickled_indexes, write_kmeans
from timbre.retrieval.speaker_rows import SpeakerRows, is_speaker_rows, read_speaker_rows, save_speaker_rows
from timbre.weights.restricted import read_checkpoint


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def clouds(n_clouds: int, n_each: int, spread: float = 0.1) -> torch.Tensor:
    """Return rows around `n_clouds` places that are far from each other and from the origin, cloud by cloud."""
    places = 30 + 10 * random(n_clouds, 8)
    return (places[:, None] + spread * random(n_clouds, n_each, 8, seed=1)).flatten(0, 1)


def distance(rows: torch.Tensor, centres: torch.Tensor) -> float:
    return float(nearest_rows(rows, centres, 1)[0].sqrt().mean())


@pytest.mark.parametrize("number_type", [None, torch.bfloat16])
@pytest.mark.parametrize("seed", range(5))
def test_each_cloud_gets_its_centre(number_type: torch.dtype | None, seed: int) -> None:
    rows = clouds(6, 20)
    found = cluster(rows, 60, seed, number_type=number_type)
    clouds_of_centres = found.nearest.new_full((len(found.centres),), -1)
    clouds_of_centres[found.nearest] = torch.arange(6).repeat_interleave(20)
    assert torch.equal(clouds_of_centres[found.nearest], torch.arange(6).repeat_interleave(20))
    assert found.mean_distance < 0.4


def test_centres_are_means_of_their_rows_and_near() -> None:
    rows = random(500, 8)
    found = cluster(rows, 40, seed=0)
    assert found.centres.shape == (40, 8) and len(found.nearest.unique()) == 40
    assert torch.equal(found.nearest, nearest_rows(rows, found.centres, 1)[1][:, 0])
    assert found.mean_distance == pytest.approx(distance(rows, found.centres), rel=1e-5)
    assert found.mean_distance < 0.9 * distance(rows, rows[:40])


def test_more_centres_are_nearer() -> None:
    rows = random(500, 8)
    distances = [cluster(rows, n_centres, seed=0).mean_distance for n_centres in (1, 5, 25, 125, 500)]
    assert distances == sorted(distances, reverse=True) and distances[-1] == 0
    torch.testing.assert_close(cluster(rows, 1, seed=0).centres[0], rows.mean(dim=0))


def test_the_seed_decides_and_nothing_global() -> None:
    rows, state = random(300, 4), torch.get_rng_state()
    one, same, other = (cluster(rows, 20, seed) for seed in (3, 3, 4))
    assert torch.equal(one.centres, same.centres) and torch.equal(one.nearest, same.nearest)
    assert not torch.equal(one.centres, other.centres)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_more_centres_than_different_rows() -> None:
    rows = random(3, 4).repeat(10, 1)
    found = cluster(rows, 8, seed=0)
    assert len(found.centres) == 3 and found.mean_distance == pytest.approx(0, abs=1e-6)
    assert len(cluster(torch.ones(5, 4), 4, seed=0).centres) == 1
    assert torch.equal(cluster(rows[:1], 4, seed=0).centres, rows[:1])


def test_a_centre_without_rows_moves_to_a_far_row() -> None:
    rows = torch.tensor([[0.0], [1.0], [10.0]])
    means = clustering._means(rows, torch.tensor([0, 0, 0]), torch.tensor([0.0, 1.0, 100.0]), 2)
    torch.testing.assert_close(means, torch.tensor([[11 / 3], [10.0]]))


def test_blocks_do_not_change_the_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random(200, 4)
    whole = cluster(rows, 20, seed=0)
    monkeypatch.setattr(clustering, "_BLOCK_NUMBERS", 7 * 20)
    torch.testing.assert_close(cluster(rows, 20, seed=0).centres, whole.centres)


def test_progress_rises_to_the_end() -> None:
    told: list[float] = []
    cluster(random(200, 4), 20, seed=0, on_progress=told.append)
    assert told == sorted(told) and told[0] > 0 and told[-1] == 1


def test_our_file_keeps_all(tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    rows = {"ada": random(5, 3), "Björn/../x": random(2, 3, seed=1)}
    save_speaker_rows(SpeakerRows("retrieval", "vec768l12", rows), path)
    found = read_speaker_rows(path, "retrieval")
    assert (found.kind, found.encoder, found.rows.keys()) == ("retrieval", "vec768l12", rows.keys())
    assert all(torch.equal(found.rows[name], each) for name, each in rows.items())
    assert is_speaker_rows(path)
    save_speaker_rows(found, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_other_files_are_not_ours(tmp_path: Path) -> None:
    save_file({"a": random(2, 2)}, tmp_path / "a.safetensors")
    (tmp_path / "b").write_bytes(b"\x80\x02.")
    assert not any(is_speaker_rows(tmp_path / name) for name in ("a.safetensors", "b", "absent", "."))


@pytest.mark.parametrize(
    ("header", "rows", "says"),
    [
        ('{"format": 2}', random(2, 2), "is of format 2, and this version reads format 1"),
        ('{"format": 1, "kind": "retrieval", "encoder": "x"}', random(2, 2), "is a feature index; give a file of"),
        ('{"format": 1, "kind": "other", "encoder": "x"}', random(2, 2), "is damaged"),
        ('{"format": 1, "kind": "kmeans"}', random(2, 2), "is damaged"),
        ("[]", random(2, 2), "is damaged"),
        ("{", random(2, 2), "is damaged"),
        ('{"format": 1, "kind": "kmeans", "encoder": "x"}', random(2), "is damaged"),
        ('{"format": 1, "kind": "kmeans", "encoder": "x"}', random(0, 2), "is damaged"),
        ('{"format": 1, "kind": "kmeans", "encoder": "x"}', random(2, 2).double(), "is damaged"),
        ('{"format": 1, "kind": "kmeans", "encoder": "x"}', torch.full((2, 2), torch.nan), "is damaged"),
    ],
)
def test_unusable_files_of_ours(tmp_path: Path, header: str, rows: torch.Tensor, says: str) -> None:
    path = tmp_path / "k.safetensors"
    save_file({"ada": rows}, path, {"timbre_index": header})
    with pytest.raises(WeightsError, match=says) as caught:
        read_speaker_rows(path, "kmeans")
    assert "'k.safetensors'" in str(caught.value)


def test_an_absent_and_a_cut_file(tmp_path: Path) -> None:
    path = tmp_path / "k.safetensors"
    with pytest.raises(MissingWeightsError, match="make it with: timbre index DATASET --kind kmeans"):
        read_speaker_rows(path, "kmeans")
    save_speaker_rows(SpeakerRows("kmeans", "x", {"ada": random(2, 2)}), path)
    content = path.read_bytes()
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="is damaged"):
            read_speaker_rows(path, "kmeans")


def test_kmeans_file_of_the_original(tmp_path: Path) -> None:
    centres = {"ada": random(5, 3), "björn": random(2, 3, seed=1)}
    write_kmeans(centres, tmp_path / "k.pt")
    checkpoint = read_checkpoint(tmp_path / "k.pt")
    assert checkpoint.unknown_classes == ()
    for name, rows in read_kmeans(checkpoint).items():
        assert torch.equal(rows, centres[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, about the old name of its module
        loaded = torch.load(tmp_path / "k.pt", weights_only=False)
    entry = loaded["ada"]
    assert entry.keys() == {"n_features_in_", "_n_threads", "cluster_centers_"} and entry["n_features_in_"] == 3
    assert type(entry["cluster_centers_"]) is np.ndarray and entry["cluster_centers_"].dtype == np.float32
    assert b"numpy._core" not in (tmp_path / "k.pt").read_bytes(), "numpy 1 has no such module"


def test_flat_indexes_are_those_written_by_hand() -> None:
    rows = random(5, 3)
    assert flat_index(rows) == handmade_flat(rows)
    assert listed_index(random(38, 3), seed=0)[:4] == b"IxF2"


def test_listed_index_holds_every_row_once_beside_its_centre() -> None:
    rows = random(400, 6)
    index = read_faiss_index(listed_index(rows, seed=0))
    assert len(index.centroids) == 10 and index.n_probes == 1
    assert sorted(map(tuple, index.vectors.tolist())) == sorted(map(tuple, rows.tolist()))
    for number, (start, end) in enumerate(zip(index.borders, index.borders[1:], strict=False)):
        _, nearest = nearest_rows(index.vectors[start:end], index.centroids, 1)
        assert end > start and bool((nearest == number).all())
    assert torch.equal(index.mix(rows, 1.0), rows)


def test_index_file_of_the_original(tmp_path: Path) -> None:
    contents = {0: listed_index(random(100, 4), seed=0), 7: flat_index(random(5, 4))}
    (tmp_path / "i.pkl").write_bytes(pickled_indexes(contents))
    checkpoint = read_checkpoint(tmp_path / "i.pkl")
    assert read_index_bytes(checkpoint) == contents
    assert checkpoint.unknown_classes == ("faiss.swigfaiss.IndexFlatL2", "faiss.swigfaiss.IndexIVFFlat")
    assert [stub.dotted_name.rpartition(".")[2] for stub in checkpoint.data.values()] == ["IndexIVFFlat", "IndexFlatL2"]


def test_faiss_reads_what_was_written() -> None:
    faiss = pytest.importorskip("faiss")
    rows = random(400, 6)
    content = {0: listed_index(rows, seed=0), 1: flat_index(rows)}
    for number, index in pickle.loads(pickled_indexes(content)).items():
        assert faiss.serialize_index(index).tobytes() == content[number]
        np.testing.assert_array_equal(index.reconstruct_n(0, index.ntotal), rows.numpy())
        np.testing.assert_array_equal(index.search(rows.numpy(), 1)[1][:, 0], np.arange(400))


def test_numbers_of_a_listed_index_are_those_of_the_rows() -> None:
    rows = random(100, 2)
    content = listed_index(rows, seed=0)
    sizes = struct.unpack("<2Q", content[content.index(b"full") + 12 :][:16])
    at, numbers = content.index(b"full") + 28, []
    for size in sizes:
        stored = np.frombuffer(content, "<f4", size * 2, at).reshape(size, 2)
        ids = np.frombuffer(content, "<i8", size, at + size * 8)
        np.testing.assert_array_equal(stored, rows.numpy()[ids])
        numbers += ids.tolist()
        at += size * 16
    assert at == len(content) and sorted(numbers) == list(range(100))
