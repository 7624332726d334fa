"""The spectrograms of the synthesizer's training beyond the recorded case."""

from __future__ import annotations

import pytest
import torch

from timbre.dsp.spectrogram import linear_spectrogram, log_mel
from timbre.dsp.stft import reflect_pad
from timbre.errors import AudioError
from timbre.nn.draws import SeededDraws


def test_a_window_may_be_shorter_than_the_spectrum() -> None:
    wave = SeededDraws(1).normal(2, 200)
    spectra = torch.stft(
        reflect_pad(wave, 24, 24), 64, 16, 50, torch.hann_window(50), center=False, return_complex=True
    )
    expected = (spectra.abs().square() + 1e-6).sqrt()
    torch.testing.assert_close(linear_spectrogram(wave, 64, 16, 50), expected, atol=1e-5, rtol=0)


def test_half_precision_is_computed_in_full() -> None:
    wave = SeededDraws(1).normal(1, 100).bfloat16()
    spec = linear_spectrogram(wave, 64, 16, 64)
    assert torch.equal(spec, linear_spectrogram(wave.float(), 64, 16, 64).bfloat16())


def test_silence_has_a_floor_and_finite_gradients() -> None:
    wave = torch.zeros(1, 100, requires_grad=True)
    spec = linear_spectrogram(wave, 64, 16, 64)
    assert spec.shape == (1, 33, 6)
    torch.testing.assert_close(spec, torch.full_like(spec, 1e-3))
    mel = log_mel(spec, torch.full((2, 33), 1e-4))
    torch.testing.assert_close(mel, torch.full_like(mel, torch.tensor(1e-5).log().item()))
    mel.sum().backward()
    assert wave.grad is not None and wave.grad.isfinite().all()


def test_a_sound_too_short_to_mirror_is_refused() -> None:
    with pytest.raises(AudioError, match="24 samples cannot be mirrored"):
        linear_spectrogram(torch.zeros(1, 24), 64, 16, 64)
