"""The mean spectra of a conversion are brought to those of the voice, class by class."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from tests.toys import make_toy_base
from timbre.models.fast.decoder import FilterSpectra
from timbre.voice.bands import drawn_power, make_bands
from timbre.voice.mean_spectra import MeanSpectra, SpectralRecentring, measure_mean_spectra

BANDS = make_bands(make_toy_base().networks.content.frontend)
N_BINS = BANDS.to_bins.shape[1]
SOUNDS = torch.eye(4)  # content of four sounds


def spoken(n_frames: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random sounds [n, 4], none quite like another, and their filters [n, bins], one smooth spectrum for each kind."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(4, (n_frames,), generator=generator)
    bins = torch.arange(N_BINS) / N_BINS
    filters = torch.stack([torch.cos((1 + number) * bins) for number in range(4)])
    return SOUNDS[numbers] + 0.15 * torch.randn(n_frames, 4, generator=generator), filters[numbers]


def filters(log_magnitude: Tensor) -> FilterSpectra:
    """Filters [1, n, bins] with the same magnitude for pulses and noise."""
    return FilterSpectra(log_magnitude.unsqueeze(0), torch.zeros(1, *log_magnitude.shape), log_magnitude.unsqueeze(0))


def shapes(spectra: FilterSpectra, f0_hz: Tensor) -> Tensor:
    powers = torch.log(drawn_power(spectra, f0_hz.unsqueeze(0))[0] @ BANDS.of_bins)
    return powers - powers.mean(dim=-1, keepdim=True)


def goal() -> MeanSpectra:
    content, drawn = spoken(800, 1)
    return measure_mean_spectra(content, shapes(filters(drawn), torch.zeros(800)))


def recentring(known: MeanSpectra | None = None) -> SpectralRecentring:
    """The correction of a voice whose bank is what `goal` was measured on."""
    return SpectralRecentring(known or goal(), spoken(800, 1)[0], BANDS)


def tilt(content: Tensor) -> Tensor:
    """What a wrong voice adds [n, bins]: another tilt for each sound."""
    slopes = torch.tensor([2.4, -2.4, 1.2, -1.2])[content.argmax(dim=1)]
    return slopes.unsqueeze(1) * (torch.arange(N_BINS) / N_BINS - 0.5)


@pytest.mark.parametrize("f0_hz", [0.0, 150.0])
def test_each_class_gets_the_spectrum_of_the_voice(f0_hz: float) -> None:
    content, drawn = spoken(800, 2)
    pitch_hz = torch.full((800,), f0_hz)
    wrong = filters(drawn + tilt(content))
    right = recentring()(wrong, pitch_hz, content, torch.ones(800))
    before, after = (
        (shapes(spectra, pitch_hz) - shapes(filters(drawn), pitch_hz))[400:].abs().mean() for spectra in (wrong, right)
    )
    assert after < 0.35 * before


def test_a_frame_keeps_its_loudness() -> None:
    content, drawn = spoken(300, 2)
    wrong = filters(drawn + tilt(content))
    right = recentring()(wrong, torch.zeros(300), content, torch.ones(300))
    before, after = (drawn_power(spectra, torch.zeros(1, 300)).sum(dim=-1) for spectra in (wrong, right))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=0)


def test_nothing_moves_where_the_voice_was_not_heard() -> None:
    content, drawn = spoken(100, 3)
    wrong = filters(drawn + tilt(content))
    unheard = dataclasses.replace(goal(), n_frames=torch.zeros_like(goal().n_frames))
    moved = recentring(unheard)(wrong, torch.zeros(100), content, torch.ones(100))
    torch.testing.assert_close(moved.log_noise, wrong.log_noise)


def test_a_held_vowel_stays_what_it_is() -> None:
    content, drawn = spoken(1, 3)
    held = filters((drawn + tilt(content)).expand(500, N_BINS))
    moved = recentring()(held, torch.zeros(500), content.expand(500, 4), torch.ones(500))
    torch.testing.assert_close(moved.log_noise, held.log_noise, atol=1e-3, rtol=0)


def test_quiet_frames_show_nothing_of_the_voice() -> None:
    content, drawn = spoken(400, 2)
    loud = torch.ones(400)
    loud[1::2] = 0
    disturbed = drawn.clone()
    disturbed[1::2] += 3 * torch.randn(200, N_BINS, generator=torch.Generator().manual_seed(4))
    clean, other = (recentring()(filters(one), torch.zeros(400), content, loud) for one in (drawn, disturbed))
    torch.testing.assert_close(other.log_noise[:, 0::2], clean.log_noise[:, 0::2])


@pytest.mark.parametrize("block", [1, 7, 300])
def test_pushes_equal_the_whole(block: int) -> None:
    content, drawn = spoken(400, 2)
    wrong = drawn + tilt(content)
    f0_hz = 150.0 * (torch.arange(400) % 50 < 30)
    loud = (torch.randn(400, generator=torch.Generator().manual_seed(6)) > 0).float()
    whole = recentring()(filters(wrong), f0_hz, content, loud)
    correction = recentring()
    cuts = [slice(at, at + block) for at in range(0, 400, block)]
    parts = [correction(filters(wrong[cut]), f0_hz[cut], content[cut], loud[cut]) for cut in cuts]
    torch.testing.assert_close(torch.cat([part.log_noise for part in parts], dim=1), whole.log_noise, atol=1e-4, rtol=0)
    nothing = filters(wrong[:0])
    assert correction(nothing, f0_hz[:0], content[:0], loud[:0]).log_noise.shape == (1, 0, N_BINS)
