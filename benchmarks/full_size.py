"""Checkpoints of so-vits-svc in full size with random weights, for benchmarks and slow tests."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from timbre.config.diffusion import DiffusionShape
from timbre.config.vits import VitsShape
from timbre.config.vits_template import HeardContent, new_config
from timbre.config.vocoder import VocoderShape
from timbre.models.diffusion.state import state_for_file
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.models.vits.state import legacy_state
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.weight_norm import legacy_name
from timbre.pitch.rmvpe_network import RmvpeNetwork, RmvpeSizes
from timbre.vocoder.nsf_hifigan import NsfHifigan

RATE, HOP = 44_100, 512
SPEAKERS = {"alice": 0}
MODEL: dict[str, Any] = new_config(HeardContent("vec768l12", 768, RATE, HOP, SPEAKERS, vol_aug=False))["model"]
FORMS: dict[str, dict[str, Any]] = {
    "4.1": {},
    "volume": {"vol_embedding": True},
    "4.0": {"ssl_dim": 256, "gin_channels": 256, "speech_encoder": "vec256l9"},
    "tiny": {
        "upsample_initial_channel": 400,
        "filter_channels": 512,
        "use_depthwise_conv": True,
        "flow_share_parameter": True,
    },
    "snake": {"vocoder_name": "nsf-snake-hifigan"},
    "transformer flow": {"use_transformer_flow": True, "flow_share_parameter": True},
}
DIFFUSION: dict[str, Any] = {
    "data": {
        "encoder": "vec768l12",
        "encoder_out_channels": 768,
        "block_size": HOP,
        "sampling_rate": RATE,
        "unit_interpolate_mode": "nearest",
    },
    "model": {"n_layers": 20, "n_chans": 512, "n_hidden": 256, "timesteps": 1000, "n_spk": 1, "use_pitch_aug": True},
    "infer": {"speedup": 10, "method": "dpm-solver++"},
    "spk": SPEAKERS,
}
VOCODER: dict[str, Any] = {
    "sampling_rate": RATE,
    "num_mels": 128,
    "n_fft": 2048,
    "win_size": 2048,
    "hop_size": HOP,
    "fmin": 40,
    "fmax": 16_000,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "upsample_rates": [8, 8, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4, 4],
    "upsample_initial_channel": 512,
    "resblock": "1",
}


def make_weights(root: Path) -> None:
    """Write encoder, pitch tracker, vocoder and diffusion model into the folder `root`."""
    vocoder = root / "nsf_hifigan"
    vocoder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save({"args": None, "cfg": {"model": {}}, "model": hubert_base()}, root / "checkpoint_best_legacy_500.pt")
        generator = NsfHifigan(VocoderShape.from_config(VOCODER)).generator.state_dict()
        torch.save({"generator": {legacy_name(key): value for key, value in generator.items()}}, vocoder / "model")
        unit2mel = Unit2Mel(DiffusionShape.from_config(DIFFUSION), 128)
        torch.save({"global_step": 0, "model": state_for_file(unit2mel)}, root / "model_0.pt")
        torch.save({"model": RmvpeNetwork(RmvpeSizes()).state_dict()}, root / "rmvpe.pt")
    (vocoder / "config.json").write_text(json.dumps(VOCODER), encoding="utf-8")
    (root / "config.yaml").write_text(yaml.safe_dump(DIFFUSION), encoding="utf-8")


def hubert_base() -> dict[str, Tensor]:
    """Return a HuBERT base of ContentVec's shape with random weights by fairseq's names."""
    state: dict[str, Tensor] = {}

    def module(name: str, *shape: int, bias: bool = True) -> None:
        many = len(shape) > 1
        state[f"{name}.weight"] = torch.randn(shape) / math.sqrt(math.prod(shape[1:])) if many else torch.ones(shape)
        if bias:
            state[f"{name}.bias"] = torch.zeros(shape[0])

    for index, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        module(f"feature_extractor.conv_layers.{index}.0", 512, 512 if index else 1, kernel, bias=False)
    module("feature_extractor.conv_layers.0.2", 512)
    module("layer_norm", 512)
    module("post_extract_proj", 768, 512)
    state["encoder.pos_conv.0.weight_g"] = torch.ones(1, 1, 128)
    state["encoder.pos_conv.0.weight_v"] = torch.randn(768, 48, 128)
    state["encoder.pos_conv.0.bias"] = torch.zeros(768)
    module("encoder.layer_norm", 768)
    module("final_proj", 256, 768)
    for layer in range(12):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            module(f"encoder.layers.{layer}.self_attn.{name}", 768, 768)
        module(f"encoder.layers.{layer}.fc1", 3072, 768)
        module(f"encoder.layers.{layer}.fc2", 768, 3072)
        module(f"encoder.layers.{layer}.self_attn_layer_norm", 768)
        module(f"encoder.layers.{layer}.final_layer_norm", 768)
    return state


def save_model(folder: Path, changes: dict[str, Any]) -> Path:
    """Write G_100.pth and config.json of one form; the flow gets weights, which are zero in a new one."""
    config = {
        "train": {},
        "data": {"sampling_rate": RATE, "hop_length": HOP, "filter_length": 2048, "win_length": 2048},
        "model": deepcopy(MODEL) | changes,
        "spk": SPEAKERS,
    }
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Synthesizer(VitsShape.from_config(config))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if ".post." in name:
                    parameter.normal_(0, 0.02)
    path = folder / "G_100.pth"
    torch.save({"model": legacy_state(model), "iteration": 1, "optimizer": None, "learning_rate": 1e-4}, path)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path
