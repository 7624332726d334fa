"""What a conversion lost of its source's spectral detail is put back by the share that was asked for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.toys import make_toy_base
from timbre.dsp.frontend import N_FFT, SAMPLE_RATE_HZ
from timbre.models.fast.decoder import FilterSpectra
from timbre.voice.bands import drawn_power, make_bands
from timbre.voice.source_detail import SourceDetail

FRONTEND = make_toy_base().networks.content.frontend
BANDS = make_bands(FRONTEND)
N_BINS = BANDS.to_bins.shape[1]
DIRECTIONS = torch.eye(4)
N_FRAMES = 400
PITCH_HZ = torch.full((N_FRAMES,), 150.0)
LOUD = torch.ones(N_FRAMES)


def ripple(seed: int) -> Tensor:
    """Log power by frame and band [T, 80] that changes smoothly along frequency, another way in each frame."""
    generator = torch.Generator().manual_seed(seed)
    strengths = 0.4 * torch.randn(N_FRAMES, 3, generator=generator)
    waves = torch.cos(torch.arange(80) / 80 * torch.tensor([[3.0], [6.0], [9.0]]))
    return strengths @ waves


def content(seed: int = 1) -> Tensor:
    return DIRECTIONS[torch.randint(4, (N_FRAMES,), generator=torch.Generator().manual_seed(seed))]


def drawn(log_powers: Tensor) -> FilterSpectra:
    """Filters [1, T, bins] of which the noise has these log powers [T, 80]."""
    log_magnitude = 0.5 * (log_powers @ BANDS.to_bins).unsqueeze(0)
    return FilterSpectra(log_magnitude - 20, torch.zeros_like(log_magnitude), log_magnitude)


def heard(log_powers: Tensor) -> Tensor:
    """The log-mel [T, 80] of a source with these log powers for each hertz."""
    return log_powers + torch.log(FRONTEND.mel_basis.sum(dim=0))


def shapes(spectra: FilterSpectra) -> Tensor:
    powers = torch.log(drawn_power(spectra, PITCH_HZ.unsqueeze(0))[0] @ BANDS.of_bins)
    return powers - powers.mean(dim=-1, keepdim=True)


def detail(share: float) -> SourceDetail:
    return SourceDetail(share, DIRECTIONS, FRONTEND.mel_basis, BANDS)


def test_all_detail_or_half_of_it_comes_back_and_the_voices_mean_stays() -> None:
    voice, source = ripple(2)[0], ripple(3)
    flat = drawn(voice.expand(N_FRAMES, 80))
    log_mel = heard(source + 2 * torch.linspace(-1, 1, 80))  # the source's own colour must not come along
    for share, left in ((1.0, 0.35), (0.5, 0.65)):
        moved = detail(share)(flat, PITCH_HZ, content(), LOUD, log_mel)
        wanted = source - source.mean(dim=-1, keepdim=True)
        found = shapes(moved) - shapes(flat)
        late = slice(100, None)
        wanted, found = wanted[late] - wanted[late].mean(dim=0), found[late]
        assert (found - wanted).abs().mean() < left * wanted.abs().mean()
        assert (found * wanted).sum() / wanted.square().sum() == pytest.approx(share, abs=0.12)
        assert found.mean(dim=0).abs().max() < 0.15
        before, after = (drawn_power(each, PITCH_HZ.unsqueeze(0)).sum(dim=-1) for each in (flat, moved))
        torch.testing.assert_close(after, before, rtol=1e-4, atol=0)


def test_nothing_lost_means_nothing_moved() -> None:
    source = ripple(4)
    same = drawn(source)
    moved = detail(1.0)(same, PITCH_HZ, content(), LOUD, heard(source))
    assert (moved.log_noise - same.log_noise).abs().mean() < 0.05


def test_harmonics_are_no_detail() -> None:
    bins_hz = torch.arange(N_FFT // 2 + 1) * (SAMPLE_RATE_HZ / N_FFT)
    generator = torch.Generator().manual_seed(5)
    pitch_hz = 125 * 2 ** (0.5 * torch.rand(N_FRAMES, 1, generator=generator))
    power = 1e-4 + torch.exp(-(((bins_hz + pitch_hz / 2) % pitch_hz - pitch_hz / 2) ** 2) / 800)
    log_mel = FRONTEND.log_mel(power)
    assert log_mel[:, :20].std(dim=0).mean() > 0.5  # the harmonics move through the low bands
    flat = drawn(torch.zeros(N_FRAMES, 80))
    moved = detail(1.0)(flat, PITCH_HZ, content(), LOUD, log_mel)
    assert (shapes(moved) - shapes(flat))[100:, :20].std(dim=0).mean() < 0.25


@pytest.mark.parametrize("block", [1, 7, 300])
def test_pushes_equal_the_whole(block: int) -> None:
    spectra, log_mel, loud = drawn(ripple(6)), heard(ripple(7)), (ripple(8)[:, 0] > 0).float()
    whole = detail(0.7)(spectra, PITCH_HZ, content(), loud, log_mel)
    running, parts = detail(0.7), []
    for at in range(0, N_FRAMES, block):
        cut = slice(at, at + block)
        part = FilterSpectra(*(each[:, cut] for each in vars(spectra).values()))
        parts.append(running(part, PITCH_HZ[cut], content()[cut], loud[cut], log_mel[cut]).log_noise)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole.log_noise, atol=1e-4, rtol=0)
