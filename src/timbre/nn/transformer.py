"""The two post-norm transformer stacks of so-vits-svc (models spec 2.6 and 2.7)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from timbre.nn.channel_norm import ChannelNorm
from timbre.nn.self_attention import SelfAttention
from timbre.nn.wavenet import gated


class FeedForward(nn.Module):
    """Two convolutions with a ReLU between them; causal ones see no later frame."""

    def __init__(
        self, channels: int, inner_channels: int, kernel_frames: int, *, causal: bool = False, dropout: float
    ) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(channels, inner_channels, kernel_frames)
        self.conv_2 = nn.Conv1d(inner_channels, channels, kernel_frames)
        self.dropout = nn.Dropout(dropout)
        before = kernel_frames - 1 if causal else (kernel_frames - 1) // 2
        self._padding = (before, kernel_frames - 1 - before)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, C, T] and mask [B, 1, T] -> [B, C, T]."""
        inner = self.dropout(functional.relu(self.conv_1(functional.pad(x * mask, self._padding))))
        y: Tensor = self.conv_2(functional.pad(inner * mask, self._padding))
        return y * mask


class WindowedTransformer(nn.Module):
    """Layers that see the whole sound and know how far frames near each other are apart."""

    def __init__(
        self,
        channels: int,
        inner_channels: int,
        n_heads: int,
        n_layers: int,
        kernel_frames: int,
        *,
        window_frames: int,
        dropout: float,
    ) -> None:
        super().__init__()
        layers = range(n_layers)
        self.attn_layers = nn.ModuleList(
            SelfAttention(channels, n_heads, window_frames=window_frames, dropout=dropout) for _ in layers
        )
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(channels) for _ in layers)
        self.ffn_layers = nn.ModuleList(
            FeedForward(channels, inner_channels, kernel_frames, dropout=dropout) for _ in layers
        )
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(channels) for _ in layers)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, C, T] and mask [B, 1, T] -> [B, C, T]."""
        x = x * mask
        for attention, norm_1, feed_forward, norm_2 in zip(
            self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True
        ):
            x = norm_1(x + self.dropout(attention(x, mask)))
            x = norm_2(x + self.dropout(feed_forward(x, mask)))
        return x * mask


class CausalTransformer(nn.Module):
    """Layers in which each frame sees itself and earlier frames; with `speaker_channels` each hears a speaker first.

    Padding is expected at the end, where no earlier frame sees it.
    """

    def __init__(
        self,
        channels: int,
        inner_channels: int,
        n_heads: int,
        n_layers: int,
        kernel_frames: int,
        *,
        dropout: float,
        speaker_channels: int | None = None,
    ) -> None:
        super().__init__()
        layers = range(n_layers)
        self._hears_speaker = speaker_channels is not None
        if speaker_channels is not None:
            self.cond_pre = nn.Conv1d(channels, 2 * channels, 1)
            self.cond_layer = weight_norm(nn.Conv1d(speaker_channels, 2 * channels * n_layers, 1))
        self.self_attn_layers = nn.ModuleList(_causal_attention(channels, n_heads, dropout) for _ in layers)
        self.norm_layers_0 = nn.ModuleList(ChannelNorm(channels) for _ in layers)
        self.ffn_layers = nn.ModuleList(
            FeedForward(channels, inner_channels, kernel_frames, causal=True, dropout=dropout) for _ in layers
        )
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(channels) for _ in layers)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor | None = None) -> Tensor:
        """[B, C, T], mask [B, 1, T] and, where it was asked for, speaker [B, G, 1 or T] -> [B, C, T]."""
        n_layers = len(self.self_attn_layers)
        conditions = self.cond_layer(speaker).chunk(n_layers, dim=1) if self._hears_speaker else [None] * n_layers
        x = x * mask
        for condition, attention, norm_0, feed_forward, norm_1 in zip(
            conditions, self.self_attn_layers, self.norm_layers_0, self.ffn_layers, self.norm_layers_1, strict=True
        ):
            if condition is not None:
                x = gated(self.cond_pre(x) + condition)
            x = norm_0(x + self.dropout(attention(x)))
            x = norm_1(x + self.dropout(feed_forward(x, mask)))
        return x * mask


def _causal_attention(channels: int, n_heads: int, dropout: float) -> SelfAttention:
    attention = SelfAttention(channels, n_heads, causal=True, dropout=dropout)
    attention.conv_k.load_state_dict(attention.conv_q.state_dict())
    return attention
