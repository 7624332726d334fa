"""What a diffusion settings file says about training, and the usual one (models spec 9.1 and 9.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from timbre.config.json_object import JsonObject
from timbre.errors import SettingsError

AmpDtype = Literal["fp32", "fp16", "bf16"]

_ADVICE = "correct the file that was given with --config"
_AMP_DTYPES = ("fp32", "fp16", "bf16")
_DATA: dict[str, Any] = {"duration": 2}
_TRAIN: dict[str, Any] = {
    "amp_dtype": "fp32",
    "batch_size": 48,
    "cache_all_data": True,
    "cache_device": "cpu",
    "cache_fp16": True,
    "lr": 1e-4,
    "decay_step": 100_000,
    "gamma": 0.5,
    "weight_decay": 0,
}


@dataclass(frozen=True)
class DiffusionTrainingSettings:
    """How a diffusion model is trained; names and meanings are those of its settings file.

    Raises SettingsError for a value that is out of range.
    """

    duration: float  # seconds of each item
    amp_dtype: AmpDtype
    batch_size: int
    cache_all_data: bool  # all clips stay in memory
    cache_device: str
    cache_fp16: bool  # there, mel and units take half the memory
    lr: float
    decay_step: int  # steps after which the rate is multiplied by gamma, again and again
    gamma: float
    weight_decay: float

    def __post_init__(self) -> None:
        for key in ("duration", "lr", "gamma"):
            if getattr(self, key) <= 0:
                raise SettingsError(f"the diffusion settings say {key} is {getattr(self, key):g}; it must be above 0")
        if self.weight_decay < 0:
            raise SettingsError(
                f"the diffusion settings say weight_decay is {self.weight_decay:g}; it must be at least 0"
            )
        if self.amp_dtype not in _AMP_DTYPES:
            raise SettingsError(
                f"the diffusion settings say amp_dtype is {self.amp_dtype!r}; it must be one of: "
                f"{', '.join(_AMP_DTYPES)}"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DiffusionTrainingSettings:
        """Pick the values out of a whole settings file; unknown keys are ignored, absent ones read as usual.

        Raises SettingsError where a value is wrong.
        """
        settings = JsonObject({"data": {}, "train": {}, **config}, "the diffusion settings", _ADVICE)
        data, train = settings.section("data", _DATA), settings.section("train", _TRAIN)
        return cls(
            duration=data.number("duration"),
            amp_dtype=cast(AmpDtype, train.text("amp_dtype")),
            batch_size=train.whole("batch_size"),
            cache_all_data=train.flag("cache_all_data"),
            cache_device=train.text("cache_device"),
            cache_fp16=train.flag("cache_fp16"),
            lr=train.number("lr"),
            decay_step=train.whole("decay_step"),
            gamma=train.number("gamma"),
            weight_decay=train.number("weight_decay"),
        )

    def learning_rate(self, step: int) -> float:
        """Return the rate of step `step`, from 0."""
        rate: float = self.lr * self.gamma ** (step // self.decay_step)
        return rate


def usual_diffusion_config(
    encoder: str, content_width: int, sample_rate_hz: int, hop_samples: int, stretch_mode: str
) -> dict[str, Any]:
    """Return the settings file of so-vits-svc 4.1 for features of that kind, without speakers."""
    return {
        "data": {
            "sampling_rate": sample_rate_hz,
            "block_size": hop_samples,
            "encoder": encoder,
            "encoder_out_channels": content_width,
            "encoder_sample_rate": 16_000,
            "encoder_hop_size": 320,
            "cnhubertsoft_gate": 10,
            "unit_interpolate_mode": stretch_mode,
            "extensions": ["wav"],
            **_DATA,
        },
        "model": {
            "type": "Diffusion",
            "n_layers": 20,
            "n_chans": 512,
            "n_hidden": 256,
            "use_pitch_aug": True,
            "timesteps": 1000,
            "k_step_max": 0,
            "n_spk": 1,
        },
        "vocoder": {"type": "nsf-hifigan", "ckpt": "pretrain/nsf_hifigan/model"},
        "infer": {"speedup": 10, "method": "dpm-solver++"},
        "train": dict(_TRAIN),
        "spk": {},
    }
