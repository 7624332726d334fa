"""Reading the config.json of so-vits-svc models."""

from __future__ import annotations

from typing import Any

import pytest

from tests.toy_vits import toy_config
from timbre.config.vits import PLAIN_VOCODER, SNAKE_VOCODER, VitsShape
from timbre.errors import SettingsError
from timbre.models.vits.synthesizer import Synthesizer


def test_a_config_of_4_0_has_the_defaults_of_later_keys() -> None:
    shape = VitsShape.from_config(toy_config())
    assert shape.speakers == {"ada": 0, "björn": 1}
    assert (shape.speech_encoder, shape.unit_interpolate_mode) == ("vec768l12", "left")
    assert (shape.sample_rate_hz, shape.source_rate_hz, shape.hop_samples, shape.spec_channels) == (
        44_100,
        44_100,
        8,
        17,
    )
    assert (shape.n_flow_layer, shape.n_layers_trans_flow, shape.vocoder_name) == (4, 3, PLAIN_VOCODER)
    assert shape.use_automatic_f0_prediction
    assert not any(
        (shape.vol_embedding, shape.use_depthwise_conv, shape.flow_share_parameter, shape.use_transformer_flow)
    )


def test_later_keys_are_read() -> None:
    config = toy_config(
        vol_embedding=True,
        use_automatic_f0_prediction=False,
        n_flow_layer=2,
        vocoder_name=SNAKE_VOCODER,
        speech_encoder="whisper-ppg",
        sampling_rate=32_000,
        n_layers_q=3,
    )
    config["data"] |= {"unit_interpolate_mode": "nearest", "sampling_rate": 48_000, "novelty": None}
    shape = VitsShape.from_config(config)
    assert shape.vol_embedding and not shape.use_automatic_f0_prediction and shape.n_flow_layer == 2
    assert (shape.vocoder_name, shape.speech_encoder) == (SNAKE_VOCODER, "whisper-ppg")
    assert (shape.unit_interpolate_mode, shape.sample_rate_hz, shape.source_rate_hz) == ("nearest", 48_000, 32_000)


def test_units_of_width_256_mean_the_encoder_of_4_0() -> None:
    assert VitsShape.from_config(toy_config(ssl_dim=256)).speech_encoder == "vec256l9"
    assert VitsShape.from_config(toy_config(ssl_dim=256, speech_encoder="hubertsoft")).speech_encoder == "hubertsoft"


@pytest.mark.parametrize(("resblock", "kind"), [("1", "1"), ("2", "2"), (1, "2"), ("one", "2")])
def test_only_the_text_1_means_residual_blocks_of_type_1(resblock: Any, kind: str) -> None:
    assert VitsShape.from_config(toy_config(resblock=resblock)).resblock == kind


def test_unknown_vocoder_means_the_plain_one() -> None:
    assert VitsShape.from_config(toy_config(vocoder_name="nsf-bigvgan")).vocoder_name == PLAIN_VOCODER


@pytest.mark.parametrize("content", [None, [], "config", 3])
def test_what_is_no_object_is_refused(content: Any) -> None:
    with pytest.raises(SettingsError, match=r"config\.json"):
        VitsShape.from_config(content)
    for section in ("model", "data", "spk"):
        with pytest.raises(SettingsError, match=section):
            VitsShape.from_config(toy_config() | {section: content})


@pytest.mark.parametrize(
    ("section", "key"),
    [("model", key) for key in toy_config()["model"]] + [("data", key) for key in toy_config()["data"]],
)
def test_missing_key_is_named(section: str, key: str) -> None:
    config = toy_config()
    del config[section][key]
    with pytest.raises(SettingsError, match=f"{section}.*{key}"):
        VitsShape.from_config(config)


@pytest.mark.parametrize("section", ["model", "data", "spk"])
def test_missing_section_is_named(section: str) -> None:
    config = toy_config()
    del config[section]
    with pytest.raises(SettingsError, match=section):
        VitsShape.from_config(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ssl_dim", "768"),
        ("ssl_dim", 768.0),
        ("ssl_dim", True),
        ("ssl_dim", None),
        ("ssl_dim", 0),
        ("n_layers", -1),
        ("inter_channels", 5),
        ("hidden_channels", 9),
        ("p_dropout", 1.0),
        ("p_dropout", float("nan")),
        ("p_dropout", "0.1"),
        ("upsample_rates", [4, 4]),
        ("upsample_rates", []),
        ("upsample_rates", 8),
        ("resblock_kernel_sizes", [3, "7"]),
        ("resblock_dilation_sizes", [1, 3, 5]),
        ("vol_embedding", 1),
        ("vol_embedding", "false"),
        ("speech_encoder", None),
        ("sampling_rate", "44100"),
    ],
)
def test_impossible_value_is_named(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=key):
        VitsShape.from_config(toy_config(**{key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("upsample_kernel_sizes", [8]),
        ("upsample_kernel_sizes", [7, 4]),
        ("upsample_initial_channel", 3),
        ("resblock_kernel_sizes", [4]),
        ("resblock_dilation_sizes", [[1, 3]]),
    ],
)
def test_generator_that_cannot_be_built_is_named(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=key):
        Synthesizer(VitsShape.from_config(toy_config(**{key: value})))


@pytest.mark.parametrize("number", [3, -1, "0", 1.0, True, None])
def test_speaker_without_a_row_is_named(number: Any) -> None:
    with pytest.raises(SettingsError, match="クロエ"):
        VitsShape.from_config(toy_config() | {"spk": {"ada": 0, "クロエ": number}})
