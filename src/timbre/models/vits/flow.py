"""The flow between the latents of the two encoders (models spec 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from timbre.config.vits import VitsShape
from timbre.nn.coupling import Coupling, Flip
from timbre.nn.transformer import CausalTransformer
from timbre.nn.wavenet import GatedConvStack

_N_CONVOLUTIONAL_COUPLINGS = 4
_TRANSFORMER_KERNEL_FRAMES = 5


class Flow(nn.Module):
    """Couplings with a flip after each: forward from the generator's latent to the content encoder's, reverse back.

    The couplings may share one network, which then is in the state dict under `wn` and in every coupling.
    """

    def __init__(self, shape: VitsShape) -> None:
        super().__init__()
        n_couplings = shape.n_flow_layer if shape.use_transformer_flow else _N_CONVOLUTIONAL_COUPLINGS
        shared = _network(shape) if shape.flow_share_parameter else None
        self.flows = nn.ModuleList()
        for _ in range(n_couplings):
            network = _network(shape) if shared is None else shared
            self.flows.extend((Coupling(shape.inter_channels, shape.hidden_channels, network), Flip()))
        if shared is not None:
            self.wn = shared

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor, *, reverse: bool = False) -> Tensor:
        """[B, I, T], mask [B, 1, T] and speaker [B, G, 1 or T] -> [B, I, T]."""
        for layer in reversed(self.flows) if reverse else self.flows:
            x = layer(x, mask, speaker, reverse=reverse)
        return x


def _network(shape: VitsShape) -> nn.Module:
    """Make what one coupling learns; `n_flow_layer` counts its layers here, but couplings with a transformer."""
    if not shape.use_transformer_flow:
        return GatedConvStack(
            shape.hidden_channels, shape.n_flow_layer, shape.gin_channels, depthwise=shape.use_depthwise_conv
        )
    return CausalTransformer(
        shape.hidden_channels,
        shape.filter_channels,
        shape.n_heads,
        shape.n_layers_trans_flow,
        _TRANSFORMER_KERNEL_FRAMES,
        dropout=shape.p_dropout,
        speaker_channels=shape.gin_channels,
    )
