"""Retrieval from cluster centres."""

from __future__ import annotations

import pytest
import torch

from timbre.retrieval import euclid
from timbre.retrieval.euclid import nearest_rows
from timbre.retrieval.kmeans import ClusterCentres


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_nearest_centre_by_euclid_not_by_angle():
    centres = ClusterCentres(torch.tensor([[10.0, 0.0], [0.0, 1.0]]))
    content = torch.tensor([[1.0, 0.1]])
    assert torch.equal(centres.mix(content, 1.0), torch.tensor([[0.0, 1.0]]))


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.8])
def test_ratio_is_the_share_of_the_centre(ratio):
    centres, content = ClusterCentres(random(5, 4)), random(7, 4, seed=1)
    expected = ratio * centres.mix(content, 1.0) + (1 - ratio) * content
    torch.testing.assert_close(centres.mix(content, ratio), expected)


def test_ratio_0_returns_the_content_itself():
    content = random(7, 4, seed=1)
    assert ClusterCentres(random(5, 4)).mix(content, 0.0) is content


@pytest.mark.parametrize("n_frames", [0, 1])
def test_hardly_any_frames(n_frames):
    content = random(n_frames, 4, seed=1)
    assert ClusterCentres(random(5, 4)).mix(content, 1.0).shape == (n_frames, 4)


def test_blocks_do_not_change_what_is_found(monkeypatch):
    queries, rows = random(50, 6), random(30, 6, seed=1)
    whole = nearest_rows(queries, rows, 4)
    monkeypatch.setattr(euclid, "_BLOCK_NUMBERS", 7 * 30)
    for got, expected in zip(nearest_rows(queries, rows, 4), whole, strict=True):
        torch.testing.assert_close(got, expected)


def test_distances_are_exact_far_from_the_origin():
    rows = 1000 + torch.eye(3)
    distances, positions = nearest_rows(rows, rows, 3)
    assert torch.equal(positions[:, 0], torch.arange(3))
    assert torch.equal(distances, torch.tensor([[0.0, 2.0, 2.0]] * 3))


def test_fewer_rows_than_asked_for():
    distances, positions = nearest_rows(random(4, 3), random(2, 3, seed=1), 8)
    assert distances.shape == positions.shape == (4, 2)
    assert bool((distances[:, 0] <= distances[:, 1]).all())
