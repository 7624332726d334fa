"""The pieces of the base's training that can be wrong without a crash."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from recipes.base.average import between
from recipes.base.losses import Discriminators
from recipes.base.package import TREBLE_BINS, calm_treble
from recipes.base.perturb import Perturbation, lifter
from recipes.base.resampling import stretch_time
from recipes.base.train_content import TeacherHead
from recipes.base.training import Averaged, cosine_rate
from timbre.config.fast import DecoderShape
from timbre.models.fast.decoder import FastDecoder
from timbre.train.spectral_loss import band_mask, powers, spectral_loss


def test_lifter_keeps_smooth_spectra_and_removes_fine_structure() -> None:
    smooth = lifter(257)
    angle = math.pi * torch.arange(257) / 256
    slow, fast = torch.cos(5 * angle), torch.cos(120 * angle)
    torch.testing.assert_close(slow @ smooth, slow, atol=1e-4, rtol=0)
    assert (fast @ smooth).abs().max() < 1e-3


def test_perturbation_moves_formants_but_not_time() -> None:
    bump = torch.zeros(1, 4, 257)
    bump[:, 2:, 80:90] = 8.0  # a formant that begins in the third frame
    perturbation = Perturbation(torch.device("cpu"), noise_share=0.0, low_pass_share=0.0)
    changed = perturbation(bump, torch.Generator().manual_seed(3))
    rise = changed[0, 3] - changed[0, 0]
    assert rise.argmax() != 85 and 60 < rise.argmax() < 115
    torch.testing.assert_close(changed[0, 2], changed[0, 3])
    torch.testing.assert_close(changed[0, 0], changed[0, 1])


def test_full_scale_sine_has_the_stated_power() -> None:
    wave = torch.sin(2 * math.pi * 64 / 1024 * torch.arange(8192)).unsqueeze(0)
    assert powers(wave, 1024, 256, 513)[0, :, 64].mean().item() == pytest.approx(1.0, rel=0.01)


def test_spectral_loss_is_zero_only_for_the_same_sound_below_the_bandwidth() -> None:
    generator = torch.Generator().manual_seed(0)
    wave = 0.1 * torch.randn(2, 12_000, generator=generator)
    bandwidth = torch.tensor([6000.0, 8000.0])
    time_s = torch.arange(12_000) / 44_100
    above = wave + 0.05 * torch.sin(2 * math.pi * 15_000 * time_s)
    below = wave + 0.05 * torch.sin(2 * math.pi * 1_000 * time_s)
    for step in range(4):
        assert spectral_loss(wave, wave, bandwidth, step).item() < 1e-3
        assert spectral_loss(above, wave, bandwidth, step).item() < 0.02
        assert spectral_loss(below, wave, bandwidth, step).item() > 0.02


def test_band_mask_ends_at_nine_tenths_of_the_bandwidth() -> None:
    mask = band_mask(torch.tensor([8000.0]), 2048)
    assert int(mask.sum()) == math.ceil(0.9 * 8000 / (44_100 / 2048))


def test_discriminators_take_turns() -> None:
    judges = Discriminators()
    real, made = torch.randn(1, 8000), torch.randn(1, 8000)
    judges.judge(real, made, torch.tensor([20_000.0]), step=1).backward()
    touched = [any(p.grad is not None for p in member.parameters()) for member in judges.members]
    assert touched == [False, True, False]


def test_only_copies_must_match_their_originals() -> None:
    torch.manual_seed(0)
    judges = Discriminators()
    real, bandwidth_hz = torch.randn(2, 8000), torch.full((3,), 20_000.0)
    conversion = torch.randn(1, 8000).requires_grad_()
    adversarial, matching = judges.convince(real, torch.cat((real, conversion)), bandwidth_hz, step=0)
    assert matching.item() == 0
    adversarial.backward()
    assert conversion.grad is not None and conversion.grad.abs().max() > 0


def test_a_teacher_head_learns_what_a_few_frames_of_content_tell() -> None:
    torch.manual_seed(0)
    head = TeacherHead(8, 4)
    content = torch.randn(4, 40, 8)
    taught = torch.roll(content[..., :4], 2, dims=1) / 4  # what was said two frames ago
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    first = head(content, taught).item()
    for _ in range(60):
        loss = head(content, taught)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert head(content, taught).item() < 0.3 * first


def test_stretched_time_moves_the_pitch() -> None:
    time = torch.arange(8820) / 44_100
    stretched = stretch_time(torch.sin(2 * math.pi * 400 * time).unsqueeze(0), 4410)
    spectrum = torch.fft.rfft(stretched[0, 400:4000] * torch.hann_window(3600)).abs()
    assert spectrum.argmax().item() * 44_100 / 3600 == pytest.approx(800, abs=13)


def test_treble_is_bridged_smoothed_and_held() -> None:
    torch.manual_seed(0)
    decoder = FastDecoder(**vars(DecoderShape()))
    torch.nn.init.normal_(decoder.output.bias)

    def drawn() -> Tensor:
        return decoder.output(torch.ones(1, decoder.output.in_features)).detach().unflatten(-1, (3, -1))[0]

    before = drawn()
    calm_treble(decoder)
    after = drawn()
    bin_hz = 22_050 / (decoder.n_bins - 1)
    first, last, known = (round(hz / bin_hz) for hz in (7_300, 8_500, 18_000))
    torch.testing.assert_close(after[:, :first], before[:, :first])
    for place in (first, last, 300, known - 6):
        torch.testing.assert_close(after[:, place], before[:, place - 2 : place + 3].mean(dim=1))
    assert after[:, first : last + 1].diff(n=2).abs().max() < 1e-5  # a straight line
    assert after[:, known:].std(dim=1).max() < 1e-6
    torch.testing.assert_close(after[:, known], after[:, known - TREBLE_BINS : known].mean(dim=1))


def test_rate_warms_up_and_falls_to_its_floor() -> None:
    assert cosine_rate(0.0, 0) == pytest.approx(1 / 200)
    assert cosine_rate(0.0, 1000) == pytest.approx(1.0)
    assert cosine_rate(1.0, 1000) == pytest.approx(0.02)


def test_averaged_weights_follow_slowly() -> None:
    module = torch.nn.Linear(2, 2)
    averaged = Averaged(module, decay=0.9)
    before = averaged.module.weight.clone()
    with torch.no_grad():
        module.weight.add_(1.0)
    averaged.update(module, step=1000)
    torch.testing.assert_close(averaged.module.weight, before + 0.1)


def test_between_is_a_straight_line() -> None:
    mixed = between({"a": torch.zeros(2)}, {"a": torch.ones(2)}, 0.25)
    torch.testing.assert_close(mixed["a"], torch.full((2,), 0.25))
