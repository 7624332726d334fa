"""The encoder of Whisper (A. Radford and others, 2022), and reading its weights (pipeline spec 1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.content.transformer import EncoderLayer, FeedForward, SelfAttention
from timbre.weights.foreign import incomplete_refused, translated
from timbre.weights.hugging_face import settings_beside, weights_file
from timbre.weights.identify import FileKind, network_state, require_kind
from timbre.weights.restricted import read_checkpoint

_HEAD_WIDTH = 64
_LAYER = r"(?:model\.)?encoder\.(?:blocks|layers)\.(\d+)\."
_LAYER_RENAMES = {
    r"(?:attn\.query|self_attn\.q_proj)\.": "attention.query.",
    r"(?:attn\.key|self_attn\.k_proj)\.": "attention.key.",
    r"(?:attn\.value|self_attn\.v_proj)\.": "attention.value.",
    r"(?:attn\.out|self_attn\.out_proj)\.": "attention.output.",
    r"(?:attn_ln|self_attn_layer_norm)\.": "attention_norm.",
    r"(?:mlp\.0|fc1)\.": "feed_forward.expand.",
    r"(?:mlp\.2|fc2)\.": "feed_forward.contract.",
    r"(?:mlp_ln|final_layer_norm)\.": "feed_forward_norm.",
}
# Names of OpenAI's files and of Hugging Face's folders.
_RENAMES = {
    r"(?:model\.)?encoder\.(conv[12])\.": r"\1.",
    r"(?:model\.)?encoder\.(?:positional_embedding|embed_positions\.weight)$": "positions",
    r"(?:model\.)?encoder\.(?:ln_post|layer_norm)\.": "norm.",
    **{_LAYER + theirs: rf"layers.\1.{ours}" for theirs, ours in _LAYER_RENAMES.items()},
}


@dataclass(frozen=True)
class WhisperSizes:
    """The sizes of the encoder; `n_frames` of 20 ms make up the sound it always hears."""

    n_mels: int
    n_frames: int
    width: int
    n_layers: int
    heads: int
    inner_width: int


class WhisperNetwork(nn.Module):
    """Log-mel frames of 10 ms -> features of 20 ms frames."""

    def __init__(self, sizes: WhisperSizes) -> None:
        super().__init__()
        self.sizes = sizes
        width = sizes.width
        self.conv1 = nn.Conv1d(sizes.n_mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.zeros(sizes.n_frames, width))
        self.layers = nn.ModuleList(
            EncoderLayer(
                SelfAttention(width, sizes.heads, width // sizes.heads),
                FeedForward(width, sizes.inner_width),
                width,
                norm_first=True,
            )
            for _ in range(sizes.n_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, log_mel: Tensor) -> Tensor:
        """[B, n_mels, 2 n_frames] -> [B, n_frames, width]."""
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(log_mel)))).transpose(1, 2) + self.positions
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.norm(x)
        return out


def read_whisper(path: Path) -> WhisperNetwork:
    """Read the encoder from OpenAI's file, or from a Hugging Face folder or the weights in it, for evaluation.

    Raises MissingWeightsError when there is no such file, WeightsError when it is damaged or holds something else.
    """
    file = weights_file(path)
    checkpoint = read_checkpoint(file)
    require_kind(checkpoint, (FileKind.WHISPER,), file)
    with incomplete_refused(file.name, "Whisper"):
        dims = checkpoint.data.get("dims", {})
        heads = dims.get("n_audio_head") or settings_beside(file).get("encoder_attention_heads")
        ours = _own_names(network_state(checkpoint.data))
        with torch.device("meta"):
            network = WhisperNetwork(_sizes_of(ours, heads))
        network.load_state_dict(ours, assign=True)
    return network.eval().requires_grad_(False)


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate the names of the encoder, as float32; its keys have no bias, which is a bias of zero."""
    names = {key: translated(key, _RENAMES) for key in state}
    ours = {name: state[key].float() for key, name in names.items() if name is not None}
    for key in [key for key in ours if key.endswith("attention.query.bias")]:
        ours[key.replace("query", "key")] = torch.zeros_like(ours[key])
    return ours


def _sizes_of(state: Mapping[str, Tensor], heads: Any) -> WhisperSizes:
    width, n_mels, _ = state["conv1.weight"].shape
    heads = heads or width // _HEAD_WIDTH
    if heads < 1 or width % heads:
        raise ValueError("the width is no multiple of the heads")
    return WhisperSizes(
        n_mels=n_mels,
        n_frames=len(state["positions"]),
        width=width,
        n_layers=len({key.split(".")[1] for key in state if key.startswith("layers.")}),
        heads=heads,
        inner_width=len(state["layers.0.feed_forward.expand.weight"]),
    )
