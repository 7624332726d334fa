"""Spectra, mel bands, loudness and stretching on small signals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from timbre.dsp.mel import MelScale, mel_filter_bank
from timbre.dsp.stft import reflect_pad, stft_magnitude, stft_magnitude_blocks
from timbre.dsp.stretch import left_source_frames, stretch
from timbre.dsp.volume import frame_volume
from timbre.errors import AudioError, SettingsError


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_bands_are_triangles_of_unit_area(scale: MelScale) -> None:
    bank = mel_filter_bank(16_000, 4096, 20, 100.0, 7000.0, scale=scale)
    assert bank.shape == (20, 2049)
    assert bank.dtype == torch.float32
    areas = bank.sum(dim=1) * 16_000 / 4096
    torch.testing.assert_close(areas, torch.ones(20), atol=0.01, rtol=0)
    peaks = bank.argmax(dim=1)
    assert (peaks.diff() > 0).all()


def test_slaney_scale_is_linear_up_to_one_kilohertz() -> None:
    bank = mel_filter_bank(16_000, 16_000, 14, 0.0, 1000.0)  # 1 Hz bins, edges each 66.7 Hz
    np.testing.assert_allclose(bank.argmax(dim=1).numpy(), np.arange(1, 15) * 1000 / 15, atol=0.51)


def test_mel_bands_beyond_half_the_rate_are_refused() -> None:
    with pytest.raises(SettingsError, match="0 to 8000 Hz"):
        mel_filter_bank(16_000, 512, 20, 0.0, 8001.0)


def test_magnitudes_of_a_sine_stand_in_its_bin() -> None:
    wave = torch.sin(2 * torch.pi * 8 / 64 * torch.arange(256))[None]
    magnitude = stft_magnitude(wave, 64, 16)
    assert magnitude.shape == (1, 33, (256 - 64) // 16 + 1)
    torch.testing.assert_close(magnitude[0, 8], torch.full((13,), 16.0), atol=1e-3, rtol=0)  # 64 / 2 * mean of Hann
    assert magnitude[0, 20].max() < 1e-3


def test_blocks_of_frames_join_to_the_whole() -> None:
    wave = torch.randn(1, 2500 * 4 + 16)
    blocks = list(stft_magnitude_blocks(wave, 16, 4))
    assert len(blocks) == 2
    window = torch.hann_window(16)
    expected = torch.fft.rfft(wave[0].unfold(0, 16, 4) * window).abs().T
    torch.testing.assert_close(torch.cat(blocks, dim=-1)[0], expected)


def test_a_sound_below_one_window_has_no_spectrum() -> None:
    assert stft_magnitude(torch.zeros(1, 10), 16, 4).shape == (1, 9, 0)


def test_reflection_leaves_the_end_samples_alone() -> None:
    padded = reflect_pad(torch.tensor([1.0, 2, 3]), 2, 1)
    assert padded.tolist() == [3, 2, 1, 2, 3, 2]
    with pytest.raises(AudioError, match="3 samples cannot be mirrored by 3"):
        reflect_pad(torch.zeros(3), 3, 0)


def test_volume_of_a_constant_is_its_size() -> None:
    volume = frame_volume(torch.full((2, 41), -0.5), 8)
    assert volume.shape == (2, 5)
    torch.testing.assert_close(volume, torch.full((2, 5), 0.5))


def test_volume_frames_are_centred() -> None:
    wave = torch.zeros(40)
    wave[16] = 1.0
    assert frame_volume(wave, 8).tolist() == [0, 0, pytest.approx(8**-0.5), 0, 0]


def test_volume_of_less_than_a_hop_is_empty() -> None:
    assert frame_volume(torch.ones(3), 4).shape == (0,)
    assert frame_volume(torch.tensor([-2.0]), 1).tolist() == [2.0]
    with pytest.raises(SettingsError, match="at least 1"):
        frame_volume(torch.ones(3), 0)


@pytest.mark.parametrize(("n_source", "n_frames"), [(50, 86), (30_000, 51_679), (15_000, 25_803), (13, 7), (1, 9)])
def test_left_frames_follow_the_pointer_rule(n_source: int, n_frames: int) -> None:
    starts = (np.arange(n_source + 1) * n_frames).astype(np.float32) / np.float32(n_source)
    pointer, expected = 0, []
    for frame in range(n_frames):
        pointer += int(frame >= starts[pointer + 1])
        expected.append(pointer)
    assert left_source_frames(n_source, n_frames).tolist() == expected


def test_left_cannot_shrink_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    stretched = stretch(torch.arange(5.0)[None], 3, "left")
    assert stretched.tolist() == [[0, 1, 2]]
    assert "cannot shrink 5 frames to 3" in caplog.text


def test_stretch_keeps_batches_and_refuses_nonsense() -> None:
    assert stretch(torch.zeros(2, 3, 4), 9, "nearest").shape == (2, 3, 9)
    assert stretch(torch.zeros(3, 4), 0).shape == (3, 0)
    with pytest.raises(SettingsError, match="'spline'"):
        stretch(torch.zeros(3, 4), 9, "spline")
    with pytest.raises(AudioError, match="no feature frames"):
        stretch(torch.zeros(3, 0), 9)
