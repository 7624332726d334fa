"""Self-attention, the transformer stacks and their parts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from timbre.nn.channel_norm import ChannelNorm
from timbre.nn.self_attention import SelfAttention
from timbre.nn.transformer import CausalTransformer, FeedForward, WindowedTransformer

CHANNELS, HEADS, WINDOW = 6, 2, 4


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    torch.manual_seed(5)


def attention_by_definition(layer: SelfAttention, x: Tensor, mask: Tensor | None, *, causal: bool) -> Tensor:
    """Compute one frame after the other, as models spec 2.5 says it."""
    n_batch, channels, n_frames = x.shape
    d = channels // HEADS
    q, k, v = (conv(x) for conv in (layer.conv_q, layer.conv_k, layer.conv_v))
    result = torch.zeros_like(x)
    for b in range(n_batch):
        for h in range(HEADS):
            rows = slice(h * d, (h + 1) * d)
            for i in range(n_frames):
                query = q[b, rows, i] / math.sqrt(d)
                scores = torch.stack([query @ k[b, rows, j] for j in range(n_frames)])
                near = [] if causal else [j for j in range(n_frames) if abs(j - i) <= WINDOW]
                for j in near:
                    scores[j] += query @ layer.emb_rel_k[0, j - i + WINDOW]
                for j in range(n_frames):
                    if (causal and j > i) or (mask is not None and mask[b, 0, i] * mask[b, 0, j] == 0):
                        scores[j] = -1e4
                weights = torch.softmax(scores, dim=0)
                result[b, rows, i] = v[b, rows] @ weights
                for j in near:
                    result[b, rows, i] += weights[j] * layer.emb_rel_v[0, j - i + WINDOW]
    return layer.conv_o(result)


def mask_of(*lengths: int) -> Tensor:
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).unsqueeze(1).float()


@pytest.mark.parametrize("block_scores", [1, 30, 2**20])
@pytest.mark.parametrize("lengths", [(1, 1), (2, 1), (11, 6)])
@torch.no_grad()
def test_windowed_attention(monkeypatch: pytest.MonkeyPatch, lengths: tuple[int, ...], block_scores: int) -> None:
    monkeypatch.setattr("timbre.nn.self_attention._BLOCK_SCORES", block_scores)
    layer = SelfAttention(CHANNELS, HEADS, window_frames=WINDOW, dropout=0.1).eval()
    x, mask = torch.randn(2, CHANNELS, max(lengths)), mask_of(*lengths)
    expected = attention_by_definition(layer, x, mask, causal=False)
    torch.testing.assert_close(layer(x, mask), expected)
    layer.blockwise = False
    torch.testing.assert_close(layer(x, mask), expected)


@pytest.mark.parametrize("block_scores", [1, 30, 2**20])
@torch.no_grad()
def test_causal_attention(monkeypatch: pytest.MonkeyPatch, block_scores: int) -> None:
    monkeypatch.setattr("timbre.nn.self_attention._BLOCK_SCORES", block_scores)
    layer = SelfAttention(CHANNELS, HEADS, causal=True, dropout=0.1).eval()
    x = torch.randn(2, CHANNELS, 9)
    torch.testing.assert_close(layer(x), attention_by_definition(layer, x, None, causal=True))


def test_attention_is_the_same_with_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timbre.nn.self_attention._BLOCK_SCORES", 1)
    layer = SelfAttention(CHANNELS, HEADS, window_frames=WINDOW, dropout=0.1).eval()
    x, mask = torch.randn(1, CHANNELS, 8), torch.ones(1, 1, 8)
    learning = layer(x, mask)
    with torch.no_grad():
        torch.testing.assert_close(learning, layer(x, mask))
    learning.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in (layer.emb_rel_k, layer.emb_rel_v))


def test_scores_of_a_long_sound_are_never_kept_whole() -> None:
    n_frames, shapes = 5000, []
    layer = SelfAttention(2, 1, window_frames=WINDOW, dropout=0.0).eval()
    layer.dropout.register_forward_hook(lambda module, args, output: shapes.append(output.shape))
    with torch.no_grad():
        layer(torch.randn(1, 2, n_frames), torch.ones(1, 1, n_frames))
    assert sum(shape[2] for shape in shapes) == n_frames
    assert max(shape.numel() for shape in shapes) <= 2**20


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_reach_of_feed_forward(kernel: int, causal: bool) -> None:
    layer = FeedForward(3, 7, kernel, causal=causal, dropout=0.1).eval()
    x, mask = torch.randn(1, 3, 21), torch.ones(1, 1, 21)
    changed = x.clone()
    changed[..., 10] += 1
    moved = (layer(x, mask) != layer(changed, mask)).any(dim=1)[0].nonzero().flatten().tolist()
    after = 2 * (kernel - 1 if causal else (kernel - 1) // 2)  # an output sees as far back as its input acts ahead
    before = 2 * (kernel - 1) - after
    assert moved == list(range(10 - before, 10 + after + 1))


@torch.no_grad()
def test_padding_does_not_reach_the_sound() -> None:
    stacks = {
        "windowed": WindowedTransformer(CHANNELS, 9, HEADS, 2, 3, window_frames=WINDOW, dropout=0.1),
        "causal": CausalTransformer(CHANNELS, 9, HEADS, 2, 3, dropout=0.1),
    }
    x, mask = torch.randn(1, CHANNELS, 8), mask_of(5, 8)[:1]
    for name, stack in stacks.items():
        y, alone = stack.eval()(x, mask), stack(x[..., :5], mask[..., :5])
        torch.testing.assert_close(y[..., :5], alone, msg=name)
        assert not y[..., 5:].any()


@torch.no_grad()
def test_causal_stack_sees_no_later_frame() -> None:
    stack = CausalTransformer(CHANNELS, 9, HEADS, 2, 5, dropout=0.1, speaker_channels=3).eval()
    x, mask, speaker = torch.randn(1, CHANNELS, 8), torch.ones(1, 1, 8), torch.randn(1, 3, 8)
    torch.testing.assert_close(stack(x, mask, speaker)[..., :5], stack(x[..., :5], mask[..., :5], speaker[..., :5]))


@torch.no_grad()
def test_constant_speaker_is_the_same_in_each_frame() -> None:
    stack = CausalTransformer(CHANNELS, 9, HEADS, 2, 5, dropout=0.1, speaker_channels=3).eval()
    x, mask, speaker = torch.randn(2, CHANNELS, 8), mask_of(5, 8), torch.randn(2, 3, 1)
    torch.testing.assert_close(stack(x, mask, speaker), stack(x, mask, speaker.expand(-1, -1, 8)))
    assert not torch.allclose(stack(x, mask, speaker), stack(x, mask, -speaker))


def test_keys_begin_as_copies_of_queries_in_causal_stacks() -> None:
    for layer in CausalTransformer(CHANNELS, 9, HEADS, 2, 3, dropout=0.1).self_attn_layers:
        assert torch.equal(layer.conv_k.weight, layer.conv_q.weight)
        assert layer.conv_k.weight is not layer.conv_q.weight


@pytest.mark.parametrize("part", ["attention", "feed forward", "residual"])
def test_dropout_acts_in_training_only(part: str) -> None:
    stack = WindowedTransformer(CHANNELS, 9, HEADS, 1, 3, window_frames=WINDOW, dropout=0.5).eval()
    parts = {"attention": stack.attn_layers[0], "feed forward": stack.ffn_layers[0], "residual": stack}
    x, mask = torch.randn(1, CHANNELS, 6), torch.ones(1, 1, 6)
    calm = stack(x, mask)
    torch.testing.assert_close(stack(x, mask), calm, rtol=0, atol=0)
    parts[part].dropout.train()
    assert not torch.allclose(stack(x, mask), calm)


def test_channel_norm() -> None:
    x, layer = torch.randn(2, 5, 3), ChannelNorm(5)
    y = layer(x)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(2, 3))
    torch.testing.assert_close(y.var(dim=1, unbiased=False), torch.ones(2, 3), rtol=1e-3, atol=0)
    torch.nn.init.constant_(layer.gamma, 2.0)
    torch.nn.init.constant_(layer.beta, 3.0)
    torch.testing.assert_close(layer(x), 2 * y + 3)
