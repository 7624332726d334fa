"""What a so-vits-svc config.json says about the shape of its network (models spec 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timbre.config.json_object import JsonObject
from timbre.errors import SettingsError

PLAIN_VOCODER, SNAKE_VOCODER = "nsf-hifigan", "nsf-snake-hifigan"

_ADVICE = "use the config.json of a so-vits-svc 4.0 or 4.1 model"
_ENCODER, _ENCODER_OF_256_WIDE_UNITS = "vec768l12", "vec256l9"  # where there is no key for it; 4.0 had the latter only
_LATER_MODEL_KEYS = {
    "vocoder_name": PLAIN_VOCODER,
    "vol_embedding": False,
    "use_depthwise_conv": False,
    "flow_share_parameter": False,
    "use_automatic_f0_prediction": True,
    "n_flow_layer": 4,
    "use_transformer_flow": False,
    "n_layers_trans_flow": 3,
    "sampling_rate": 44_100,
}
_LATER_DATA_KEYS = {"unit_interpolate_mode": "left"}


@dataclass(frozen=True)
class VitsShape:
    """All that is needed to build the synthesizer and to feed it; names of config.json where it has one.

    Raises SettingsError for sizes that cannot go together.
    """

    inter_channels: int
    hidden_channels: int
    filter_channels: int
    n_heads: int
    n_layers: int
    kernel_size: int
    p_dropout: float
    resblock: str  # "1" or "2"
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]
    upsample_rates: tuple[int, ...]
    upsample_initial_channel: int
    upsample_kernel_sizes: tuple[int, ...]
    vocoder_name: str  # PLAIN_VOCODER or SNAKE_VOCODER
    gin_channels: int
    ssl_dim: int
    n_speakers: int  # rows of the speaker table, often more than there are names
    vol_embedding: bool
    use_depthwise_conv: bool
    flow_share_parameter: bool
    use_automatic_f0_prediction: bool
    n_flow_layer: int
    use_transformer_flow: bool
    n_layers_trans_flow: int
    source_rate_hz: int  # at which the harmonic source counts, whatever the rate of the sound
    sample_rate_hz: int  # of the sound
    hop_samples: int
    filter_length: int  # samples of one spectrum
    speech_encoder: str
    unit_interpolate_mode: str
    speakers: dict[str, int]  # id of each name

    def __post_init__(self) -> None:
        if not 0 <= self.p_dropout < 1:
            raise SettingsError(f"config.json says p_dropout is {self.p_dropout}; it must be from 0 to below 1")
        if self.hop_samples != math.prod(self.upsample_rates):
            raise SettingsError(
                f"config.json says hop_length {self.hop_samples} but upsample_rates multiply to "
                f"{math.prod(self.upsample_rates)}; {_ADVICE}"
            )
        if self.inter_channels % 2:
            raise SettingsError(f"config.json says inter_channels is {self.inter_channels}; it must be even")
        if self.hidden_channels % self.n_heads:
            raise SettingsError(
                f"config.json says hidden_channels is {self.hidden_channels}; "
                f"it must be a multiple of n_heads, {self.n_heads}"
            )
        for name, number in self.speakers.items():
            if not 0 <= number < self.n_speakers:
                raise SettingsError(
                    f"config.json gives speaker {name!r} the number {number}; "
                    f"it must be from 0 to below n_speakers, {self.n_speakers}"
                )

    @property
    def spec_channels(self) -> int:
        """Bins of one spectrum."""
        return self.filter_length // 2 + 1

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> VitsShape:
        """Read the object of a config.json of so-vits-svc 4.0 or 4.1.

        Keys that came later than 4.0 may be absent, unknown ones are ignored. Raises SettingsError when a key that
        every model has is missing, or a value is of the wrong type or impossible.
        """
        settings = sovits_config(config)
        model, data = settings.section("model", _LATER_MODEL_KEYS), settings.section("data", _LATER_DATA_KEYS)
        names = settings.section("spk")
        return cls(
            inter_channels=model.whole("inter_channels"),
            hidden_channels=model.whole("hidden_channels"),
            filter_channels=model.whole("filter_channels"),
            n_heads=model.whole("n_heads"),
            n_layers=model.whole("n_layers"),
            kernel_size=model.whole("kernel_size"),
            p_dropout=model.number("p_dropout"),
            resblock="1" if model.required("resblock") == "1" else "2",
            resblock_kernel_sizes=model.wholes("resblock_kernel_sizes"),
            resblock_dilation_sizes=model.lists_of_wholes("resblock_dilation_sizes"),
            upsample_rates=model.wholes("upsample_rates"),
            upsample_initial_channel=model.whole("upsample_initial_channel"),
            upsample_kernel_sizes=model.wholes("upsample_kernel_sizes"),
            vocoder_name=SNAKE_VOCODER if model.text("vocoder_name") == SNAKE_VOCODER else PLAIN_VOCODER,
            gin_channels=model.whole("gin_channels"),
            ssl_dim=model.whole("ssl_dim"),
            n_speakers=model.whole("n_speakers"),
            vol_embedding=model.flag("vol_embedding"),
            use_depthwise_conv=model.flag("use_depthwise_conv"),
            flow_share_parameter=model.flag("flow_share_parameter"),
            use_automatic_f0_prediction=model.flag("use_automatic_f0_prediction"),
            n_flow_layer=model.whole("n_flow_layer"),
            use_transformer_flow=model.flag("use_transformer_flow"),
            n_layers_trans_flow=model.whole("n_layers_trans_flow"),
            source_rate_hz=model.whole("sampling_rate"),
            sample_rate_hz=data.whole("sampling_rate"),
            hop_samples=data.whole("hop_length"),
            filter_length=data.whole("filter_length"),
            speech_encoder=_speech_encoder(model),
            unit_interpolate_mode=data.text("unit_interpolate_mode"),
            speakers={name: names.whole(name, low=0) for name in names.values},
        )


def sovits_config(config: Mapping[str, Any]) -> JsonObject:
    """Return the content of a config.json for reading; raises SettingsError where it is no object."""
    return JsonObject.of(config, "config.json", _ADVICE)


def _speech_encoder(model: JsonObject) -> str:
    if "speech_encoder" in model.values:
        return model.text("speech_encoder")
    return _ENCODER_OF_256_WIDE_UNITS if model.whole("ssl_dim") == 256 else _ENCODER
