"""The two windowed-sinc resamplers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from timbre.dsp.kaiser_resample import kaiser_resample
from timbre.dsp.polyphase import phase_groups
from timbre.dsp.sinc_resample import sinc_resample
from timbre.errors import SettingsError

Resampler = Callable[[Tensor, int, int], Tensor]
BOTH = pytest.mark.parametrize("resample", [sinc_resample, kaiser_resample])
RATES = [(44_100, 16_000), (16_000, 44_100), (48_000, 16_000), (22_255, 16_000), (8000, 16_000)]


@BOTH
@pytest.mark.parametrize(("from_rate_hz", "to_rate_hz"), RATES)
def test_a_sine_stays_a_sine(resample: Resampler, from_rate_hz: int, to_rate_hz: int) -> None:
    sine = [torch.sin(2 * torch.pi * 440 / rate * torch.arange(rate // 4)) for rate in (from_rate_hz, to_rate_hz)]
    resampled = resample(sine[0].float(), from_rate_hz, to_rate_hz)
    n = min(len(resampled), len(sine[1]))
    inner = slice(200, n - 400)
    torch.testing.assert_close(resampled[inner], sine[1][inner].float(), atol=3e-3, rtol=0)


@BOTH
def test_what_the_new_rate_cannot_hold_is_removed(resample: Resampler) -> None:
    sine = torch.sin(2 * torch.pi * 15_000 / 44_100 * torch.arange(44_100 // 4)).float()
    assert resample(sine, 44_100, 16_000)[200:-200].abs().max() < 2e-3


def test_sinc_is_the_sum_of_the_specification() -> None:
    step_in, step_out, zero_crossings = 7, 3, 6
    wave = torch.randn(50)
    base = min(step_in, step_out) * 0.99
    expected = []
    for m in range(math.ceil(50 * step_out / step_in)):
        t = np.clip((np.arange(50) / step_in - m / step_out) * base, -zero_crossings, zero_crossings)
        kernel = np.sinc(t) * np.cos(np.pi * t / (2 * zero_crossings)) ** 2 * base / step_in
        expected.append(float((wave.numpy() * kernel).sum()))
    np.testing.assert_allclose(sinc_resample(wave, 700, 300).numpy(), expected, atol=1e-6)


def test_lengths_round_up_for_sinc_and_down_for_kaiser() -> None:
    wave = torch.randn(2, 3, 1001)
    assert sinc_resample(wave, 44_100, 16_000).shape == (2, 3, 364)
    assert kaiser_resample(wave, 44_100, 16_000).shape == (2, 3, 363)
    assert sinc_resample(wave[..., :0], 44_100, 16_000).shape == (2, 3, 0)


@BOTH
def test_the_same_rate_is_untouched_and_bad_rates_are_refused(resample: Resampler) -> None:
    wave = torch.randn(9)
    assert resample(wave, 16_000, 16_000) is wave
    with pytest.raises(SettingsError, match="at least 1"):
        resample(wave, 16_000, 0)


def test_odd_rates_need_little_memory() -> None:
    groups = phase_groups(44_101, 16_000, 17.0, lambda distance: np.ones_like(distance))
    assert sum(group.filters.size for group in groups) < 3_000_000  # as one dense bank: 700 million
    assert sum(len(group.filters) for group in groups) == 16_000


def test_training_may_resample_after_inference() -> None:
    with torch.inference_mode():
        sinc_resample(torch.ones(100), 7, 5)
    wave = torch.ones(100, requires_grad=True)
    sinc_resample(wave, 7, 5).sum().backward()
    assert wave.grad is not None and wave.grad.abs().sum() > 0
