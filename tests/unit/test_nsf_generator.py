"""The wave generator and its harmonic source beyond the recorded cases."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.errors import SettingsError
from timbre.nn.draws import SeededDraws
from timbre.nn.harmonic_source import N_HARMONICS, HarmonicSource, SourceForm, harmonic_phases
from timbre.nn.nsf_generator import NsfGenerator
from timbre.nn.snake import FilteredSnake
from timbre.nn.weight_norm import current_name, fold_weight_norm, legacy_name

RATE_HZ = 8000
SIZES: dict[str, Any] = {
    "in_channels": 6,
    "upsample_rates": [4, 2, 3],
    "upsample_kernel_sizes": [8, 4, 5],
    "upsample_initial_channel": 17,
    "resblock": "1",
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilation_sizes": [[1, 2, 3], [1, 3, 5]],
}
VARIANTS = [{}, {"resblock": "2"}, {"snake": True}, {"snake": True, "resblock": "2"}, {"speaker_channels": 5}]
FORMS: list[SourceForm] = ["stable", "latest", "frame", "vocoder"]


class LoggedDraws:
    """Seeded draws that remember what was asked for."""

    def __init__(self, seed: int = 1) -> None:
        self.requests: list[tuple[str, tuple[int, ...]]] = []
        self.given: list[Tensor] = []
        self._draws = SeededDraws(seed)

    def normal(self, *shape: int) -> Tensor:
        return self._note("normal", shape, self._draws.normal(*shape))

    def uniform(self, *shape: int) -> Tensor:
        return self._note("uniform", shape, self._draws.uniform(*shape))

    def _note(self, kind: str, shape: tuple[int, ...], drawn: Tensor) -> Tensor:
        self.requests.append((kind, shape))
        self.given.append(drawn)
        return drawn


def make_generator(**changes: Any) -> NsfGenerator:
    torch.manual_seed(0)
    generator = NsfGenerator(**SIZES | changes)
    for name, value in generator.named_parameters():
        if name.endswith(("alpha", "beta")):
            torch.nn.init.normal_(value, std=0.3)
    return generator


def make_inputs(generator: NsfGenerator, n_frames: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    draws = SeededDraws(2)
    return draws.normal(batch, 6, n_frames), draws.normal(batch, 1, n_frames * generator.samples_per_frame)


@pytest.mark.parametrize("changes", VARIANTS)
@torch.no_grad()
def test_blocks_join_to_the_whole(changes: dict[str, Any]) -> None:
    generator = make_generator(**changes)
    latent, excitation = make_inputs(generator, 61, batch=2)
    speakers = [None] if generator.cond is None else [SeededDraws(3).normal(2, 5, n) for n in (1, 61)]
    for speaker in speakers:
        whole = generator(latent, excitation, speaker, block_frames=61)
        assert whole.shape == (2, 1, 61 * 24)
        for block_frames in (7, 60):
            blocks = generator(latent, excitation, speaker, block_frames)
            torch.testing.assert_close(blocks, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("place", [None, 0, 1, 2, 3])
@torch.no_grad()
def test_every_stage_needs_the_frames_around_a_block(place: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make_generator().double()
    latent, excitation = (x.double() for x in make_inputs(generator, 40))
    whole = generator(latent, excitation, None, 40)
    reaches = generator.reaches_frames()
    if place is not None:
        reaches[place] = [*reaches, 0][place + 1]  # what is cut off one stage later
    monkeypatch.setattr(NsfGenerator, "reaches_frames", lambda self: reaches)
    error = (generator(latent, excitation, None, 10) - whole).abs().max()
    assert error < 1e-14 if place is None else error > 1e-10


@pytest.mark.parametrize("changes", VARIANTS[:4])
def test_reach_covers_what_an_output_depends_on(changes: dict[str, Any]) -> None:
    generator = make_generator(**changes).double()
    reach_frames, rate = generator.reaches_frames()[0], generator.samples_per_frame
    n_frames = 2 * reach_frames + 3
    middle = n_frames // 2
    latent, excitation = (x.double().requires_grad_() for x in make_inputs(generator, n_frames))
    generator(latent, excitation)[0, 0, middle * rate : (middle + 1) * rate].sum().backward()
    assert latent.grad is not None and excitation.grad is not None
    frames = latent.grad.abs().sum(dim=(0, 1)).nonzero().flatten() - middle
    samples = excitation.grad.abs().sum(dim=(0, 1)).nonzero().flatten() - middle * rate
    assert reach_frames - 2 <= int(frames.abs().max()) <= reach_frames
    assert -reach_frames * rate <= int(samples.min())
    assert int(samples.max()) < (reach_frames + 1) * rate


@torch.no_grad()
def test_folding_changes_nothing_but_the_keys() -> None:
    generator = make_generator(snake=True)
    inputs = make_inputs(generator, 9)
    expected, keys = generator(*inputs), list(generator.state_dict())
    assert [current_name(legacy_name(key)) for key in keys] == keys
    fold_weight_norm(generator)
    assert torch.equal(generator(*inputs), expected)
    assert "conv_pre.weight" in generator.state_dict()


@torch.no_grad()
def test_one_frame_and_batches() -> None:
    generator = make_generator(snake=True)
    assert generator(*make_inputs(generator, 1)).shape == (1, 1, 24)
    latent, excitation = make_inputs(generator, 7, batch=3)
    together = generator(latent, excitation)
    alone = torch.cat([generator(latent[i : i + 1], excitation[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


@torch.no_grad()
def test_every_part_follows_to_another_type() -> None:
    generator = make_generator(snake=True).bfloat16()
    assert {value.dtype for value in generator.state_dict().values()} == {torch.bfloat16}
    latent, _ = make_inputs(generator, 5)
    f0_hz = torch.full((1, 5), 200.0)
    excitation = generator.excitation(f0_hz, SeededDraws(1), RATE_HZ)
    assert generator(latent.bfloat16(), excitation).dtype == torch.bfloat16


def test_with_gradients_it_runs_whole_and_the_sines_get_none() -> None:
    generator = make_generator()
    latent, _ = make_inputs(generator, 30)
    f0_hz = torch.full((1, 30), 200.0, requires_grad=True)
    excitation = generator.excitation(f0_hz, SeededDraws(1), RATE_HZ)
    generator(latent.requires_grad_(), excitation, None, 4).square().sum().backward()
    assert f0_hz.grad is None
    assert latent.grad is not None
    assert all(parameter.grad is not None for parameter in generator.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upsample_rates": []}, "0 upsample_rates and 3 upsample_kernel_sizes"),
        ({"upsample_kernel_sizes": [8, 4, 4]}, "has 4 for the rate 3; .* odd"),
        ({"upsample_kernel_sizes": [2, 4, 5]}, "has 2 for the rate 4; .* even"),
        ({"upsample_initial_channel": 7}, "is 7; halved 3 times"),
        ({"resblock_kernel_sizes": [3, 4]}, r"\[3, 4\]; it must hold odd"),
        ({"resblock_kernel_sizes": []}, "must hold odd"),
        ({"resblock_dilation_sizes": [[1, 2, 3]]}, "for each of the 2 kernels"),
        ({"resblock_dilation_sizes": [[1, 2, 3], [1, 2]]}, "3 or more dilations"),
        ({"resblock_dilation_sizes": [[1], [1, 2]], "resblock": "2"}, "2 or more dilations"),
        ({"resblock_dilation_sizes": [[1, 2, 3], [1, 2, 0]]}, "3 or more dilations"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_generator(**changes)


def test_inputs_that_do_not_fit_are_refused() -> None:
    generator = make_generator()
    latent, excitation = make_inputs(generator, 4)
    with pytest.raises(ValueError, match="4 frames need 96 samples"):
        generator(latent, excitation[..., 1:])
    with pytest.raises(ValueError, match="speaker"):
        generator(latent, excitation, torch.zeros(1, 5, 1))
    with pytest.raises(ValueError, match="speaker"):
        make_generator(speaker_channels=5)(latent, excitation)


def slow_excitation(source: HarmonicSource, f0_hz: Tensor, drawn: list[Tensor], form: SourceForm) -> NDArray[Any]:
    """Follow models spec 4.2 and 10.3 sample by sample."""
    repeated = f0_hz.repeat_interleave(source.samples_per_frame, dim=1)[..., None]
    step = torch.remainder(repeated * torch.arange(1.0, 10.0) / RATE_HZ, 1)
    offsets = drawn[0].clone()
    offsets[:, 0] = 0
    step[:, : source.samples_per_frame if form in ("frame", "vocoder") else 1] += offsets[:, None]
    harmonics = 0.1 * np.sin(2 * np.pi * np.cumsum(step.double().numpy(), axis=1))
    if form != "latest":
        voiced = (repeated > 0).numpy()
        harmonics = harmonics * voiced + np.where(voiced, 0.003, 0.1 / 3) * drawn[1].numpy()
    weight, bias = (value.detach().numpy() for value in (source.l_linear.weight, source.l_linear.bias))
    return np.asarray(np.tanh(harmonics @ weight.T + bias).transpose(0, 2, 1))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("blockwise", [True, False])
@torch.no_grad()
def test_source_follows_the_rule_sample_by_sample(form: SourceForm, blockwise: bool) -> None:
    torch.manual_seed(0)
    source = HarmonicSource(3)
    source.blockwise = blockwise
    f0_hz = 100 + 900 * SeededDraws(4).uniform(2, 600)
    f0_hz[0, 100:300] = 0
    f0_hz[1, 5] = -20.0
    draws = LoggedDraws()
    excitation = source(f0_hz, draws, RATE_HZ, form)
    assert excitation.shape == (2, 1, 1800)
    np.testing.assert_allclose(excitation.numpy(), slow_excitation(source, f0_hz, draws.given, form), atol=1e-6)


@pytest.mark.parametrize(
    ("form", "normals"),
    [
        ("stable", [(2, 12, 9), (2, 12, 1)]),
        ("latest", []),
        ("frame", [(2, 12, 9), (2, 12, 1)]),
        ("vocoder", [(2, 12, 9)]),
    ],
)
def test_draws_are_asked_for_in_order(form: SourceForm, normals: list[tuple[int, ...]]) -> None:
    draws = LoggedDraws()
    HarmonicSource(3)(torch.zeros(2, 4), draws, RATE_HZ, form)
    assert draws.requests == [("uniform", (2, 9)), *(("normal", shape) for shape in normals)]
    assert (draws.given[0] > 0).all()  # what was drawn is not changed


def test_phases_do_not_drift() -> None:
    n_frames, samples_per_frame, f0_hz = 40_000, 512, 443.7
    phases = harmonic_phases(torch.full((1, n_frames), f0_hz), 44_100, samples_per_frame)
    assert phases.shape == (1, n_frames, N_HARMONICS)
    for harmonic in (0, 8):
        step = Fraction(float(torch.remainder(torch.tensor(f0_hz) * (harmonic + 1) / 44_100, 1)))
        exact = float(step * samples_per_frame * (n_frames - 1) % 1)
        assert abs(float(phases[0, -1, harmonic]) - exact) < 1e-6


@pytest.mark.parametrize("form", ["latest", "vocoder"])
@torch.no_grad()
def test_a_sound_goes_on_where_another_ended(form: SourceForm) -> None:
    torch.manual_seed(0)
    source = HarmonicSource(16)
    f0_hz = 100 + 900 * SeededDraws(4).uniform(2, 60)

    class Zeros(LoggedDraws):
        def _note(self, kind: str, shape: tuple[int, ...], drawn: Tensor) -> Tensor:
            return torch.zeros(shape)

    whole = source(f0_hz, Zeros(), RATE_HZ, form)
    start = harmonic_phases(f0_hz, RATE_HZ, 16)[:, 23]
    rest = source(f0_hz[:, 23:], Zeros(), RATE_HZ, form, start)
    torch.testing.assert_close(rest, whole[..., 23 * 16 :], atol=1e-6, rtol=0)


@torch.no_grad()
def test_snake_bends_a_constant_exactly() -> None:
    snake = FilteredSnake(2)
    snake.act.alpha.copy_(torch.tensor([0.2, -0.4]))
    snake.act.beta.copy_(torch.tensor([0.5, 0.1]))
    x = torch.tensor([0.7, -1.2])
    expected = x + torch.sin(x * snake.act.alpha.exp()) ** 2 / snake.act.beta.exp()
    for n_samples in (1, 30):
        bent = snake(x[None, :, None].expand(1, 2, n_samples))
        torch.testing.assert_close(bent, expected[None, :, None].expand(1, 2, n_samples), atol=1e-6, rtol=0)


def test_snake_reach() -> None:
    snake = FilteredSnake(1).double()
    x = SeededDraws(1).normal(1, 1, 31).double().requires_grad_()
    snake(x)[0, 0, 15].backward()
    assert x.grad is not None
    assert (x.grad[0, 0].nonzero().flatten() - 15).abs().max() == snake.reach_samples


def test_snake_filter_halves_the_band() -> None:
    taps = FilteredSnake(1).upsample.filter.flatten().double()
    response = torch.fft.rfft(taps, n=240).abs()  # bin 60 is a quarter of the doubled rate
    assert response[0] == pytest.approx(1, abs=1e-6)
    assert response[60] == pytest.approx(0.5, abs=0.02)
    assert response[:12].min() > 0.98 and response[105:].max() < 10 ** (-45 / 20)
