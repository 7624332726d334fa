"""Loading and writing the weights of so-vits-svc checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.toy_vits import toy_synthesizer
from timbre.errors import WeightsError
from timbre.models.vits.state import complete_config, legacy_state, load_state
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.weight_norm import fold_weight_norm

SHARED = {"flow_share_parameter": True, "use_depthwise_conv": True}


def assert_same(model: Synthesizer, expected: dict[str, Tensor], *, without: str = "nothing") -> None:
    got = legacy_state(model)
    assert list(got) == list(expected)
    different = [key for key in expected if not key.startswith(without) and not torch.equal(got[key], expected[key])]
    assert not different


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"vol_embedding": True},
        SHARED,
        {"vocoder_name": "nsf-snake-hifigan"},
        {"use_transformer_flow": True},
        {"use_transformer_flow": True, "flow_share_parameter": True},
        {"use_automatic_f0_prediction": False},
        {"resblock": "2"},
    ],
    ids=str,
)
def test_round_trip(changes: dict[str, Any]) -> None:
    state = legacy_state(toy_synthesizer(seed=1, **changes))
    assert not any("parametrizations" in key for key in state)
    model = toy_synthesizer(seed=2, **changes)
    load_state(model, state)
    assert_same(model, state)


def test_new_names_prefix_and_extra_keys() -> None:
    source, model = toy_synthesizer(seed=1), toy_synthesizer(seed=2)
    load_state(
        model, {f"module.{key}": value for key, value in source.state_dict().items()} | {"novelty": torch.ones(1)}
    )
    assert_same(model, legacy_state(source))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_cast(dtype: torch.dtype) -> None:
    state, model = legacy_state(toy_synthesizer(seed=1)), toy_synthesizer(seed=2)
    load_state(model, {key: value.to(dtype) for key, value in state.items()})
    assert_same(model, {key: value.to(dtype).float() for key, value in state.items()})
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_release_without_posterior_encoder() -> None:
    state, model = legacy_state(toy_synthesizer(seed=1)), toy_synthesizer(seed=2)
    before = {key: value.clone() for key, value in legacy_state(model).items()}
    load_state(model, {key: value for key, value in state.items() if not key.startswith("enc_q.")})
    assert_same(model, state, without="enc_q.")
    assert all(
        torch.equal(value, before[key]) for key, value in legacy_state(model).items() if key.startswith("enc_q.")
    )


@pytest.mark.parametrize("kept", ["flow.wn.", "flow.flows.4.enc."])
def test_one_copy_of_a_shared_flow_is_enough(kept: str) -> None:
    state, model = legacy_state(toy_synthesizer(seed=1, **SHARED)), toy_synthesizer(seed=2, **SHARED)
    copies = [key for key in state if key.startswith("flow.wn.") or (".enc." in key and key.startswith("flow."))]
    load_state(model, {key: value for key, value in state.items() if key not in copies or key.startswith(kept)})
    assert_same(model, state)


def test_copies_of_a_shared_flow_must_agree() -> None:
    state = legacy_state(toy_synthesizer(seed=1, **SHARED))
    state["flow.flows.2.enc.cond_layer.bias"] = state["flow.flows.2.enc.cond_layer.bias"] + 1
    with pytest.raises(WeightsError, match="flow_share_parameter"):
        load_state(toy_synthesizer(**SHARED), state)


@pytest.mark.parametrize(
    ("made_with", "said", "words"),
    [
        ({"ssl_dim": 256}, {"ssl_dim": 768}, ("ssl_dim 768", "256", "vec256l9")),
        ({"gin_channels": 7}, {}, ("gin_channels 5", "7")),
        ({"n_speakers": 9}, {}, ("n_speakers 3", "9")),
        ({"vol_embedding": True}, {}, ("vol_embedding false", "true")),
        ({}, {"vol_embedding": True}, ("vol_embedding true", "false")),
        ({"vocoder_name": "nsf-snake-hifigan"}, {}, ("vocoder_name", "nsf-snake-hifigan")),
        ({"use_depthwise_conv": True}, {}, ("use_depthwise_conv false",)),
        ({}, {"use_depthwise_conv": True}, ("use_depthwise_conv true",)),
        ({}, {"flow_share_parameter": True}, ("flow_share_parameter true",)),
        ({"use_transformer_flow": True}, {}, ("use_transformer_flow false",)),
        ({"use_automatic_f0_prediction": False}, {}, ("use_automatic_f0_prediction true",)),
        ({"hidden_channels": 12}, {}, ("hidden_channels 8", "12")),
        ({"n_heads": 4}, {}, ("n_heads 2", "4")),
        ({"n_layers": 3}, {}, ("n_layers 2", "3")),
        ({"n_layers": 1}, {}, ("n_layers 2", "1")),
        ({"n_flow_layer": 3}, {}, ("n_flow_layer 4", "3")),
        ({"n_flow_layer": 5}, {"flow_share_parameter": False}, ("n_flow_layer 4", "5")),
        (
            {"use_transformer_flow": True, "n_flow_layer": 5},
            {"use_transformer_flow": True},
            ("n_flow_layer 4", "5"),
        ),
        ({"inter_channels": 6}, {}, ("shape",)),
        ({"filter_channels": 16}, {}, ("shape",)),
        ({"upsample_initial_channel": 16}, {}, ("dec.", "shape")),
        ({"resblock_kernel_sizes": [5]}, {}, ("dec.resblocks", "shape")),
    ],
    ids=str,
)
def test_weights_that_contradict_the_config(
    made_with: dict[str, Any], said: dict[str, Any], words: tuple[str, ...]
) -> None:
    model = toy_synthesizer(seed=2, **said)
    before = {key: value.clone() for key, value in legacy_state(model).items()}
    with pytest.raises(WeightsError) as caught:
        load_state(model, legacy_state(toy_synthesizer(seed=1, **made_with)))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert_same(model, before)


def test_automatic_pitch_in_the_weights_alone_is_no_harm() -> None:
    model = toy_synthesizer(seed=2, use_automatic_f0_prediction=False)
    load_state(model, legacy_state(toy_synthesizer(seed=1)))


@pytest.mark.parametrize("missing", ["emb_uv.weight", "enc_q.pre.weight", "dec.conv_post.weight_v"])
def test_missing_weights_are_named(missing: str) -> None:
    state = legacy_state(toy_synthesizer())
    del state[missing]
    with pytest.raises(WeightsError, match=missing):
        load_state(toy_synthesizer(), state)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["discriminators.0.convs.0.bias"], "discriminator"),
        (["unit_embed.weight", "decoder.x"], "diffusion"),
        (["enc_p.encoder.attn_layers.0.conv_q.weight", "dec.conv_pre.weight"], "4.0-v2"),
        ([], "not those of so-vits-svc"),
    ],
)
def test_other_networks_are_named(keys: list[str], words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        load_state(toy_synthesizer(), {key: torch.zeros(1) for key in keys})


def test_folded_model_takes_no_weights() -> None:
    model = toy_synthesizer()
    state = legacy_state(model)
    fold_weight_norm(model)
    with pytest.raises(WeightsError):
        load_state(model, state)


def test_a_config_leaves_pitch_prediction_to_the_weights() -> None:
    weights = legacy_state(toy_synthesizer(use_automatic_f0_prediction=False))
    config = {"model": {"n_layers": 2}, "spk": {"a": 0}}
    completed = complete_config(config, weights)
    assert completed == {"model": {"n_layers": 2, "use_automatic_f0_prediction": False}, "spk": {"a": 0}}
    assert config["model"] == {"n_layers": 2}
    assert complete_config(config, legacy_state(toy_synthesizer())) == config
    for said in (True, False):
        told = {"model": {"use_automatic_f0_prediction": said}}
        assert complete_config(told, weights) == told
    assert complete_config({"model": 3}, weights) == {"model": 3}
