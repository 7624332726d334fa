"""Cutting at silences."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbre.audio.levels import RmsAccumulator, frame_rms
from timbre.audio.slicing import Piece, forced_pieces, pieces_from_rms, slice_meter, slice_segments, slice_silence
from timbre.config.slicing import SliceSettings
from timbre.errors import AudioError, SettingsError

RATE = 1000
QUICK = SliceSettings(min_length_ms=200, min_interval_ms=100, hop_ms=10, max_silence_kept_ms=100)


def levels_to_sound(levels: list[float], seed: int = 0) -> np.ndarray:
    """Noise in steps of 100 ms at the given amplitudes."""
    noise = np.random.default_rng(seed).uniform(-1, 1, 100 * len(levels))
    return (noise * np.repeat(levels, 100)).astype(np.float32)


LEVELS = st.lists(st.sampled_from([0.0, 1e-4, 3e-3, 0.1, 0.5]), min_size=0, max_size=40)


@settings(max_examples=80, deadline=None)
@given(levels=LEVELS, seed=st.integers(0, 9), compatible=st.booleans(), cut=st.integers(0, 99))
def test_pieces_cover_the_sound_in_order(levels, seed, compatible, cut):
    samples = levels_to_sound(levels, seed)
    samples = samples[: max(0, len(samples) - cut)]
    pieces = slice_silence(samples, RATE, QUICK, compatible)
    ends = [0] + [piece.end for piece in pieces]
    assert [piece.start for piece in pieces] == ends[:-1] and ends[-1] == len(samples)
    assert all(piece.end >= piece.start for piece in pieces)
    if not compatible:
        assert all(piece.end > piece.start for piece in pieces)
        loud = [i for i, level in enumerate(levels) if level == 0.5 and (i + 1) * 100 <= len(samples)]
        muted = np.zeros(len(samples), dtype=bool)
        for piece in pieces:
            muted[piece.start : piece.end] = piece.silent
        assert not any(muted[i * 100 + 20 : i * 100 + 80].any() for i in loud)
    assert slice_segments(samples, RATE, QUICK) == [
        (piece.start, piece.end) for piece in slice_silence(samples, RATE, QUICK) if not piece.silent
    ]


@settings(max_examples=40, deadline=None)
@given(levels=LEVELS, power=st.integers(-3, 3), seed=st.integers(0, 9))
def test_gain_and_threshold_move_together(levels, power, seed):
    samples = levels_to_sound(levels, seed)
    moved = SliceSettings(**{**QUICK.to_mapping(), "threshold_db": -40 + 20 * power * float(np.log10(2))})
    assert slice_silence(samples * np.float32(2.0**power), RATE, moved) == slice_silence(samples, RATE, QUICK)


@settings(max_examples=40, deadline=None)
@given(levels=LEVELS, sizes=st.lists(st.integers(1, 333), min_size=1, max_size=5))
def test_streamed_levels_give_the_same_pieces(levels, sizes):
    samples = levels_to_sound(levels)
    meter = slice_meter(RATE, QUICK)
    position = turn = 0
    while position < len(samples):
        meter.push(samples[position : position + sizes[turn % len(sizes)]])
        position += sizes[turn % len(sizes)]
        turn += 1
    assert pieces_from_rms(meter.finish(), meter.n_samples, RATE, QUICK) == slice_silence(samples, RATE, QUICK)


def test_known_cut():
    samples = levels_to_sound([0.5] * 4 + [0.0] * 6 + [0.5] * 4)
    first, silence, last = slice_silence(samples, RATE, QUICK)
    assert not first.silent and silence.silent and not last.silent
    assert 400 <= silence.start <= 500 and 880 <= silence.end <= 1000  # up to 100 ms of silence are kept


def test_a_silent_sound_is_silent_throughout_unless_compatible():
    fading = levels_to_sound([3e-3] * 3 + [1e-4] * 3)
    assert slice_silence(fading, RATE, QUICK) == [Piece(True, 0, 600)]
    historic = slice_silence(fading, RATE, SliceSettings(), compatible=True)  # converts what precedes the quietest
    assert [piece.silent for piece in historic] == [False, True] and historic[1].end == 600
    assert slice_silence(np.zeros(3, dtype=np.float32), RATE, QUICK) == [Piece(True, 0, 3)]
    assert slice_segments(fading, RATE, QUICK) == []


def test_a_very_short_loud_sound_is_one_piece():
    assert slice_silence(np.ones(15, dtype=np.float32), RATE, QUICK) == [Piece(False, 0, 15)]
    assert slice_silence(np.zeros(0, dtype=np.float32), RATE, QUICK) == []


def test_channels_are_mixed_by_the_one_rule():
    wave = levels_to_sound([0.5] * 4 + [0.0] * 6 + [0.5] * 4)
    assert slice_silence(np.stack([wave, -wave]), RATE, QUICK) == slice_silence(wave, RATE, QUICK)


@settings(max_examples=40, deadline=None)
@given(n_samples=st.integers(1, 500), window=st.integers(2, 60), hop=st.integers(1, 60))
def test_rms_is_that_of_centred_zero_padded_windows(n_samples, window, hop):
    hop = min(hop, window)
    samples = np.random.default_rng(n_samples).uniform(-1, 1, n_samples).astype(np.float32)
    padded = np.pad(samples.astype(np.float64), window // 2)
    starts = range(0, len(padded) - window + 1, hop)
    expected = [np.sqrt(np.mean(padded[start : start + window] ** 2)) for start in starts]
    assert np.allclose(frame_rms(samples, window, hop), expected, atol=1e-6)


def test_rms_of_nothing_is_nothing():
    assert frame_rms(np.zeros(0, dtype=np.float32), 4, 2).shape == (0,)
    assert (frame_rms(np.zeros(1 << 19, dtype=np.float32), 64, 16) == 0).all()  # exactly, over block borders too


def test_levels_of_a_long_sound_need_little_memory():
    block = np.random.default_rng(0).uniform(-1, 1, 44100 * 4).astype(np.float32)
    meter = RmsAccumulator(3528, 882)
    tracemalloc.start()
    began = time.process_time()
    for _ in range(15):  # one minute
        meter.push(block)
    rms = meter.finish()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rms) == 1 + meter.n_samples // 882
    assert peak_bytes < 16e6  # whatever the length
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "values", [{"min_length_ms": 100}, {"hop_ms": 400}, {"max_silence_kept_ms": 10}, {"threshold_db": 3}]
)
def test_settings_out_of_order_are_refused(values):
    with pytest.raises(SettingsError):
        SliceSettings(**values)


def test_refusals():
    with pytest.raises(AudioError, match="too low to slice"):
        slice_silence(np.ones(9, dtype=np.float32), 20, SliceSettings())
    with pytest.raises(SettingsError, match="at least 1 and 0"):
        forced_pieces(10, 0)


@settings(max_examples=60, deadline=None)
@given(n_samples=st.integers(0, 500), size=st.integers(1, 80), overlap=st.integers(0, 80))
def test_forced_pieces_cover_everything(n_samples, size, overlap):
    pieces = forced_pieces(n_samples, size, overlap)
    assert [end for _, end in pieces] == [min(size * (k + 1), n_samples) for k in range(-(-n_samples // size))]
    for k, (start, end) in enumerate(pieces):
        assert start in (k * size, k * size - overlap) and 0 <= start < end
        if k > 0 and overlap <= size:
            assert start == k * size - overlap
