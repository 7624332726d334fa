"""From a stretch of sound to Frames, for models that hear whole stretches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.toys import glide
from timbre.features.clips import ClipExtractor
from timbre.pitch.contract import PitchTrack

RATE, HOP = 44_100, 512


class TimeEncoder:
    """Tells of each 20 ms at 16 kHz when it was and how loud."""

    sample_rate_hz, hop_samples, dimensions = 16_000, 320, 2

    def encode(self, wave: Tensor) -> Tensor:
        n_frames = max(1, len(wave) // 320)
        padded = torch.nn.functional.pad(wave, (0, 320))[: n_frames * 320].reshape(n_frames, 320)
        return torch.stack((torch.arange(n_frames) * 0.02, padded.square().mean(dim=1).sqrt()), dim=1)

    def to(self, device: str) -> TimeEncoder:
        return self


def extractor(mode: str = "nearest", *, centred: bool = True) -> ClipExtractor:
    return ClipExtractor(TimeEncoder(), RATE, HOP, mode, centred)


def track(n_frames: int) -> PitchTrack:
    f0_hz = np.linspace(100, 200, n_frames, dtype=np.float32)
    f0_hz[: n_frames // 2] = 0
    return PitchTrack(f0_hz, f0_hz > 0, HOP, RATE)


def test_everything_lies_on_the_frames_of_the_model() -> None:
    wave = torch.from_numpy(glide(1.5, RATE))
    n_frames = len(wave) // HOP
    frames = extractor().frames(wave, track(n_frames), 2.0)
    assert frames.content.shape == (n_frames, 2)
    assert frames.f0_hz.shape == frames.voiced.shape == frames.loudness.shape == (n_frames,)
    assert (frames.hop_samples, frames.sample_rate_hz) == (HOP, RATE)
    times_s = torch.arange(n_frames) * HOP / RATE
    assert (frames.content[:, 0] - times_s).abs().max() < 0.03
    np.testing.assert_array_equal(frames.f0_hz, 2 * track(n_frames).f0_hz)
    np.testing.assert_array_equal(frames.voiced, track(n_frames).voiced)


def test_loudness_is_the_log_of_the_power_around_each_frame() -> None:
    wave = torch.cat((torch.zeros(8 * HOP), torch.full((8 * HOP,), 0.5)))
    loudness = extractor().frames(wave, track(16), 1.0).loudness
    torch.testing.assert_close(loudness[9:], torch.full((7,), 2 * np.log(0.5), dtype=torch.float32))
    torch.testing.assert_close(loudness[8], torch.tensor(np.log(0.125), dtype=torch.float32))  # half of it is silent
    assert (loudness[:8] == -torch.inf).all()
    latest = extractor(centred=False).frames(wave, track(16), 1.0).loudness
    torch.testing.assert_close(latest[8:], torch.full((8,), 2 * np.log(0.5), dtype=torch.float32))


@pytest.mark.parametrize("mode", ["left", "nearest", "linear"])
def test_stretch_modes_repeat_or_blend(mode: str) -> None:
    times = extractor(mode).content(torch.from_numpy(glide(1.0, RATE)), 86)[:, 0]
    assert (times.diff() >= 0).all() and len(times) == 86
    assert bool(torch.isin(times, torch.arange(60) * 0.02).all()) == (mode != "linear")


@pytest.mark.parametrize("n_samples", [HOP, HOP + 1, 3 * HOP - 1])
def test_a_few_frames(n_samples: int) -> None:
    n_frames = n_samples // HOP
    frames = extractor("left").frames(torch.full((n_samples,), 0.1), track(n_frames), 1.0)
    assert frames.content.shape == (n_frames, 2) and torch.isfinite(frames.loudness).all()
