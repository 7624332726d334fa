"""Cutting recordings into clips of a wanted length."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbre.audio.cutting import CutMeter, Cuts, cut_into_clips
from timbre.audio.levels import frame_rms
from timbre.audio.slicing import slice_segments
from timbre.config.cutting import CutSettings
from timbre.errors import AudioError, SettingsError

RATE = 1000
SETTINGS = CutSettings(
    min_length_ms=300,
    min_interval_ms=100,
    hop_ms=10,
    max_silence_kept_ms=100,
    shortest_s=0.4,
    longest_s=1.5,
    least_s=0.2,
)
STEP = 100  # samples of one level

Wave = np.ndarray


def noise(levels: list[float], seed: int = 0) -> Wave:
    """Noise in steps of 100 ms at the given amplitudes."""
    wave = np.random.default_rng(seed).uniform(-1, 1, STEP * len(levels))
    return (wave * np.repeat(levels, STEP)).astype(np.float32)


def cut(wave: Wave, options: CutSettings = SETTINGS) -> Cuts:
    return cut_into_clips([wave], RATE, options)


def bounds(cuts: Cuts) -> list[tuple[int, int]]:
    return [(clip.start, clip.end) for clip in cuts.clips]


SOUNDS = st.builds(
    noise, st.lists(st.sampled_from([0.0, 1e-4, 0.03, 0.1, 0.5]), min_size=1, max_size=80), st.integers(0, 9)
)


@settings(max_examples=80, deadline=None)
@given(wave=SOUNDS, tail=st.integers(0, 99))
def test_stretches_are_ordered_disjoint_and_within_the_window(wave: Wave, tail: int) -> None:
    wave = wave[: len(wave) - tail]
    cuts = cut(wave)
    stretches = sorted([*cuts.clips, *(stretch for stretch, _ in cuts.left_out)], key=lambda each: each.start)
    edges = [edge for each in stretches for edge in (each.start, each.end)]
    assert edges == sorted(edges) and all(0 <= edge <= len(wave) for edge in edges)
    assert list(cuts.clips) == sorted(cuts.clips, key=lambda each: each.start)
    assert all(200 <= clip.n_samples <= 1500 for clip in cuts.clips)
    assert cuts.n_samples == len(wave)


@settings(max_examples=80, deadline=None)
@given(wave=SOUNDS)
def test_nothing_that_sounds_is_lost_without_a_word(wave: Wave) -> None:
    cuts = cut(wave)
    heard = np.zeros(len(wave), dtype=bool)
    for stretch in [*cuts.clips, *(stretch for stretch, _ in cuts.left_out)]:
        heard[stretch.start : stretch.end] = True
    for start, end in slice_segments(wave, RATE, SETTINGS):
        assert heard[start:end].all()


@settings(max_examples=60, deadline=None)
@given(levels=st.lists(st.sampled_from([0.03, 0.1, 0.2, 0.5]), min_size=16, max_size=80), seed=st.integers(0, 9))
def test_no_cut_where_a_quieter_place_is_within_reach(levels: list[float], seed: int) -> None:
    wave = noise(levels, seed)  # never silent, so that all cuts are splits
    level = frame_rms(wave, 50, 10)
    edges = [0, *(clip.end for clip in cut(wave).clips)]
    assert edges[-1] == len(wave)
    assert all(400 <= end - start <= 1500 for start, end in pairwise(edges))
    for before, at, after in zip(edges, edges[1:], edges[2:], strict=False):
        first, last = max(before + 400, after - 1500), min(before + 1500, after - 400)
        assert level[at // 10] <= level[-(-first // 10) : last // 10 + 1].min()


@settings(max_examples=40, deadline=None)
@given(wave=SOUNDS, sizes=st.lists(st.integers(1, 333), min_size=1, max_size=5))
def test_blocks_of_any_size_give_the_same_cuts(wave: Wave, sizes: list[int]) -> None:
    meter = CutMeter(RATE, SETTINGS)
    position = turn = 0
    while position < len(wave):
        meter.push(wave[position : position + sizes[turn % len(sizes)]])
        position += sizes[turn % len(sizes)]
        turn += 1
    assert meter.finish() == cut(wave)


@settings(max_examples=40, deadline=None)
@given(wave=SOUNDS)
def test_an_open_window_leaves_the_pieces_of_the_slicer(wave: Wave) -> None:
    open_window = CutSettings(**{**SETTINGS.to_mapping(), "shortest_s": 0, "longest_s": 1000, "least_s": 0})
    assert bounds(cut(wave, open_window)) == slice_segments(wave, RATE, SETTINGS)


@pytest.mark.parametrize("extra", [1, 10, 500, 1499, 1500, 1501, 2999, 3001])
@pytest.mark.parametrize("shortest_s", [0.0, 0.3, 0.7])
def test_every_length_can_be_split(extra: int, shortest_s: float) -> None:
    wave = np.full(1500 + extra, 0.5, dtype=np.float32)
    tight = CutSettings(**{**SETTINGS.to_mapping(), "shortest_s": shortest_s})
    lengths = [clip.n_samples for clip in cut(wave, tight).clips]
    assert sum(lengths) == len(wave) and len(lengths) == -(-len(wave) // 1500)  # no more cuts than needed
    assert all(1000 * shortest_s <= length <= 1500 for length in lengths)


def test_unbroken_singing_is_split_where_it_is_quietest() -> None:
    wave = noise([0.5] * 9 + [0.2] + [0.5] * 10)
    assert [900 <= clip.end < 1000 for clip in cut(wave).clips] == [True, False]


def test_one_cut_in_near_silence_is_better_than_two_in_digital_silence() -> None:
    patient = CutSettings(**{**SETTINGS.to_mapping(), "min_length_ms": 5000})
    wave = noise([0.5] * 5 + [0.0] + [0.5] * 5 + [2e-4] + [0.5] * 5 + [0.0] + [0.5] * 4)
    first, second = cut(wave, patient).clips
    assert 1100 <= first.end == second.start < 1200


def test_short_neighbours_are_joined_over_a_short_pause_only() -> None:
    brief, long = [0.5] * 2 + [0.0] * 2 + [0.5] * 3, [0.5] * 2 + [0.0] * 9 + [0.5] * 3
    eager = CutSettings(**{**SETTINGS.to_mapping(), "min_length_ms": 100})
    assert len(slice_segments(noise(brief), RATE, eager)) == 2
    assert bounds(cut(noise(brief), eager)) == [(0, 700)]
    assert len(cut(noise(long), eager).clips) == 2


def test_neighbours_are_not_joined_beyond_the_window() -> None:
    wave = noise([0.5] + [0.0] * 2 + [0.5] * 4)
    options = {**SETTINGS.to_mapping(), "min_length_ms": 100, "shortest_s": 0.25, "least_s": 0.0}
    assert len(cut(wave, CutSettings(**{**options, "longest_s": 0.7})).clips) == 1
    assert len(cut(wave, CutSettings(**{**options, "longest_s": 0.6})).clips) == 2


def test_what_is_too_short_is_left_out_with_the_reason() -> None:
    wave = noise([0.0] * 5 + [0.5] + [0.0] * 10 + [0.5] * 8)
    strict = CutSettings(**{**SETTINGS.to_mapping(), "least_s": 0.45, "min_length_ms": 100})
    cuts = cut(wave, strict)
    ((stretch, reason),) = cuts.left_out
    assert stretch.start <= 500 and stretch.end >= 600 and len(cuts.clips) == 1
    assert "are less than least_s, 0.45 s" in reason


@pytest.mark.parametrize(("level", "says"), [(0.0, "it is digital silence"), (1e-3, "its loudest place has -64 dB")])
def test_a_silent_recording_is_left_out_with_its_level(level: float, says: str) -> None:
    cuts = cut(noise([level] * 10))
    ((stretch, reason),) = cuts.left_out
    assert cuts.clips == () and (stretch.start, stretch.end) == (0, 1000)
    assert reason.startswith("nothing is above threshold_db, -40 dB") and says in reason


def test_an_empty_recording_has_no_cuts() -> None:
    assert cut_into_clips([], RATE, SETTINGS) == Cuts(0, (), ())


def test_a_rate_too_low_is_refused() -> None:
    with pytest.raises(AudioError, match="is 999 Hz; it must be at least 1000"):
        CutMeter(999, CutSettings())


def test_a_window_that_cannot_always_be_kept_is_refused() -> None:
    CutSettings(shortest_s=7.45)
    with pytest.raises(SettingsError, match=r"longest_s is 15 and the larger .* 7.5; raise longest_s to at least 15.1"):
        CutSettings(shortest_s=7.5)
    with pytest.raises(SettingsError, match=r"larger of shortest_s and least_s 8; raise longest_s"):
        CutSettings(least_s=8)
    with pytest.raises(SettingsError, match="min_length_ms"):
        CutSettings(min_length_ms=1)


def test_a_long_recording_needs_little_memory() -> None:
    block = noise([0.5] * 600)
    meter = CutMeter(RATE, CutSettings())
    tracemalloc.start()
    for _ in range(10):  # ten minutes
        meter.push(block)
    cuts = meter.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert cuts.clips[-1].end == 600_000
    assert peak < 30 * 2**20
