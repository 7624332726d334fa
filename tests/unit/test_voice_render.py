"""What the renderer does to the filters that the decoder draws."""

from __future__ import annotations

import torch

from timbre.config.fast import N_FFT, SAMPLE_RATE_HZ
from timbre.models.fast.decoder import FilterSpectra
from timbre.voice.render import NOISE_DROP, quiet_below_pitch


def test_noise_is_quiet_below_high_pitches_only() -> None:
    bins = N_FFT // 2 + 1
    drawn = FilterSpectra(torch.zeros(1, 3, bins), torch.ones(1, 3, bins), torch.zeros(1, 3, bins))
    quiet = quiet_below_pitch(drawn, torch.tensor([[0.0, 500.0, 200.0]]))
    below = torch.arange(bins) * SAMPLE_RATE_HZ / N_FFT < 400
    torch.testing.assert_close(
        quiet.log_noise[0], torch.stack((torch.zeros(bins), -NOISE_DROP * below, torch.zeros(bins)))
    )
    assert quiet.log_harmonic is drawn.log_harmonic and quiet.phase is drawn.phase
