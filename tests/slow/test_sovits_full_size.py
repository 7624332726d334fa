"""Full-size checkpoints of every form, with random weights, and real phrases: imported, converted, joined."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

import timbre
from tests.toys_sovits import VOCODER
from timbre.cli.main import main
from timbre.config.diffusion import DiffusionShape
from timbre.config.vits import VitsShape
from timbre.config.vocoder import VocoderShape
from timbre.models.diffusion.state import state_for_file
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.models.vits.state import legacy_state
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.weight_norm import legacy_name
from timbre.vocoder.nsf_hifigan import NsfHifigan

pytestmark = pytest.mark.slow

RATE, HOP = 44_100, 512
MODEL: dict[str, Any] = {
    "inter_channels": 192,
    "hidden_channels": 192,
    "filter_channels": 768,
    "n_heads": 2,
    "n_layers": 6,
    "kernel_size": 3,
    "p_dropout": 0.1,
    "resblock": "1",
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "upsample_rates": [8, 8, 2, 2, 2],
    "upsample_initial_channel": 512,
    "upsample_kernel_sizes": [16, 16, 4, 4, 4],
    "gin_channels": 768,
    "ssl_dim": 768,
    "n_speakers": 1,
    "speech_encoder": "vec768l12",
}
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
    "spk": {"alice": 0},
}
FULL_VOCODER = VOCODER | {
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
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder, a vocoder and a diffusion model of full size."""
    root = tmp_path_factory.mktemp("full size")
    vocoder = root / "nsf_hifigan"
    vocoder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save({"args": None, "cfg": {"model": {}}, "model": hubert_base()}, root / "checkpoint_best_legacy_500.pt")
        generator = NsfHifigan(VocoderShape.from_config(FULL_VOCODER)).generator.state_dict()
        torch.save({"generator": {legacy_name(key): value for key, value in generator.items()}}, vocoder / "model")
        unit2mel = Unit2Mel(DiffusionShape.from_config(DIFFUSION), 128)
        torch.save({"global_step": 0, "model": state_for_file(unit2mel)}, root / "model_0.pt")
    (vocoder / "config.json").write_text(json.dumps(FULL_VOCODER), encoding="utf-8")
    (root / "config.yaml").write_text(yaml.safe_dump(DIFFUSION), encoding="utf-8")
    return root


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
        "spk": {"alice": 0},
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


def without_offset(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take out the slow offset that random weights leave, which would flatter a comparison."""
    kernel = np.hanning(RATE // 20)
    return wave - np.convolve(wave, kernel / kernel.sum(), mode="same")


@pytest.mark.parametrize("form", FORMS)
def test_import_and_convert(
    form: str, tree: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMBRE_VOICES", str(tmp_path / "voices"))
    model = save_model(tmp_path, FORMS[form])
    assert main(["voice", "import", "--model", str(model), "--name", "alice", "--weights-dir", str(tree)]) == 0
    source, result = repository / "examples" / "spoken.flac", tmp_path / "result.wav"
    words = ["convert", str(source), "--voice", "alice", "-o", str(result), "--weights-dir", str(tree)]
    assert main(words) == 0
    wave, rate = soundfile.read(result, dtype="float32")
    info = soundfile.info(source)
    assert rate == RATE and len(wave) == math.ceil(info.frames * RATE / info.samplerate)
    assert np.isfinite(wave).all() and without_offset(wave).std() > 1e-4


def test_chunks_and_their_joins(tree: Path, repository: Path, tmp_path: Path) -> None:
    """Clips of 2 s against the whole: the encoder and the prior hear the whole clip, so they differ a little."""
    voice = timbre.load_sovits_voice(model=save_model(tmp_path, {}), weights_dir=tree)
    wave, rate = soundfile.read(repository / "examples" / "sung.flac", dtype="float32")
    whole, clips = (
        voice.convert(wave, rate, timbre.ConvertSettings(weights_dir=str(tree), max_chunk_s=size, keep_silence=True))
        for size in (600.0, 2.0)
    )
    one, other = without_offset(whole), without_offset(clips)
    assert 10 * np.log10(np.mean((one - other) ** 2) / np.mean(one**2)) < -40
    assert 10 * np.log10(np.mean((whole - clips) ** 2) / np.mean(whole**2)) < -50
    jerk = np.abs(np.diff(clips, 2))
    cuts = [round(len(wave) / rate * RATE * part / 4) for part in (1, 2, 3)]
    at_joins = max(jerk[cut - RATE // 10 : cut + RATE // 10].max() for cut in cuts)
    assert at_joins <= jerk.max() and at_joins <= 1.05 * np.abs(np.diff(whole, 2)).max()


@pytest.mark.parametrize(
    "options",
    [
        {"shallow_diffusion": True, "diffusion_steps": 20},
        {"shallow_diffusion": True, "second_encoding": True, "diffusion_steps": 20},
        {"enhance": True, "enhancer_key": 3},
    ],
)
def test_diffusion_and_enhancer(options: dict[str, Any], tree: Path, repository: Path, tmp_path: Path) -> None:
    voice = timbre.load_sovits_voice(
        model=save_model(tmp_path, {}), diffusion_model=tree / "model_0.pt", weights_dir=tree
    )
    wave, rate = soundfile.read(repository / "examples" / "spoken.flac", dtype="float32")
    wave = wave[: 2 * rate]
    settings = timbre.ConvertSettings(weights_dir=str(tree), **options)
    result = voice.convert(wave, rate, settings)
    assert len(result) == math.ceil(len(wave) * RATE / rate) and np.isfinite(result).all()
    plain = voice.convert(wave, rate, timbre.ConvertSettings(weights_dir=str(tree)))
    assert np.abs(result - plain).max() > 1e-3
