"""Every layer of the fast family gives in steps what it gives whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.toys import TOY_SHAPE, liven
from timbre.content.fast import FastContentEncoder
from timbre.dsp.frontend import SpectralFrontend
from timbre.models.fast.decoder import FastDecoder, FilterSpectra
from timbre.models.fast.synthesis import FastSynthesis
from timbre.nn.conv import FrameConv
from timbre.nn.pulses import fresh_pulse_state, pulse_train
from timbre.nn.residual import ResidualBlock, ResidualStack

BLOCKS = (1, 3, 10, 64)
N_FRAMES = 70
TOLERANCE = 1e-4


def cuts(size: int, total: int) -> list[slice]:
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("kernel", "dilation", "lookahead"), [(1, 1, 0), (3, 1, 0), (3, 4, 3), (5, 2, 4), (5, 1, 4)])
def test_conv_in_steps_equals_whole(block: int, kernel: int, dilation: int, lookahead: int) -> None:
    torch.manual_seed(0)
    conv = FrameConv(3, 4, kernel, dilation=dilation, lookahead_frames=lookahead)
    x = torch.randn(2, N_FRAMES, 3)
    state, parts = conv.fresh_state(2, x), []
    for cut in cuts(block, N_FRAMES):
        y, state = conv.step(x[:, cut], state)
        parts.append(y)
    parts.append(conv.flush(state))
    torch.testing.assert_close(torch.cat(parts, dim=1), conv(x), atol=TOLERANCE, rtol=0)


def test_conv_refuses_a_lookahead_beyond_its_kernel() -> None:
    with pytest.raises(ValueError, match="spans 2 frames"):
        FrameConv(3, 4, 3, lookahead_frames=3)


def test_stack_knows_how_far_it_looks() -> None:
    torch.manual_seed(0)
    stack = ResidualStack([ResidualBlock(4, 6, 5, lookahead_frames=2), ResidualBlock(4, 6, 3, dilation=2)])
    liven(stack)
    x = torch.randn(1, 40, 4)
    changed = x.clone()
    changed[:, 20] += torch.randn(4)
    touched = torch.nonzero((stack(x) - stack(changed)).abs().amax(dim=(0, 2)) > 1e-6).flatten()
    assert (touched.min().item(), touched.max().item()) == (20 - stack.lookahead_frames, 20 + stack.context_frames)


@pytest.mark.parametrize("block", BLOCKS)
def test_reduced_products_in_steps_are_near_the_exact_whole(block: int) -> None:
    torch.manual_seed(0)
    stack = ResidualStack([ResidualBlock(32, 48, 5, lookahead_frames=2), ResidualBlock(32, 48, 3, dilation=2)])
    liven(stack)
    x = torch.randn(1, N_FRAMES, 32)
    exact, reduced = stack(x), stack.reduced(torch.bfloat16)
    state, parts = reduced.fresh_state(1, x), []
    for cut in cuts(block, N_FRAMES):
        y, state = reduced.step(x[:, cut], state, last=cut.stop == N_FRAMES)
        parts.append(y)
    made = torch.cat(parts, dim=1)
    assert made.dtype == torch.float32
    error = (made - exact).square().mean() / (exact - x).square().mean()
    assert 1e-9 < error < 1e-4  # it is reduced, and near
    assert torch.equal(stack(x), exact)  # the stack itself stays as it was


@pytest.mark.parametrize("block", [*BLOCKS, 177, 1600])
def test_frontend_in_steps_equals_whole(block: int) -> None:
    torch.manual_seed(0)
    frontend, wave = SpectralFrontend(), torch.randn(1, 5 * 160 + 77)
    state, parts = frontend.fresh_state(1, wave), []
    for cut in cuts(block, wave.shape[1]):
        power, state = frontend.step(wave[:, cut], state, last=cut.stop == wave.shape[1])
        parts.append(power)
    torch.testing.assert_close(torch.cat(parts, dim=1), frontend.power(wave), atol=TOLERANCE, rtol=1e-5)


def test_frontend_loudness_is_the_log_power() -> None:
    frontend = SpectralFrontend()
    wave = 0.1 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    loudness = frontend.loudness(frontend.power(wave))[0, 5:-5]
    assert loudness.exp().mean().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("block", BLOCKS)
def test_content_encoder_in_steps_equals_whole(block: int) -> None:
    torch.manual_seed(0)
    encoder = FastContentEncoder(**vars(TOY_SHAPE.content))
    liven(encoder)
    log_mel = -9 + 3 * torch.randn(1, N_FRAMES, 80)
    state, parts = encoder.fresh_state(1, log_mel), []
    for cut in cuts(block, N_FRAMES):
        content, state = encoder.step(log_mel[:, cut], state, last=cut.stop == N_FRAMES)
        parts.append(content)
    torch.testing.assert_close(torch.cat(parts, dim=1), encoder(log_mel), atol=TOLERANCE, rtol=0)


def wandering_pitch(n_frames: int) -> Tensor:
    """Pitch with a voiceless stretch and a jump of an octave."""
    f0_hz = 120 + 60 * torch.sin(torch.arange(n_frames) / 7)
    f0_hz[20:31] = 0
    f0_hz[50:] *= 2
    return f0_hz.unsqueeze(0)


@pytest.mark.parametrize("block", BLOCKS)
def test_decoder_and_synthesis_in_steps_equal_whole(block: int) -> None:
    torch.manual_seed(0)
    decoder, synthesis = FastDecoder(**vars(TOY_SHAPE.decoder)), FastSynthesis(1024, 441, 44_100)
    liven(decoder)
    content, loudness, f0_hz = torch.randn(1, N_FRAMES, 5), -5 + torch.randn(1, N_FRAMES), wandering_pitch(N_FRAMES + 2)
    timbre = decoder.timbre(
        torch.randn(1, 4), torch.randn(1, 30, 5), torch.full((1, 30), 200.0), torch.randn(1, 30, 80)
    )
    noise = torch.randn(1, N_FRAMES, 513, 2)
    whole = synthesis(decoder(content, f0_hz[:, :N_FRAMES], loudness, timbre), f0_hz, noise)
    assert whole.shape == (1, N_FRAMES * 441)
    state, sound_state, parts = decoder.fresh_state(1, content), synthesis.fresh_state(1, f0_hz), []
    for cut in cuts(block, N_FRAMES):
        spectra, state = decoder.step(content[:, cut], f0_hz[:, cut], loudness[:, cut], timbre, state)
        ahead = f0_hz[:, (cut.start + 2 if cut.start else 0) : cut.stop + 2]
        sound, sound_state = synthesis.step(spectra, ahead, noise[:, cut], sound_state)
        parts.append(sound)
    parts.append(synthesis.flush(sound_state))
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("f0_hz", [30.0, 55.0, 220.0, 987.0, 2500.0])
def test_pulses_have_the_asked_pitch_and_unit_power_at_any_pitch(f0_hz: float) -> None:
    pulses, _ = pulse_train(torch.full((1, 101), f0_hz), fresh_pulse_state(1), 441, 44_100)
    assert pulses.pow(2).mean().sqrt().item() == pytest.approx(1.0, abs=0.05)
    spectrum = torch.fft.rfft(pulses[0] * torch.hann_window(44_100)).abs()
    tops = torch.topk(spectrum[: int(f0_hz * 1.5)], 1).indices.item()
    assert tops == pytest.approx(f0_hz, abs=1.01)


def test_unfiltered_pulses_come_back_from_the_filter() -> None:
    synthesis = FastSynthesis(1024, 441, 44_100, dispersion_s=0.0)
    f0_hz = torch.full((1, 42), 200.0)
    flat = torch.zeros(1, 40, 513)
    sound = synthesis(FilterSpectra(flat, flat, flat - 50), f0_hz, torch.zeros(1, 40, 513, 2))
    pulses, _ = pulse_train(f0_hz, fresh_pulse_state(1), 441, 44_100)
    torch.testing.assert_close(sound[:, 1024:-1024], pulses[:, 1024 : 40 * 441 - 1024], atol=1e-4, rtol=0)


def test_dispersion_lowers_the_peaks_and_keeps_the_power() -> None:
    flat, f0_hz = torch.zeros(1, 60, 513), torch.full((1, 62), 120.0)
    envelope = flat - torch.arange(513) / 100  # falls by 12 dB in 6 kHz, as voices do
    spectra = FilterSpectra(envelope, flat, flat - 50)
    silent = torch.zeros(1, 60, 513, 2)
    sharp, soft = (
        FastSynthesis(1024, 441, 44_100, dispersion_s=seconds)(spectra, f0_hz, silent)[:, 2048:-2048]
        for seconds in (0.0, 0.002)
    )
    assert soft.square().mean().item() == pytest.approx(sharp.square().mean().item(), rel=0.05)
    assert soft.abs().max() < 0.75 * sharp.abs().max()
