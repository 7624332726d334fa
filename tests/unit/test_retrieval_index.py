"""Retrieval from faiss indexes: what is found, and which bytes are refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch

from tests.toy_index import flat_index, ivf_index
from timbre.errors import WeightsError
from timbre.retrieval import feature_index
from timbre.retrieval.faiss_file import read_faiss_index


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


BANK = random(40, 4)
CENTROIDS = torch.tensor([[-2.0, 0, 0, 0], [2.0, 0, 0, 0], [50.0, 0, 0, 0]])
LISTS = [BANK[:15] - CENTROIDS[1], BANK[15:] + CENTROIDS[1], BANK[:0]]
IVF = ivf_index(CENTROIDS, LISTS)


def slow_mix(content: torch.Tensor, bank: torch.Tensor) -> torch.Tensor:
    """Mix as pipeline spec 5.2 says, frame by frame."""
    frames = []
    for frame in content.double():
        distances, ids = (bank.double() - frame).square().sum(1).sort()
        weights = (1 / distances[:8]) ** 2
        frames.append((weights / weights.sum()) @ bank.double()[ids[:8]])
    return torch.stack(frames).float()


@pytest.mark.parametrize("kind", [b"IxF2", b"IxFl"])
def test_flat_index(kind):
    content = random(9, 4, seed=1)
    index = read_faiss_index(flat_index(BANK, kind))
    torch.testing.assert_close(index.mix(content, 1.0), slow_mix(content, BANK))
    torch.testing.assert_close(index.mix(content, 0.3), 0.3 * slow_mix(content, BANK) + 0.7 * content)
    assert index.mix(content, 0.0) is content


def test_only_the_nearest_list_is_searched():
    content = CENTROIDS[:2] + 0.1
    expected = torch.cat([slow_mix(content[:1], LISTS[0]), slow_mix(content[1:], LISTS[1])])
    torch.testing.assert_close(read_faiss_index(IVF).mix(content, 1.0), expected)


def test_several_lists_where_the_index_says_so():
    content = random(9, 4, seed=1)
    index = read_faiss_index(ivf_index(CENTROIDS, LISTS, n_probes=2**40))
    torch.testing.assert_close(index.mix(content, 1.0), slow_mix(content, torch.cat(LISTS)))


@pytest.mark.parametrize("kwargs", [{"sparse": True}, {"direct_map": struct.pack("<BQ5q", 1, 5, *range(5))}])
def test_other_layouts_of_the_same_index(kwargs):
    content = random(9, 4, seed=1)
    index = read_faiss_index(ivf_index(CENTROIDS, LISTS, **kwargs))
    assert torch.equal(index.mix(content, 1.0), read_faiss_index(IVF).mix(content, 1.0))


def test_an_exact_hit_replaces_the_frame_alone():
    index = read_faiss_index(flat_index(BANK))
    assert torch.equal(index.mix(BANK, 1.0), BANK)


def test_hits_that_are_there_twice_or_almost_exact():
    index = read_faiss_index(flat_index(torch.cat([BANK, BANK])))
    assert torch.equal(index.mix(BANK, 1.0), BANK)
    near_zero = read_faiss_index(flat_index(torch.tensor([[1e-18, 0, 0, 0], [1.0, 0, 0, 0]])))
    assert torch.isfinite(near_zero.mix(torch.zeros(1, 4), 1.0)).all()


def test_fewer_neighbours_than_eight():
    content = random(5, 4, seed=1)
    index = read_faiss_index(flat_index(BANK[:3]))
    distances, _ = index.search(content)
    assert distances.shape == (5, 8) and bool(torch.isinf(distances[:, 3:]).all())
    torch.testing.assert_close(index.mix(content, 1.0), slow_mix(content, BANK[:3]))


def test_a_frame_of_an_empty_list_stays():
    content = torch.stack([CENTROIDS[2], CENTROIDS[0] + 0.1])
    mixed = read_faiss_index(IVF).mix(content, 1.0)
    assert torch.equal(mixed[0], content[0]) and not torch.equal(mixed[1], content[1])


@pytest.mark.parametrize("n_frames", [0, 1])
def test_hardly_any_frames(n_frames):
    assert read_faiss_index(IVF).mix(random(n_frames, 4), 1.0).shape == (n_frames, 4)


def test_blocks_do_not_change_the_mix(monkeypatch):
    content, index = random(50, 4, seed=1), read_faiss_index(IVF)
    whole = index.mix(content, 0.7)
    monkeypatch.setattr(feature_index, "_BLOCK_FRAMES", 7)
    torch.testing.assert_close(index.mix(content, 0.7), whole)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (flat_index(BANK, b"IxFI", metric=0), "kind 'IxFI'"),
        (flat_index(BANK, metric=0), "metric 0"),
        (b"IHNf" + flat_index(BANK)[4:], "kind 'IHNf'"),
        (IVF.replace(b"IxF2", b"IxSQ"), "finds its lists by 'IxSQ'"),
    ],
)
def test_other_indexes_are_refused(content, says):
    with pytest.raises(WeightsError, match=says) as caught:
        read_faiss_index(content)
    assert "train the index of this speaker again" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"IwF",
        IVF + b"\0",
        IVF.replace(b"ilar", b"il00"),
        IVF.replace(b"full", b"half"),
        ivf_index(CENTROIDS, LISTS, n_probes=0),
        ivf_index(CENTROIDS, LISTS, direct_map=struct.pack("<BQ", 7, 0)),
        ivf_index(CENTROIDS, [BANK[:0]] * 3),
        ivf_index(CENTROIDS, LISTS[:2]),
        flat_index(BANK[:0]),
        flat_index(torch.full((3, 4), torch.nan)),
        ivf_index(torch.full((3, 4), torch.inf), LISTS),
        b"IxF2" + struct.pack("<iqqqBi", 4, 2**62, 0, 0, 1, 1) + struct.pack("<Q", 2**64 - 1),
        b"IxF2" + struct.pack("<iqqqBi", -4, -1, 0, 0, 1, 1) + struct.pack("<Q", 4) + bytes(16),
    ],
)
def test_damaged_indexes_are_refused(content):
    with pytest.raises(WeightsError, match="damaged or empty"):
        read_faiss_index(content)


def test_every_cut_is_refused():
    for length in range(len(IVF)):
        with pytest.raises(WeightsError):
            read_faiss_index(IVF[:length])


def test_changed_bytes_never_raise_anything_else():
    generator = np.random.default_rng(0)
    for _ in range(1500):
        content = bytearray(IVF)
        for place in generator.integers(0, len(IVF), 3):
            content[place] = generator.integers(0, 256)
        try:
            read_faiss_index(bytes(content)).mix(BANK, 0.5)
        except WeightsError:
            continue


def test_faiss_agrees():
    faiss = pytest.importorskip("faiss")
    bank, content = random(400, 6).numpy(), random(30, 6, seed=1)
    index = faiss.index_factory(6, "IVF10,Flat")
    index.train(bank)
    index.add(bank)
    distances, ids = index.search(content.numpy(), 8)
    ours = read_faiss_index(faiss.serialize_index(index).tobytes())
    got, positions = ours.search(content)
    np.testing.assert_allclose(got.numpy()[ids >= 0], distances[ids >= 0], rtol=1e-5)
    np.testing.assert_array_equal(ours.vectors[positions].numpy()[ids >= 0], bank[ids[ids >= 0]])
