"""What is kept of reference recordings, and how it corrects the decoder."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.toys import glide, make_toy_base
from timbre.dsp.sinc_resample import sinc_resample
from timbre.errors import VoiceError
from timbre.features.extract import FrameExtractor
from timbre.models.fast.decoder import FilterSpectra
from timbre.pitch.pm import PmTracker
from timbre.voice.bands import make_bands
from timbre.voice.base import Base
from timbre.voice.equaliser import make_equaliser
from timbre.voice.fast import Reference
from timbre.voice.mean_spectra import SpectralRecentring
from timbre.voice.reference import BANK_FRAMES, hear
from timbre.voice.render import FastRenderer

BASE = make_toy_base()


def rebuild_error(base: Base, reference: Reference, wave: np.ndarray) -> float:
    """Rebuild `wave` in its own voice and return the mean log-mel error over bands of the mean spectrum."""
    networks = base.networks
    f0_hz = torch.from_numpy(PmTracker().track(wave, 16_000, 160).f0_hz)
    frames = FrameExtractor(networks.content).whole(torch.from_numpy(wave), f0_hz)
    with torch.inference_mode():
        bands = make_bands(networks.content.frontend)
        equaliser = make_equaliser(reference.content, reference.correction, bands)
        recentring = SpectralRecentring(reference.mean_spectra, reference.content, bands)
        timbre = reference.timbre(networks.decoder)
        renderer = FastRenderer(networks, timbre, equaliser, recentring, None, reference.content, 0.0, 0)
        narrow = sinc_resample(renderer.push(frames, last=True).unsqueeze(0), 44_100, 16_000)
        frontend = networks.content.frontend
        made = frontend.log_mel(frontend.power(narrow))[0]
        true = frontend.log_mel(frontend.power(torch.from_numpy(wave).unsqueeze(0)))[0]
    n = min(len(made), len(true))
    return float((made[:n].mean(dim=0) - true[:n].mean(dim=0)).abs().mean())


def test_correction_brings_the_rebuilt_reference_nearer() -> None:
    wave = glide(4.0, 16_000)
    reference = hear(BASE, [wave], PmTracker()).reference
    reference = dataclasses.replace(reference, class_frames=torch.zeros_like(reference.class_frames))  # as if unknown
    plain = dataclasses.replace(reference, correction=torch.zeros_like(reference.correction))
    # The random decoder is far off (7 in log power), more than a correction may be; it must still help a good deal.
    assert rebuild_error(BASE, reference, wave) < rebuild_error(BASE, plain, wave) - 1.5


def test_no_error_changes_nothing() -> None:
    spectra = FilterSpectra(*(torch.randn(1, 7, 513) for _ in range(3)))
    equaliser = make_equaliser(torch.randn(20, 5), torch.zeros(20, 80), make_bands(BASE.networks.content.frontend))
    corrected = equaliser.apply(spectra, torch.randn(1, 7, 5))
    torch.testing.assert_close(corrected.log_harmonic, spectra.log_harmonic)
    torch.testing.assert_close(corrected.log_noise, spectra.log_noise)


def test_a_uniform_error_is_corrected_everywhere() -> None:
    spectra = FilterSpectra(*(torch.zeros(1, 3, 513) for _ in range(3)))
    equaliser = make_equaliser(
        torch.randn(20, 5), torch.full((20, 80), 0.5), make_bands(BASE.networks.content.frontend)
    )
    corrected = equaliser.apply(spectra, torch.randn(1, 3, 5))
    torch.testing.assert_close(corrected.log_noise, torch.full((1, 3, 513), 0.5), atol=1e-5, rtol=0)


def test_gain_of_the_reference_does_not_matter_to_the_vector() -> None:
    wave = glide(3.0, 16_000)
    loud, soft = (hear(BASE, [gain * wave], PmTracker()).reference for gain in (1.0, 0.1))
    assert float(loud.speaker @ soft.speaker) > 0.97


def test_a_long_reference_is_thinned_out() -> None:
    heard = hear(BASE, [glide(40.0, 16_000)], PmTracker())
    assert len(heard.reference.f0_hz) == BANK_FRAMES
    assert heard.seconds == pytest.approx(40.0, abs=0.1)
    assert 180 < heard.median_f0_hz < 250


@pytest.mark.parametrize("wave", [np.zeros(80_000, dtype=np.float32), glide(0.5, 16_000)])
def test_too_little_voice_is_refused(wave: np.ndarray) -> None:
    with pytest.raises(VoiceError, match="give at least 5 s"):
        hear(BASE, [wave], PmTracker())
