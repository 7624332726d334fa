"""Joining chunks, and converting a whole recording in chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbre.audio.assembly import assemble
from timbre.audio.joining import OverlapJoiner, centre_pad, crossfade, fade_edges
from timbre.audio.resample import resample
from timbre.config.assembly import AssemblySettings
from timbre.config.slicing import SliceSettings
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


class Through:
    """A converter that changes nothing but the rate, and drops part of a hop as a real one does."""

    def __init__(self, output_rate: int, hop: int) -> None:
        self.output_rate, self.hop, self.first_frames = output_rate, hop, []

    def __call__(self, samples, sample_rate_hz, first_frame):
        self.first_frames.append(first_frame)
        out = resample(samples, sample_rate_hz, self.output_rate)
        return out[: len(out) // self.hop * self.hop]


def song(rate: int, n_samples: int) -> np.ndarray:
    time = np.arange(n_samples) / rate
    wave = 0.4 * np.sin(2 * np.pi * 200 * time)
    wave[n_samples // 3 : n_samples // 2] = 0
    return wave.astype(np.float32)


SLICING = SliceSettings(min_length_ms=300, min_interval_ms=100, hop_ms=10, max_silence_kept_ms=50)


@pytest.mark.parametrize(("rate", "output_rate"), [(8000, 8000), (8000, 11025), (16000, 8000)])
@pytest.mark.parametrize(
    ("clip_s", "crossfade_s", "retain"), [(0, 0, 0.75), (0.3, 0.1, 0.75), (0.25, 0.1, 0), (0.3, 0.2, 1)]
)
def test_exact_assembly_keeps_every_sample_in_its_place(rate, output_rate, clip_s, crossfade_s, retain):
    samples = song(rate, 2 * rate + 37)
    chosen = AssemblySettings(clip_s=clip_s, crossfade_s=crossfade_s, crossfade_retain=retain, pad_s=0.1)
    out = assemble(samples, rate, Through(output_rate, 64), output_rate, 64, SLICING, chosen)
    expected = resample(samples, rate, output_rate)
    assert out.shape == expected.shape and out.dtype == np.float32
    kept = out != 0  # the resampler rings a little into the muted silence
    kept[:20] = kept[-20:] = True
    inner = kept & (np.arange(len(out)) >= 20) & (np.arange(len(out)) < len(out) - 20)  # the filter starts up
    assert np.abs(out - expected)[inner].max() < 1e-5 and np.abs(expected[~kept]).max() < 1e-2
    assert (out[output_rate * 3 // 4 : output_rate * 7 // 8] == 0).all()


def test_exact_assembly_without_padding_is_not_silent():
    samples = song(8000, 16000)
    out = assemble(samples, 8000, Through(8000, 64), 8000, 64, SLICING, AssemblySettings(pad_s=0))
    assert np.abs(out - samples).max() < 1e-6
    historic = AssemblySettings(pad_s=0, compatible=True)
    assert np.abs(assemble(samples, 8000, Through(8000, 64), 8000, 64, SLICING, historic)).max() > 0.3


def test_exact_assembly_tells_the_true_time_and_fades_at_silence():
    samples = song(8000, 16000)
    converter = Through(8000, 80)
    chosen = AssemblySettings(clip_s=0.4, pad_s=0.1, edge_fade_s=0.01)
    out = assemble(samples, 8000, converter, 8000, 80, SLICING, chosen)
    assert converter.first_frames[:2] == [-10, 30]
    silent = np.flatnonzero(out == 0)
    border = silent[silent > 7000][-1] + 1  # first sample of the second voiced piece
    assert abs(out[border]) < 0.01
    assert np.abs(out - samples)[200:5000].max() < 1e-6


def test_a_converter_that_returns_too_little_is_an_error():
    def broken(samples, sample_rate_hz, first_frame):
        return samples[: len(samples) // 2]

    with pytest.raises(AudioError, match="must return at least"):
        assemble(song(8000, 16000), 8000, broken, 8000, 64, SLICING, AssemblySettings())


def test_an_overlap_longer_than_the_clip_is_refused():
    with pytest.raises(SettingsError, match="shorter than the clip"):
        AssemblySettings(clip_s=1, crossfade_s=1)
    AssemblySettings(clip_s=0, crossfade_s=1)
