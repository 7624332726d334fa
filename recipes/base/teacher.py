"""The teacher: the encoder of a public English recogniser, which hears words far better than our data could teach.

Moonshine "tiny" (Useful Sensors, MIT licence; Jeffries et al. 2024, arXiv 2410.15608) is part of the npm package
@moonshine-ai/moonshine-js; put its `encoder_model.onnx` into CACHE/moonshine. Three convolutions, six transformer
layers with rotary positions; 16 kHz sound in, 288 features every 24 ms out. Its weights come in 8 bit and are used in
floating point here, so that a gradient passes through.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.base.onnx_weights import read_weights
from timbre.errors import MissingWeightsError

WEIGHTS = Path("moonshine") / "encoder_model.onnx"
WIDTH, N_LAYERS, N_HEADS, ROTARY_CHANNELS = 288, 6, 8, 32
HOP_SAMPLES = 384
FIRST_CENTRE_SAMPLES = 63 + 64 * 3 + 192  # half of each convolution's kernel, in steps of the ones before it
WORD_LAYERS = (3, 5)  # heard best: phones, words
MATRICES_PER_LAYER, FIRST_MATRIX, FIRST_DENSE = 47, 1493, 1537  # how the file numbers its matrices


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        self.query, self.key, self.value, self.dense = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.norm_after = nn.LayerNorm(WIDTH, bias=False)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        y = self.norm(x)
        query, key, value = (
            part(y).unflatten(-1, (N_HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        # Written out: the library's fused attention has a gradient three times slower for so few frames.
        scores = _rotated(query, cosine, sine) @ _rotated(key, cosine, sine).transpose(-1, -2)
        mixed = torch.softmax(scores * query.shape[-1] ** -0.5, dim=-1) @ value
        x = x + self.dense(mixed.transpose(1, 2).flatten(2))
        return x + self.narrow(functional.gelu(self.wide(self.norm_after(x))))  # type: ignore[no-any-return]


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate the first channels of [B, heads, T, D] in pairs by the angle of their position."""
    turned, kept = x[..., :ROTARY_CHANNELS], x[..., ROTARY_CHANNELS:]
    even, odd = turned[..., 0::2], turned[..., 1::2]
    pairs = torch.stack((even * cosine - odd * sine, odd * cosine + even * sine), dim=-1)
    return torch.cat((pairs.flatten(-2).to(x.dtype), kept), dim=-1)


class Teacher(nn.Module):
    """16 kHz wave [B, N] -> features [B, T, 288] of one of its layers (or the normalised output)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, WIDTH, 127, stride=64, bias=False)
        self.group_norm = nn.GroupNorm(1, WIDTH)
        self.second = nn.Conv1d(WIDTH, 2 * WIDTH, 7, stride=3)
        self.third = nn.Conv1d(2 * WIDTH, WIDTH, 3, stride=2)
        self.layers = nn.ModuleList([_Layer() for _ in range(N_LAYERS)])
        self.norm = nn.LayerNorm(WIDTH, bias=False)

    def forward(self, wave: Tensor) -> list[Tensor]:
        """Return the outputs of the six layers, the last one normalised."""
        x = self.group_norm(torch.tanh(self.first(wave.unsqueeze(1))))
        x = functional.gelu(self.third(functional.gelu(self.second(x)))).transpose(1, 2)
        frequency = 10_000.0 ** (-torch.arange(0, ROTARY_CHANNELS, 2, device=x.device) / ROTARY_CHANNELS)
        angle = torch.arange(x.shape[1], device=x.device).unsqueeze(1) * frequency
        outputs = []
        for layer in self.layers:
            x = layer(x, angle.cos(), angle.sin())
            outputs.append(x)
        outputs[-1] = self.norm(outputs[-1])
        return outputs


class HeardAlike:
    """How differently the teacher hears two sounds that should say the same."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    def __call__(self, made: Tensor, original: Tensor, n_copies: int) -> tuple[Tensor, Tensor]:
        """Compare 16 kHz sounds [B, N]; returns two mean squared errors, 1 for nothing in common.

        The first `n_copies` should be the same sound: all layers count. The others have another voice: of the layers
        that hear phones and words, what changes over time counts, as the voice is mostly in what stays.
        """
        with torch.autocast(made.device.type, torch.bfloat16):
            have = self.teacher(made)
            with torch.no_grad():
                want = self.teacher(original)
        same = [_error(h[:n_copies].float(), w[:n_copies].float()) for h, w in zip(have, want, strict=True)]
        said = [
            _error(_changes(have[layer][n_copies:].float()), _changes(want[layer][n_copies:].float()))
            for layer in WORD_LAYERS
        ]
        return torch.stack(same).mean(), torch.stack(said).mean()


def _changes(features: Tensor) -> Tensor:
    return features - features.mean(dim=1, keepdim=True)


def _error(have: Tensor, want: Tensor) -> Tensor:
    """Return the mean squared error [B, T, C] in units of each channel's variance."""
    variance = want.var(dim=(0, 1), keepdim=True)
    return ((have - want) ** 2 / (variance + 1e-3 * variance.mean())).mean()


def load_teacher(cache: Path, device: torch.device) -> Teacher:
    """Return the teacher whose weights lie in the folder `cache`; raises MissingWeightsError where they do not."""
    path = cache / WEIGHTS
    if not path.is_file():
        raise MissingWeightsError(
            f"{path} is missing; take {path.name} of the model 'tiny' out of the npm package @moonshine-ai/moonshine-js"
        )
    teacher = Teacher()
    teacher.load_state_dict(_state(path))
    return teacher.eval().requires_grad_(False).to(device)


def _state(path: Path) -> dict[str, Tensor]:
    """Return the teacher's state out of its ONNX file."""
    weights = {name: torch.tensor(value) for name, value in read_weights(path).items()}

    def conv(name: str) -> Tensor:
        quantized, scale, offset = (weights[f"{name}.weight_{part}"] for part in ("quantized", "scale", "zero_point"))
        return quantized * scale + offset

    def matrix(number: int) -> Tensor:
        name = f"onnx::MatMul_{number}"
        return ((weights[f"{name}_quantized"].float() - weights[f"{name}_zero_point"]) * weights[f"{name}_scale"]).T

    state = {
        "first.weight": conv("conv1"),
        "group_norm.weight": weights["onnx::Mul_1488"].flatten(),
        "group_norm.bias": weights["onnx::Add_1489"].flatten(),
        "second.weight": conv("conv2"),
        "second.bias": weights["conv2.bias"],
        "third.weight": conv("conv3"),
        "third.bias": weights["conv3.bias"],
        "norm.weight": weights["layer_norm.weight"],
    }
    for layer in range(N_LAYERS):
        state[f"layers.{layer}.norm.weight"] = weights[f"layers.{layer}.input_layernorm.weight"]
        state[f"layers.{layer}.norm_after.weight"] = weights[f"layers.{layer}.post_attention_layernorm.weight"]
        for offset, part in enumerate(("query", "key", "value")):
            state[f"layers.{layer}.{part}.weight"] = matrix(FIRST_MATRIX + MATRICES_PER_LAYER * layer + offset)
        for offset, part in enumerate(("dense", "wide", "narrow")):
            state[f"layers.{layer}.{part}.weight"] = matrix(FIRST_DENSE + MATRICES_PER_LAYER * layer + offset)
        for part, name in (("wide", "fc1"), ("narrow", "fc2")):
            state[f"layers.{layer}.{part}.bias"] = weights[f"layers.{layer}.mlp.{name}.bias"]
    return state
