"""What a so-vits-svc config.json says about training (models spec 1.1 and 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from timbre.config.json_object import JsonObject
from timbre.config.vits import sovits_config
from timbre.errors import SettingsError

Precision = Literal["float32", "float16", "bfloat16"]

_LATER_THAN_4_0 = {"half_type": "fp16", "vol_aug": False, "warmup_epochs": 0}


@dataclass(frozen=True)
class VitsTrainingSettings:
    """How a model is trained; names of config.json where it has one.

    Raises SettingsError for a value that is out of range.
    """

    learning_rate: float
    betas: tuple[float, float]
    eps: float
    lr_decay: float  # factor of the learning rate for each epoch
    warmup_epochs: int
    segment_size: int  # samples
    win_length: int  # samples of the window of one spectrum
    c_mel: float  # weights of losses
    c_kl: float
    n_mel_channels: int  # of the mel loss
    mel_fmin: float
    mel_fmax: float | None  # None for half the rate
    precision: Precision  # of the networks; weights and losses are float32
    use_spectral_norm: bool
    vol_aug: bool

    def __post_init__(self) -> None:
        for key in ("learning_rate", "eps", "lr_decay"):
            if getattr(self, key) <= 0:
                raise SettingsError(f"config.json says train.{key} is {getattr(self, key)}; it must be above 0")
        for key in ("c_mel", "c_kl"):
            if getattr(self, key) < 0:
                raise SettingsError(f"config.json says train.{key} is {getattr(self, key)}; it must be at least 0")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> VitsTrainingSettings:
        """Read the object of a config.json of so-vits-svc 4.0 or 4.1; unknown keys are ignored.

        Raises SettingsError when a key that every model has is missing, or a value is of the wrong type or impossible.
        """
        settings = sovits_config(config)
        train, data, model = (settings.section(name, _LATER_THAN_4_0) for name in ("train", "data", "model"))
        if data.whole("win_length") > data.whole("filter_length"):
            raise SettingsError(
                f"config.json says data.win_length {data.whole('win_length')}; "
                f"it must be at most data.filter_length, {data.whole('filter_length')}"
            )
        return cls(
            learning_rate=train.number("learning_rate"),
            betas=_betas(train),
            eps=train.number("eps"),
            lr_decay=train.number("lr_decay"),
            warmup_epochs=train.whole("warmup_epochs", low=0),
            segment_size=train.whole("segment_size"),
            win_length=data.whole("win_length"),
            c_mel=train.number("c_mel"),
            c_kl=train.number("c_kl"),
            n_mel_channels=data.whole("n_mel_channels"),
            mel_fmin=data.number("mel_fmin"),
            mel_fmax=None if data.required("mel_fmax") is None else data.number("mel_fmax"),
            precision=_precision(train),
            use_spectral_norm=model.flag("use_spectral_norm"),
            vol_aug=train.flag("vol_aug"),
        )


def _betas(train: JsonObject) -> tuple[float, float]:
    given = train.required("betas")
    pair = list(given) if isinstance(given, (list, tuple)) else []
    if len(pair) != 2 or not all(type(value) in (int, float) and 0 <= value < 1 for value in pair):
        raise SettingsError(f"config.json says train.betas is {given!r}; it must be two numbers from 0 to below 1")
    return float(pair[0]), float(pair[1])


def _precision(train: JsonObject) -> Precision:
    if not train.flag("fp16_run"):
        return "float32"
    return "bfloat16" if train.required("half_type") == "bf16" else "float16"
