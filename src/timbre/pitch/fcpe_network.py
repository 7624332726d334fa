"""The FCPE network: convolutions over the mel spectrogram, in the package's and in so-vits-svc's form.

Conformer modules (A. Gulati and others, Interspeech 2020) without the feed-forward halves, each optionally after
FAVOR+ linear attention (K. Choromanski and others, ICLR 2021); see pipeline spec 2.10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.errors import WeightsError
from timbre.nn.channels_last import ChannelsLastConv, order_weights

_HEADS = 8
_GROUPS = 4
_FEATURE_EPS = 1e-4
_BLOCK_FRAMES = 4096


@dataclass(frozen=True)
class FcpeSizes:
    """The sizes of the network; the defaults are those of the package's weights."""

    n_mels: int = 128
    width: int = 512
    n_layers: int = 6
    n_bins: int = 360
    kernel: int = 31
    attention_features: int = 0  # random features of FAVOR+, 0 for no attention
    attention_width: int = 512  # of all heads
    attention_bias: bool = True
    normalise_queries: bool = False


class ConvolutionModule(nn.Module):
    """Pointwise, gated, depthwise and pointwise convolution after layer norm."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = ChannelsLastConv(width, 4 * width, 1)
        self.depthwise = ChannelsLastConv(2 * width, 2 * width, kernel, padding=kernel // 2, groups=2 * width)
        self.project = ChannelsLastConv(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        x = functional.glu(self.expand(self.norm(x)), dim=-1)
        out: Tensor = self.project(functional.silu(self.depthwise(x), inplace=True))
        return out


class LinearAttention(nn.Module):
    """FAVOR+ attention over the whole sound; its cost grows with T, not with T squared."""

    projection: Tensor

    def __init__(self, sizes: FcpeSizes) -> None:
        super().__init__()
        inner, bias = sizes.attention_width, sizes.attention_bias
        self.to_q = nn.Linear(sizes.width, inner, bias=bias)
        self.to_k = nn.Linear(sizes.width, inner, bias=bias)
        self.to_v = nn.Linear(sizes.width, inner, bias=bias)
        self.to_out = nn.Linear(inner, sizes.width, bias=bias)
        self.register_buffer("projection", torch.zeros(sizes.attention_features, inner // _HEADS))
        self._normalise = sizes.normalise_queries

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        # [B, T, heads * d] -> [B, heads, T, d]
        q, k, v = (to(x).unflatten(-1, (_HEADS, -1)).transpose(1, 2) for to in (self.to_q, self.to_k, self.to_v))
        if self._normalise:
            q, k = (part / (part.norm(dim=-1, keepdim=True) + 1e-8) for part in (q, k))
        q, k = self._query_features(q), self._key_features(k)
        context = k.transpose(-1, -2) @ v
        weight = q @ k.sum(dim=-2)[..., None]
        out: Tensor = self.to_out(((q @ context) / (weight + 1e-8)).transpose(1, 2).flatten(2))
        return out

    def _exponents(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scale = x.shape[-1] ** -0.25
        return (scale * x) @ self.projection.T, x.square().sum(dim=-1, keepdim=True) / 2 * scale**2

    def _query_features(self, x: Tensor) -> Tensor:
        projected, half_norm = self._exponents(x)
        exponent = projected - half_norm - projected.amax(dim=-1, keepdim=True)
        return torch.mul(exponent.exp() + _FEATURE_EPS, self.projection.shape[0] ** -0.5)

    def _key_features(self, x: Tensor) -> Tensor:
        # A historic asymmetry of the original: the constant is inside the exponential and no maximum is taken off.
        projected, half_norm = self._exponents(x)
        return torch.mul((projected - half_norm + _FEATURE_EPS).exp(), self.projection.shape[0] ** -0.5)


class FcpeLayer(nn.Module):
    """Attention, if any, and convolution, each added to its input."""

    def __init__(self, sizes: FcpeSizes) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes.width) if sizes.attention_features else None
        self.attention = LinearAttention(sizes) if sizes.attention_features else None
        self.convolution = ConvolutionModule(sizes.width, sizes.kernel)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        if self.attention is not None and self.norm is not None:
            x = x + self.attention(self.norm(x))
        convolved: Tensor = self.convolution(x)
        return convolved.add_(x)


class FcpeNetwork(nn.Module):
    """Log-mel spectrogram -> salience of 360 pitch bins per 10 ms."""

    cent_table: Tensor

    def __init__(self, sizes: FcpeSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.stack = nn.Sequential(
            nn.Conv1d(sizes.n_mels, sizes.width, 3, padding=1),
            nn.GroupNorm(_GROUPS, sizes.width),
            nn.LeakyReLU(),
            nn.Conv1d(sizes.width, sizes.width, 3, padding=1),
        )
        self.layers = nn.ModuleList(FcpeLayer(sizes) for _ in range(sizes.n_layers))
        self.norm = nn.LayerNorm(sizes.width)
        self.output = nn.Linear(sizes.width, sizes.n_bins)
        self.register_buffer("cent_table", torch.zeros(sizes.n_bins))

    def forward(self, log_mel: Tensor, block_frames: int = _BLOCK_FRAMES) -> Tensor:
        """[B, T, n_mels] -> salience within 0..1 [B, T, 360].

        Without attention the layers run on blocks of `block_frames` with all the context they see, so that the
        memory stays small and the result does not depend on the blocks; with attention they run whole.
        """
        x = self.stack(log_mel.transpose(1, 2)).transpose(1, 2)  # group norm hears the whole sound
        if self.sizes.attention_features:
            return self._layers_and_output(x)
        reach, parts = self.sizes.n_layers * (self.sizes.kernel // 2), []
        for start in range(0, x.shape[1], block_frames):
            first = max(0, start - reach)
            part = self._layers_and_output(x[:, first : start + block_frames + reach])
            parts.append(part[:, start - first : start - first + block_frames])
        return torch.cat(parts, dim=1)

    def _layers_and_output(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return torch.sigmoid(self.output(self.norm(x)))


_RENAMES = (
    (r"^(?:net\.encoder_layers|decoder\._layers)\.", "layers."),
    (r"^input_stack\.", "stack."),
    (r"^(?:output_proj|dense_out)\.", "output."),
    (r"\.conformer\.net\.0\.", ".convolution.norm."),
    (r"\.conformer\.net\.2\.", ".convolution.expand."),
    (r"\.conformer\.net\.4\.conv\.", ".convolution.depthwise."),
    (r"\.conformer\.net\.6\.", ".convolution.project."),
    (r"\.attn\.fast_attention\.projection_matrix$", ".attention.projection"),
    (r"\.attn\.", ".attention."),
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
)


def build_fcpe(state: Mapping[str, Tensor], *, normalise_queries: bool = False) -> FcpeNetwork:
    """Build the network whose sizes `state` shows, of either layout, with its weights, for evaluation.

    Raises WeightsError when these are not FCPE weights.
    """
    try:
        renamed = _renamed(state)
        network = FcpeNetwork(_sizes_of(renamed, normalise_queries))
        network.load_state_dict(renamed)
    except (KeyError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise WeightsError(
            "the weights are not those of an FCPE network; use torchfcpe's or a so-vits fcpe.pt"
        ) from error
    order_weights(network)
    return network.eval().requires_grad_(False)


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate the keys of both layouts to ours, fold the weight norm and drop what is never used."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        for pattern, replacement in _RENAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value.float()
    gain, direction = renamed.pop("output.weight_g"), renamed.pop("output.weight_v")
    renamed["output.weight"] = gain * direction / direction.norm(dim=1, keepdim=True)
    renamed.pop("gaussian_blurred_cent_mask", None)
    if not any(".attention." in key for key in renamed):
        renamed = {key: value for key, value in renamed.items() if not re.match(r"layers\.\d+\.norm\.", key)}
    return renamed


def _sizes_of(renamed: Mapping[str, Tensor], normalise_queries: bool) -> FcpeSizes:
    width, n_mels, _ = renamed["stack.0.weight"].shape
    projection = renamed.get("layers.0.attention.projection")
    to_q = renamed.get("layers.0.attention.to_q.weight")
    return FcpeSizes(
        n_mels=n_mels,
        width=width,
        n_layers=1 + max(int(key.split(".")[1]) for key in renamed if key.startswith("layers.")),
        n_bins=renamed["output.weight"].shape[0],
        kernel=renamed["layers.0.convolution.depthwise.weight"].shape[-1],
        attention_features=0 if projection is None else projection.shape[0],
        attention_width=0 if to_q is None else to_q.shape[0],
        attention_bias="layers.0.attention.to_q.bias" in renamed,
        normalise_queries=normalise_queries,
    )
