"""The files of a so-vits-svc user in small: every kind, with random weights, in the original layouts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from timbre.config.diffusion import DiffusionShape
from timbre.config.vits import VitsShape
from timbre.config.vocoder import VocoderShape
from timbre.models.diffusion.state import state_for_file
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.models.vits.state import legacy_state
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.weight_norm import legacy_name
from timbre.vocoder.nsf_hifigan import NsfHifigan

RATE, HOP = 16_000, 128
WIDTH = 256  # of the features of vec256l9
N_MELS = 20
ENCODER_FILE = "checkpoint_best_legacy_500.pt"

CONFIG: dict[str, Any] = {
    "train": {},
    "data": {
        "sampling_rate": RATE,
        "hop_length": HOP,
        "filter_length": 512,
        "win_length": 512,
        "unit_interpolate_mode": "nearest",
    },
    "model": {
        "inter_channels": 4,
        "hidden_channels": 8,
        "filter_channels": 10,
        "n_heads": 2,
        "n_layers": 1,
        "kernel_size": 3,
        "p_dropout": 0.1,
        "resblock": "1",
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]],
        "upsample_rates": [8, 4, 4],
        "upsample_initial_channel": 16,
        "upsample_kernel_sizes": [16, 8, 8],
        "gin_channels": 5,
        "ssl_dim": WIDTH,
        "n_speakers": 2,
        "speech_encoder": "vec256l9",
        "vol_embedding": False,
    },
    "spk": {"alice": 0, "björn": 1},
}
DIFFUSION: dict[str, Any] = {
    "data": {
        "encoder": "vec256l9",
        "encoder_out_channels": WIDTH,
        "block_size": HOP,
        "sampling_rate": RATE,
        "unit_interpolate_mode": "nearest",
    },
    "model": {"n_layers": 2, "n_chans": 8, "n_hidden": 6, "timesteps": 100, "n_spk": 2, "use_pitch_aug": True},
    "vocoder": {"type": "nsf-hifigan"},
    "infer": {"speedup": 10, "method": "unipc"},
    "spk": {"alice": 0, "björn": 1},
}
VOCODER: dict[str, Any] = {
    "sampling_rate": RATE,
    "num_mels": N_MELS,
    "n_fft": 512,
    "win_size": 512,
    "hop_size": HOP,
    "fmin": 20,
    "fmax": 8000,
    "upsample_rates": [8, 4, 4],
    "upsample_kernel_sizes": [16, 8, 8],
    "upsample_initial_channel": 16,
    "resblock": "1",
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]],
}


@dataclass(frozen=True)
class SovitsTree:
    """A so-vits-svc tree on disk."""

    root: Path

    @property
    def model(self) -> Path:
        return self.root / "logs" / "44k" / "G_800.pth"

    @property
    def config(self) -> Path:
        return self.model.with_name("config.json")

    @property
    def diffusion(self) -> Path:
        return self.model.parent / "diffusion" / "model_100.pt"

    @property
    def diffusion_config(self) -> Path:
        return self.diffusion.with_name("config.yaml")

    @property
    def kmeans(self) -> Path:
        return self.model.with_name("kmeans_10000.pt")

    @property
    def pretrain(self) -> Path:
        return self.root / "pretrain"

    @property
    def vocoder(self) -> Path:
        return self.pretrain / "nsf_hifigan"

    @property
    def encoder(self) -> Path:
        return self.pretrain / ENCODER_FILE


def make_tree(root: Path) -> SovitsTree:
    """Write everything that a user of so-vits-svc has, in small."""
    tree = SovitsTree(root)
    for folder in (tree.diffusion.parent, tree.vocoder):
        folder.mkdir(parents=True)
    save_model(tree.model, CONFIG)
    unit2mel = randomise(Unit2Mel(DiffusionShape.from_config(DIFFUSION), N_MELS))
    torch.save({"global_step": 100, "model": state_for_file(unit2mel)}, tree.diffusion)
    tree.diffusion_config.write_text(yaml.safe_dump(DIFFUSION), encoding="utf-8")
    generator = randomise(NsfHifigan(VocoderShape.from_config(VOCODER))).generator.state_dict()
    torch.save({"generator": {legacy_name(key): value for key, value in generator.items()}}, tree.vocoder / "model")
    (tree.vocoder / "config.json").write_text(json.dumps(VOCODER), encoding="utf-8")
    centres = torch.randn(12, WIDTH, generator=torch.Generator().manual_seed(3)).numpy()
    entry = {"n_features_in_": WIDTH, "_n_threads": 1, "cluster_centers_": centres}
    torch.save({"alice": entry, "björn": entry}, tree.kmeans)
    save_encoder(tree.encoder)
    return tree


def save_model(path: Path, config: dict[str, Any], seed: int = 0) -> None:
    """Write a G_*.pth and its config.json beside it."""
    save_generator(path, config, seed)
    path.with_name("config.json").write_text(json.dumps(config), encoding="utf-8")


def save_generator(path: Path, config: dict[str, Any], seed: int = 0) -> None:
    """Write a G_*.pth of the shape that `config` tells."""
    model = randomise(Synthesizer(VitsShape.from_config(config)), seed)
    content = {"model": legacy_state(model), "iteration": 3, "optimizer": None, "learning_rate": 1e-4}
    torch.save(content, path)


def save_encoder(path: Path, width: int = 12, projected: int = WIDTH, n_layers: int = 9) -> None:
    """Write a small HuBERT in fairseq's layout, with random weights."""
    generator = torch.Generator().manual_seed(5)
    state: dict[str, Tensor] = {}

    def module(name: str, *shape: int, bias: bool = True) -> None:
        if len(shape) == 1:  # a norm
            state[f"{name}.weight"] = 1 + 0.2 * torch.randn(shape, generator=generator)
        else:
            state[f"{name}.weight"] = math.prod(shape[1:]) ** -0.5 * torch.randn(shape, generator=generator)
        if bias:
            state[f"{name}.bias"] = 0.1 * torch.randn(shape[:1], generator=generator)

    for index, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        module(f"feature_extractor.conv_layers.{index}.0", 8, 8 if index else 1, kernel, bias=False)
    module("feature_extractor.conv_layers.0.2", 8)
    module("layer_norm", 8)
    module("post_extract_proj", width, 8)
    state["encoder.pos_conv.0.weight_g"] = torch.ones(1, 1, 8)
    state["encoder.pos_conv.0.weight_v"] = torch.randn(width, width // 2, 8, generator=generator)
    state["encoder.pos_conv.0.bias"] = torch.zeros(width)
    module("encoder.layer_norm", width)
    module("final_proj", projected, width)
    for layer in range(n_layers):
        start = f"encoder.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            module(f"{start}self_attn.{name}", width, width)
        module(f"{start}fc1", 20, width)
        module(f"{start}fc2", width, 20)
        module(f"{start}self_attn_layer_norm", width)
        module(f"{start}final_layer_norm", width)
    settings = {"model": {"encoder_attention_heads": 3, "layer_norm_first": False}}
    torch.save({"args": None, "cfg": settings, "model": state}, path)


def randomise(module: nn.Module, seed: int = 0) -> Any:
    """Give all weights random values under which every path matters and the sound follows the pitch, unclipped."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(_scale(name, parameter) * torch.randn(parameter.shape, generator=generator))
    return module


def _scale(name: str, parameter: Tensor) -> float:
    if name.endswith("gamma"):
        return 1.0
    if name.endswith("original0"):  # the gain of a weight norm
        return 2.0 if "conv_pre" in name else 0.5
    if parameter.dim() < 2:
        return 0.02
    if "l_linear" in name:  # the harmonics are weak before it
        return 3.0
    return float(parameter[0].numel() ** -0.5)
