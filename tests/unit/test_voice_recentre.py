"""What is left of the source's voice in its content is taken out by a running mean."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from timbre.voice.recentre import LoudFrames, Recentring

CHANNELS = 96


def speech(n_frames: int, accent: Tensor, seed: int) -> Tensor:
    """Random sounds [n, 96], each held for eight frames, with something constant in all, normalised like content."""
    sounds = torch.randn(n_frames // 8, CHANNELS, generator=torch.Generator().manual_seed(seed))
    return functional.layer_norm(sounds.repeat_interleave(8, dim=0) + accent, (CHANNELS,))


def accent(seed: int) -> Tensor:
    return 0.5 * torch.randn(CHANNELS, generator=torch.Generator().manual_seed(seed))


def test_an_accent_is_exchanged() -> None:
    source, bank = speech(1600, accent(1), 2), speech(1200, accent(3), 4)
    moved = Recentring(bank)(source, torch.ones(1600))
    before, after = (content[800:].mean(dim=0) - bank.mean(dim=0) for content in (source, moved))
    assert after.norm() < 0.3 * before.norm()


def test_nothing_moves_before_much_was_said() -> None:
    source, bank = speech(8, accent(1), 2), speech(1200, accent(3), 4)
    torch.testing.assert_close(Recentring(bank)(source, torch.ones(8)), source, atol=0.05, rtol=0)


def test_a_held_vowel_stays_what_it_is() -> None:
    vowel = functional.layer_norm(torch.randn(CHANNELS, generator=torch.Generator().manual_seed(5)), (CHANNELS,))
    held = vowel.expand(800, CHANNELS)
    torch.testing.assert_close(Recentring(speech(1200, accent(3), 4))(held, torch.ones(800)), held, atol=0.02, rtol=0)


def test_quiet_frames_tell_nothing_of_the_voice() -> None:
    source, bank = speech(1600, accent(1), 2), speech(1200, accent(3), 4)
    loud = torch.ones(1600)
    loud[1::2] = 0
    disturbed = source.clone()
    disturbed[1::2] = functional.layer_norm(accent(7), (CHANNELS,))
    clean, other = (Recentring(bank)(content, loud) for content in (source, disturbed))
    torch.testing.assert_close(other[0::2], clean[0::2])


@pytest.mark.parametrize("block", [1, 7, 64])
def test_pushes_equal_the_whole(block: int) -> None:
    source, bank = speech(400, accent(1), 2), speech(1200, accent(3), 4)
    loud = (torch.randn(400, generator=torch.Generator().manual_seed(6)) > 0).float()
    whole = Recentring(bank)(source, loud)
    recentring = Recentring(bank)
    parts = [recentring(source[at : at + block], loud[at : at + block]) for at in range(0, 400, block)]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=1e-4)
    assert recentring(source[:0], loud[:0]).shape == (0, CHANNELS)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_loud_is_what_reaches_the_mean_so_far(block: int) -> None:
    loudness = torch.randn(200, generator=torch.Generator().manual_seed(7))
    wanted = [loudness[at] >= loudness[: at + 1].mean() - 1e-6 for at in range(200)]
    loud = LoudFrames(loudness)
    found = torch.cat([loud(loudness[at : at + block]) for at in range(0, 200, block)])
    assert found.tolist() == [float(one) for one in wanted]
    assert loud(loudness[:0]).shape == (0,)
