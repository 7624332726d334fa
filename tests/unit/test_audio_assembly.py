"""Rendering clip by clip: every sample in its place, whatever the clips."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbre.audio.assembly import Clip, assemble, plan_clips
from timbre.audio.compatible_assembly import assemble_compatible
from timbre.audio.slicing import Piece
from timbre.config.assembly import AssemblySettings
from timbre.config.slicing import SliceSettings
from timbre.errors import AudioError, SettingsError

HOP = 16


def noise(n_samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 1, n_samples).astype(np.float32)


class Echo:
    """Hears a clip and renders it with a function, by default as it is."""

    def __init__(self, function: Callable[[np.ndarray, Clip], np.ndarray] = lambda heard, clip: heard) -> None:
        self._function = function

    def describe(self, heard: np.ndarray, clip: Clip) -> np.ndarray:
        return heard

    def render(self, described: np.ndarray, clip: Clip) -> np.ndarray:
        return self._function(described, clip)


@st.composite
def piece_lists(draw: st.DrawFn) -> list[Piece]:
    lengths = draw(st.lists(st.integers(1, 400), min_size=1, max_size=8))
    ends = np.cumsum(lengths).tolist()
    return [Piece(draw(st.booleans()), start, end) for start, end in pairwise([0, *ends])]


@settings(deadline=None)
@given(
    pieces=piece_lists(),
    longest=st.integers(1, 500),
    overlap=st.integers(0, 100),
    context=st.integers(0, 60),
    block=st.integers(1, 700),
    helped=st.booleans(),
)
def test_a_renderer_that_changes_nothing_gives_the_voiced_pieces_back(pieces, longest, overlap, context, block, helped):
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
    with ThreadPoolExecutor(1) as helper:
        pairs = list(assemble(blocks, n_samples, clips, Echo(render), helper if helped else None))
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

    result = np.concatenate(
        [sound for _, sound in assemble([np.zeros(200, dtype=np.float32)], 200, clips, Echo(render))]
    )
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
    with ThreadPoolExecutor(1) as helper:
        for given, most in ((None, 70), (helper, 120)):
            n_read = 0
            next(assemble(blocks(), 1000, clips, Echo(), given))
            assert n_read <= most


@pytest.mark.parametrize("gap", [40, 1 << 20])
def test_the_next_clip_is_described_while_one_is_rendered_unless_it_is_far_away(gap: int) -> None:
    pieces = [Piece(False, 0, 100), Piece(True, 100, 100 + gap), Piece(False, 100 + gap, 200 + gap)]
    clips = plan_clips(pieces, 1, longest_samples=100, overlap_samples=0, context_samples=0)
    described = Event()
    was_described = []

    class Watching(Echo):
        def describe(self, heard: np.ndarray, clip: Clip) -> np.ndarray:
            if clip is clips[1]:
                described.set()
            return heard

        def render(self, described_clip: np.ndarray, clip: Clip) -> np.ndarray:
            was_described.append(described.wait(5.0 if clip is clips[0] and gap < 1000 else 0.0))
            return described_clip

    wave = noise(200 + gap)
    with ThreadPoolExecutor(1) as helper:
        blocks = np.split(wave, range(100, len(wave), 100))
        result = np.concatenate([sound for _, sound in assemble(blocks, len(wave), clips, Watching(), helper)])
    assert was_described == [gap < 1000, True]
    assert np.array_equal(result[:100], wave[:100]) and np.array_equal(result[-100:], wave[-100:])


def test_what_goes_wrong_beside_the_rendering_is_told() -> None:
    clips = plan_clips([Piece(False, 0, 200)], 1, longest_samples=100, overlap_samples=0, context_samples=0)

    class Failing(Echo):
        def describe(self, heard: np.ndarray, clip: Clip) -> np.ndarray:
            if clip is clips[1]:
                raise AudioError("no pitch")
            return heard

    with ThreadPoolExecutor(1) as helper, pytest.raises(AudioError, match="no pitch"):
        list(assemble([noise(200)], 200, clips, Failing(), helper))


def test_a_renderer_that_returns_too_little_is_an_error():
    clips = plan_clips([Piece(False, 0, 200)], 1, longest_samples=100, overlap_samples=0, context_samples=0)
    with pytest.raises(AudioError, match="must return at least"):
        list(assemble([noise(200)], 200, clips, Echo(lambda heard, clip: heard[:-1])))


def test_the_compatible_way_without_padding_is_not_silent():
    wave = noise(16000)
    settings = AssemblySettings(pad_s=0)
    result = assemble_compatible(wave, 8000, lambda wave, rate, frame: wave, 8000, 64, SliceSettings(), settings)
    assert np.abs(result - wave).max() < 1e-4


@pytest.mark.parametrize(("overlap_s", "fits"), [(0.4, False), (0.05, True)])
def test_the_compatible_way_refuses_an_overlap_that_it_cannot_fade_before_it_begins(overlap_s, fits):
    settings = AssemblySettings(clip_s=0.5, crossfade_s=overlap_s)
    calls = []

    def convert(wave, rate, frame):
        calls.append(frame)
        return wave[: len(wave) // 4 // 64 * 64]

    def run():
        return assemble_compatible(0.5 * noise(32_000), 32_000, convert, 8000, 64, SliceSettings(), settings)

    if fits:
        assert len(run()) and calls
    else:
        with pytest.raises(SettingsError, match="an overlap of 12800 samples at 32000 Hz"):
            run()
        assert not calls
