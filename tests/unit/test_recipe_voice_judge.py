"""The speaker encoder that judges voices in the base's training: its disguise, its margin, its verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from recipes.base.decoder_losses import JUDGED_BALANCE, ListeningJudge
from recipes.base.train_voice_judge import COLOUR, MASKED_BANDS, SCALE, SPEEDS, Disguise, VoiceJudge

N_SPEAKERS = 4


@pytest.fixture
def judge() -> VoiceJudge:
    torch.manual_seed(0)
    return VoiceJudge(N_SPEAKERS).eval().requires_grad_(False)


def log_mel(seed: int, batch: int = 2, n_frames: int = 40) -> Tensor:
    return torch.randn(batch, n_frames, 80, generator=torch.Generator().manual_seed(seed)) - 5


def test_a_disguise_changes_colour_and_noise_but_not_what_is_loud(judge: VoiceJudge) -> None:
    plain = log_mel(1, batch=64)
    plain[:, ::2] -= 12  # every second frame is nearly silent
    disguised = Disguise(torch.Generator().manual_seed(2))(plain)
    again = Disguise(torch.Generator().manual_seed(2))(plain)
    torch.testing.assert_close(disguised, again, rtol=0, atol=0)
    change = (disguised - plain)[:, 1::2].mean(dim=1)  # of loud frames, [B, 80]
    masked = (disguised.std(dim=1) < 1e-4).sum(dim=1)
    assert masked.max() <= MASKED_BANDS and masked.float().mean() > 2
    assert change[:, 40:].std() > 0.3 and change.abs().median() < 5 * COLOUR
    quiet_raised = (disguised - plain)[:, ::2].mean(dim=(1, 2)) > 2
    assert 0.3 < quiet_raised.float().mean() < 0.7  # noise hides the silence of about half


def test_the_margin_asks_for_more_than_being_nearest(judge: VoiceJudge) -> None:
    voices = torch.arange(N_SPEAKERS * len(SPEEDS))
    directions = functional.normalize(judge.classes, dim=-1)
    easy, hard = (judge.told_apart(directions, voices, margin) for margin in (0.0, 0.2))
    assert 0 < easy < hard
    cosine = (directions @ directions.T).clamp(-0.999, 0.999)
    own = torch.cos(torch.acos(cosine.diagonal()) + 0.2)
    logits = SCALE * torch.where(torch.eye(len(voices), dtype=torch.bool), own, cosine)
    torch.testing.assert_close(hard, functional.cross_entropy(logits, voices))


def verdict(judge: VoiceJudge, made: Tensor, wanted: Tensor, warp: float = 1.0) -> dict[str, Tensor]:
    """Return the losses of two conversions that sound like `made` and should sound like `wanted`."""
    from types import SimpleNamespace

    attempt = SimpleNamespace(
        batch=SimpleNamespace(n_copies=1, warp=warp),
        voices_log_mel=torch.cat((log_mel(9, batch=1), wanted)),
        speakers=torch.tensor([0, 1, 2]),
    )
    listening = ListeningJudge.__new__(ListeningJudge)
    listening.balance = replace(JUDGED_BALANCE, voice=2.0)
    return listening._judged_voice(judge, made, attempt)  # type: ignore[arg-type]


def test_a_conversion_that_is_the_reference_has_nothing_to_lose(judge: VoiceJudge) -> None:
    same, other = log_mel(3), log_mel(4) + torch.linspace(-3, 3, 80)
    assert verdict(judge, same, same)["voice"].item() == pytest.approx(0, abs=1e-2)
    heard, wanted = judge(other), judge(same)
    expected = 2.0 * (1 - (heard * wanted).sum(dim=-1).mean().item())
    found = verdict(judge, other, same)
    assert found["voice"].item() == pytest.approx(expected, abs=0.02) and expected > 0.02
    assert set(found) == {"voice", "voice_class"}
    assert set(verdict(judge, other, same, warp=1.1)) == {"voice"}  # nobody's class is known then


def test_a_conversion_learns_from_the_verdict(judge: VoiceJudge) -> None:
    made, wanted = (log_mel(5) + torch.linspace(-2, 2, 80)).requires_grad_(), log_mel(6)
    sum(verdict(judge, made, wanted).values()).backward()  # type: ignore[union-attr]
    assert made.grad is not None and made.grad.abs().max() > 0
