"""Joining chunks, and converting a whole recording in chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbre.audio.joining import OverlapJoiner, centre_pad, crossfade, fade_edges
from timbre.config.assembly import AssemblySettings
from timbre.errors import AudioError, SettingsError


def test_crossfade_shapes():
    tail, head = np.ones(5, dtype=np.float32), np.zeros(5, dtype=np.float32)
    assert np.allclose(crossfade(tail, head), [1, 0.75, 0.5, 0.25, 0])
    power = crossfade(tail, head, "equal-power") ** 2 + crossfade(head, tail, "equal-power") ** 2
    assert np.allclose(power, 1)
    assert crossfade(tail[:0], head[:0]).shape == (0,)
    with pytest.raises(AudioError, match="make them equal"):
        crossfade(tail, head[:3])


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(0, 90), max_size=8), overlap=st.integers(0, 40), n_channels=st.integers(1, 2))
def test_joined_slices_give_the_sound_back(sizes, overlap, n_channels):
    sizes = [size + overlap for size in sizes]
    total = sum(sizes) - overlap * max(0, len(sizes) - 1)
    sound = np.random.default_rng(5).uniform(-1, 1, (n_channels, total)).astype(np.float32)
    joiner = OverlapJoiner(overlap)
    parts, start = [np.zeros((n_channels, 0), dtype=np.float32)], 0
    for size in sizes:
        parts.append(joiner.push(sound[:, start : start + size]))
        start += size - overlap
    if sizes:
        parts.append(joiner.flush())
    joined = np.concatenate(parts, axis=1)
    assert joined.shape == sound.shape and joined.dtype == np.float32
    assert np.abs(joined - sound).max(initial=0) < 1e-6


def test_joiner_keeps_the_level_of_a_constant_and_holds_only_the_overlap():
    joiner = OverlapJoiner(10)
    out = [joiner.push(np.full((1, 50), 0.3, dtype=np.float32)) for _ in range(4)] + [joiner.flush()]
    assert [part.shape[1] for part in out] == [40, 40, 40, 40, 10]
    assert np.allclose(np.concatenate(out, axis=1), 0.3)
    assert joiner.flush().shape == (1, 0)


def test_joiner_refusals():
    with pytest.raises(AudioError, match="shorter than the overlap"):
        OverlapJoiner(10).push(np.zeros((1, 9), dtype=np.float32))
    with pytest.raises(AudioError, match="at least 0"):
        OverlapJoiner(-1)


def test_fade_edges():
    ones = np.ones((2, 10), dtype=np.float32)
    faded = fade_edges(ones, 4)
    assert np.allclose(faded[0], [0.125, 0.375, 0.625, 0.875, 1, 1, 0.875, 0.625, 0.375, 0.125])
    assert np.array_equal(fade_edges(ones, 4, end=False)[:, 4:], ones[:, 4:])
    assert np.array_equal(fade_edges(ones, 0), ones) and fade_edges(ones[:, :1], 9).tolist() == [[1], [1]]
    assert (ones == 1).all()  # the input is not changed


def test_centre_pad():
    assert centre_pad(np.ones((1, 2), dtype=np.float32), 5).tolist() == [[0, 1, 1, 0, 0]]
    assert centre_pad(np.ones(6, dtype=np.float32), 5).shape == (6,)


def test_an_overlap_longer_than_the_clip_is_refused():
    with pytest.raises(SettingsError, match="shorter than the clip"):
        AssemblySettings(clip_s=1, crossfade_s=1)
    AssemblySettings(clip_s=0, crossfade_s=1)
