"""The config.json of a new so-vits-svc model (models spec 1), and what a given one becomes for a dataset."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timbre.config.prepare import PACKAGED_ENCODER
from timbre.errors import SettingsError

_TRAIN: dict[str, Any] = {
    "log_interval": 200,
    "eval_interval": 800,
    "seed": 1234,
    "epochs": 10_000,
    "learning_rate": 1e-4,
    "betas": [0.8, 0.99],
    "eps": 1e-9,
    "batch_size": 6,
    "fp16_run": False,
    "half_type": "fp16",
    "lr_decay": 0.999875,
    "segment_size": 10_240,
    "init_lr_ratio": 1,
    "warmup_epochs": 0,
    "c_mel": 45,
    "c_kl": 1.0,
    "use_sr": True,
    "max_speclen": 512,
    "port": "8001",
    "keep_ckpts": 3,
    "all_in_mem": False,
    "vol_aug": False,
}
_DATA: dict[str, Any] = {
    "training_files": "filelists/train.txt",
    "validation_files": "filelists/val.txt",
    "max_wav_value": 32768.0,
    "sampling_rate": 44_100,
    "filter_length": 2048,
    "hop_length": 512,
    "win_length": 2048,
    "n_mel_channels": 80,
    "mel_fmin": 0.0,
    "mel_fmax": 22_050,
    "unit_interpolate_mode": "nearest",
}
_MODEL: dict[str, Any] = {
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
    "n_layers_q": 3,
    "n_layers_trans_flow": 3,
    "n_flow_layer": 4,
    "use_spectral_norm": False,
    "gin_channels": 768,
    "ssl_dim": 768,
    "n_speakers": 1,
    "vocoder_name": "nsf-hifigan",
    "speech_encoder": "vec768l12",
    "speaker_embedding": False,
    "vol_embedding": False,
    "use_depthwise_conv": False,
    "flow_share_parameter": False,
    "use_automatic_f0_prediction": True,
    "use_transformer_flow": False,
}
_PACKAGED_GRID: dict[str, dict[str, Any]] = {  # of 10 ms, which is 441 samples and no power of two
    "train": {"segment_size": 20 * 441},
    "data": {"hop_length": 441},
    "model": {"upsample_rates": [7, 7, 3, 3], "upsample_kernel_sizes": [15, 15, 7, 7], "gin_channels": 256},
}
_SAID_BY_OPTIONS = {
    "epochs": "--epochs",
    "seed": "--seed",
    "log_interval": "",
    "eval_interval": "--checkpoint-steps",
    "keep_ckpts": "--keep-checkpoints",
    "all_in_mem": "",
}


@dataclass(frozen=True)
class HeardContent:
    """What a dataset tells a model of itself."""

    encoder: str
    width: int
    sample_rate_hz: int
    hop_samples: int  # at that rate
    speakers: Mapping[str, int]
    vol_aug: bool  # it was prepared to let the voice learn loudness


def new_config(heard: HeardContent) -> dict[str, Any]:
    """Return the template of so-vits-svc 4.1 for a dataset, with the widths that go with its encoder (spec 1.3)."""
    config = copy.deepcopy({"train": _TRAIN, "data": _DATA, "model": _MODEL})
    config["model"] |= {"ssl_dim": heard.width, "gin_channels": heard.width, "speech_encoder": heard.encoder}
    config["model"]["filter_channels"] = max(_MODEL["filter_channels"], heard.width)
    if heard.encoder == PACKAGED_ENCODER:
        for section, values in _PACKAGED_GRID.items():
            config[section] |= copy.deepcopy(values)
    config["train"]["vol_aug"] = config["model"]["vol_embedding"] = heard.vol_aug
    return with_speakers(config, heard.speakers)


def said_by_options(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of `train` that do not count and are not as in the template: their options, "" without one."""
    train = config.get("train")
    if not isinstance(train, Mapping):
        return {}
    return {key: each for key, each in _SAID_BY_OPTIONS.items() if key in train and train[key] != _TRAIN[key]}


def with_speakers(given: Mapping[str, Any], speakers: Mapping[str, int]) -> dict[str, Any]:
    """Return a config.json with the speakers of a dataset, unless it names the same ones; its table grows at need.

    Raises SettingsError where a section of it is no object.
    """
    config = copy.deepcopy(dict(given))
    for name in ("model", "spk"):
        if not isinstance(config.setdefault(name, {}), dict):
            raise SettingsError(f"config.json says {name} is no object; use the config.json of a so-vits-svc model")
    if config["spk"].keys() != speakers.keys():
        config["spk"] = dict(speakers)
    rows = config["model"].get("n_speakers", 1)
    if type(rows) is int:  # what is not is told where the shape is read
        config["model"]["n_speakers"] = max(rows, *(1 + number for number in speakers.values()))
    return config
