"""Random numbers that belong to a seed or to a place on the timeline, never to the global generator."""

from __future__ import annotations

import pytest
import torch

from timbre.nn.draws import SeededDraws, TimelineDraws


def test_seeded_draws_repeat_and_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    one, other = SeededDraws(5), SeededDraws(5)
    for shape in ((3,), (1, 4, 7)):
        assert torch.equal(one.normal(*shape), other.normal(*shape))
        assert torch.equal(one.uniform(*shape), other.uniform(*shape))
    assert not torch.equal(SeededDraws(6).normal(9), SeededDraws(5).normal(9))
    TimelineDraws(5, 0, 7).normal(1, 4, 7)
    assert torch.equal(torch.get_rng_state(), before)


def draw(seed: int, first_frame: int, n_frames: int) -> tuple[torch.Tensor, ...]:
    """Ask for what a synthesizer asks for, with 8 samples for each frame."""
    draws = TimelineDraws(seed, first_frame, n_frames)
    return (
        draws.normal(1, 4, n_frames),
        draws.uniform(1, 9),
        draws.normal(1, n_frames * 8, 9),
        draws.normal(1, n_frames * 8, 1),
    )


@pytest.mark.parametrize(("first", "n_frames"), [(0, 300), (-63, 130), (37, 64), (64, 64), (200, 2), (63, 5)])
def test_overlapping_stretches_draw_the_same_for_one_frame(first: int, n_frames: int) -> None:
    latent, phases, noise, discarded = draw(3, -63, 400)
    part_latent, part_phases, part_noise, part_discarded = draw(3, first, n_frames)
    start = first + 63
    assert torch.equal(part_latent, latent[..., start : start + n_frames])
    assert torch.equal(part_phases, phases)
    assert torch.equal(part_noise, noise[:, start * 8 : (start + n_frames) * 8])
    assert torch.equal(part_discarded, discarded[:, start * 8 : (start + n_frames) * 8])


def test_each_request_seed_and_frame_has_numbers_of_its_own() -> None:
    draws = TimelineDraws(3, 0, 200)
    first, second = draws.normal(1, 4, 200), draws.normal(1, 4, 200)
    others = (second, TimelineDraws(4, 0, 200).normal(1, 4, 200), TimelineDraws(3, 1, 200).normal(1, 4, 200))
    for other in others:
        assert abs(float((first * other).mean())) < 0.15
    assert abs(float((first[..., :64] * first[..., 64:128]).mean())) < 0.2
    assert abs(float(first.mean())) < 0.15 and abs(float(first.std()) - 1) < 0.15
    uniform = draws.uniform(1, 2000)
    assert float(uniform.min()) >= 0 and float(uniform.max()) < 1 and abs(float(uniform.mean()) - 0.5) < 0.05


def test_what_fits_no_frame_is_new_for_each_stretch() -> None:
    one, same, other = (TimelineDraws(3, first, 10).normal(1, 7, 11) for first in (5, 5, 6))
    assert torch.equal(one, same) and not torch.equal(one, other)
