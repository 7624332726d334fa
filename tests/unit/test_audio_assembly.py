"""Rendering clip by clip: every sample in its place, whatever the clips."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timbre.audio.assembly import Clip, assemble, plan_clips
from timbre.audio.compatible_assembly import assemble_compatible
from timbre.audio.slicing import Piece
from timbre.config.assembly import AssemblySettings
from timbre.config.slicing import SliceSettings
from timbre.errors import AudioError

HOP = 16


def noise(n_samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 1, n_samples).astype(np.float32)


@st.composite
def piece_lists(draw: st.DrawFn) -> list[Piece]:
    lengths = draw(st.lists(st.integers(1, 400), min_size=1, max_size=8))
    ends = np.cumsum(lengths).tolist()
    return [Piece(draw(st.booleans()), start, end) for start, end in pairwise([0, *ends])]


@given(
    pieces=piece_lists(),
    longest=st.integers(1, 500),
    overlap=st.integers(0, 100),
    context=st.integers(0, 60),
    block=st.integers(1, 700),
)
def test_a_renderer_that_changes_nothing_gives_the_voiced_pieces_back(pieces, longest, overlap, context, block):
    n_samples = pieces[-1].end
    wave = noise(n_samples)
    clips = plan_clips(pieces, HOP, longest_samples=longest, overlap_samples=overlap, context_samples=context)
    heard_all = []

    def render(heard: np.ndarray, clip: Clip) -> np.ndarray:
        assert len(heard) == clip.heard_end - clip.heard_start and len(heard) % HOP == 0
        assert clip.heard_start <= clip.start - context and clip.heard_end >= clip.end + context
        heard_all.append(heard)
        return heard

    blocks = [wave[at : at + block] for at in range(0, n_samples, block)]
    pairs = list(assemble(blocks, n_samples, clips, render))
    source, result = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    assert np.array_equal(source, wave)
    expected = wave.copy()
    for piece in pieces:
        if piece.silent:
            expected[piece.start : piece.end] = 0
    assert np.allclose(result, expected, atol=1e-6)
    assert len(heard_all) == len(clips)
    assert all(clip.end - clip.start <= longest + overlap for clip in clips)


def test_touching_pieces_are_cut_at_their_border_and_long_ones_evenly():
    pieces = [Piece(False, 0, 60), Piece(False, 60, 100), Piece(False, 100, 350), Piece(True, 350, 400)]
    clips = plan_clips(pieces, 1, longest_samples=100, overlap_samples=10, context_samples=0)
    assert [(clip.start, clip.end) for clip in clips] == [(0, 105), (95, 188), (178, 271), (261, 350)]
    assert [clip.fade_samples for clip in clips] == [0, 10, 10, 10]


def test_two_renderings_fade_into_each_other():
    clips = plan_clips([Piece(False, 0, 200)], 1, longest_samples=100, overlap_samples=20, context_samples=0)
    levels = iter([1.0, 3.0])

    def render(heard: np.ndarray, clip: Clip) -> np.ndarray:
        return np.full(len(heard), next(levels), dtype=np.float32)

    result = np.concatenate([sound for _, sound in assemble([np.zeros(200, dtype=np.float32)], 200, clips, render)])
    assert (result[:90] == 1).all() and (result[110:] == 3).all()
    assert (np.diff(result[90:110]) > 0).all()


def test_only_what_is_still_needed_is_read_ahead():
    n_read = 0

    def blocks():
        nonlocal n_read
        for _ in range(100):
            n_read += 10
            yield np.ones(10, dtype=np.float32)

    clips = plan_clips([Piece(False, 0, 1000)], 1, longest_samples=50, overlap_samples=4, context_samples=6)
    pairs = assemble(blocks(), 1000, clips, lambda heard, clip: heard)
    next(pairs)
    assert n_read <= 70


def test_a_renderer_that_returns_too_little_is_an_error():
    clips = plan_clips([Piece(False, 0, 200)], 1, longest_samples=100, overlap_samples=0, context_samples=0)
    with pytest.raises(AudioError, match="must return at least"):
        list(assemble([noise(200)], 200, clips, lambda heard, clip: heard[:-1]))


def test_the_compatible_way_without_padding_is_not_silent():
    wave = noise(16000)
    settings = AssemblySettings(pad_s=0)
    result = assemble_compatible(wave, 8000, lambda wave, rate, frame: wave, 8000, 64, SliceSettings(), settings)
    assert np.abs(result - wave).max() < 1e-4
