"""Prediction of a melody from content (models spec 5.3)."""

from __future__ import annotations

from torch import Tensor, nn

from timbre.config.vits import VitsShape
from timbre.nn.transformer import CausalTransformer


class F0Decoder(nn.Module):
    """Content, speaker and the shape of the given melody -> lf0; each frame sees at most two later frames."""

    def __init__(self, shape: VitsShape) -> None:
        super().__init__()
        hidden = shape.hidden_channels
        self.prenet = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.decoder = CausalTransformer(
            hidden, shape.filter_channels, shape.n_heads, shape.n_layers, shape.kernel_size, dropout=shape.p_dropout
        )
        self.proj = nn.Conv1d(hidden, 1, 1)
        self.f0_prenet = nn.Conv1d(1, hidden, 3, padding=1)
        self.cond = nn.Conv1d(shape.gin_channels, hidden, 1)

    def forward(self, x: Tensor, normalised_lf0: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """[B, H, T], lf0 and mask [B, 1, T], speaker [B, G, 1 or T] -> lf0 [B, 1, T]; no gradient flows into `x`."""
        x = x.detach() + self.cond(speaker) + self.f0_prenet(normalised_lf0)
        lf0: Tensor = self.proj(self.decoder(self.prenet(x) * mask, mask)) * mask
        return lf0
