"""The so-vits-svc synthesizer where recorded results do not show it: short sounds, speakers, errors, gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.golden_cases import CaseDraws
from tests.toy_vits import HOP_SAMPLES, WIDTH, toy_inputs, toy_synthesizer
from timbre.errors import SettingsError
from timbre.models.vits.lf0 import coarse_f0, hz_to_lf0, lf0_to_hz, normalise_lf0
from timbre.models.vits.onnx_form import OnnxForm
from timbre.models.vits.synthesizer import Synthesizer, TrainingOutput
from timbre.nn.draws import SeededDraws
from timbre.nn.weight_norm import fold_weight_norm

SEGMENT_FRAMES = 5
SPEAKER = torch.tensor([1])
NO_CHANCE = CaseDraws(None)


class RecordingDraws(SeededDraws):
    """Remembers what was asked for."""

    def __init__(self) -> None:
        super().__init__(3)
        self.asked: list[tuple[str, tuple[int, ...]]] = []

    def normal(self, *shape: int) -> Tensor:
        self.asked.append(("normal", shape))
        return super().normal(*shape)

    def uniform(self, *shape: int) -> Tensor:
        self.asked.append(("uniform", shape))
        return super().uniform(*shape)


def train(model: Synthesizer, n_frames: int = 9, lengths: tuple[int, ...] = (9, 7), **others: Any) -> TrainingOutput:
    inputs = toy_inputs(n_frames, len(lengths))
    spec = torch.rand(len(lengths), model.shape.spec_channels, n_frames, generator=torch.Generator().manual_seed(1))
    speakers = torch.zeros(len(lengths), 1, dtype=torch.int64)
    draws = others.pop("draws", NO_CHANCE)
    return model.training_forward(
        *inputs, spec, speakers, torch.tensor(lengths), draws, segment_frames=SEGMENT_FRAMES, **others
    )


@pytest.mark.parametrize("n_frames", [1, 2, 3])
@pytest.mark.parametrize(
    "changes", [{}, {"use_transformer_flow": True}, {"vocoder_name": "nsf-snake-hifigan"}], ids=str
)
def test_short_sounds(n_frames: int, changes: dict[str, Any]) -> None:
    model = toy_synthesizer(**changes)
    audio, f0_hz = model.infer(*toy_inputs(n_frames), SPEAKER, SeededDraws(1), predict_f0=True)
    assert audio.shape == (1, 1, n_frames * HOP_SAMPLES)
    assert f0_hz.shape == (1, n_frames)
    assert torch.isfinite(audio).all() and audio.abs().max() <= 1


def test_batch_is_as_each_sound_alone() -> None:
    model, inputs, speakers = toy_synthesizer(), toy_inputs(6, 3), torch.tensor([2, 0, 1])
    together, together_f0 = model.infer(*inputs, speakers, NO_CHANCE, predict_f0=True)
    for index in range(3):
        alone, alone_f0 = model.infer(
            *(each[index : index + 1] for each in inputs), speakers[index : index + 1], NO_CHANCE, predict_f0=True
        )
        torch.testing.assert_close(together[index], alone[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together_f0[index], alone_f0[0])


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = toy_synthesizer(use_transformer_flow=True), toy_inputs(40)
    whole, _ = model.infer(*inputs, SPEAKER, NO_CHANCE)
    monkeypatch.setattr("timbre.nn.self_attention._BLOCK_SCORES", 7 * 2 * 40)
    torch.testing.assert_close(model.infer(*inputs, SPEAKER, NO_CHANCE)[0], whole, rtol=1e-4, atol=1e-6)


def test_same_seed_gives_the_same_sound_and_leaves_the_global_generator_alone() -> None:
    model, inputs, before = toy_synthesizer(), toy_inputs(5), torch.get_rng_state()
    first, again, other = (model.infer(*inputs, SPEAKER, SeededDraws(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_folded_model_sounds_the_same() -> None:
    model, inputs = toy_synthesizer(flow_share_parameter=True, use_depthwise_conv=True), toy_inputs(5)
    before, _ = model.infer(*inputs, SPEAKER, NO_CHANCE)
    fold_weight_norm(model)
    assert not any("parametrizations" in key for key in model.state_dict())
    assert torch.equal(model.infer(*inputs, SPEAKER, NO_CHANCE)[0], before)


@pytest.mark.parametrize("n_frames", [1, 6])
@pytest.mark.parametrize("speaker", [0, 1])
def test_a_speaker_alone_in_a_mix_is_that_speaker(n_frames: int, speaker: int) -> None:
    model, inputs = toy_synthesizer(), toy_inputs(n_frames)
    expected, _ = model.infer(*inputs, torch.tensor([[speaker]]), NO_CHANCE)
    other, _ = model.infer(*inputs, torch.tensor([2]), NO_CHANCE)
    assert not torch.allclose(expected, other)
    weights = torch.zeros(n_frames, 2)  # of the first two speakers only
    weights[:, speaker] = 1
    for mix in (weights, weights[None]):
        torch.testing.assert_close(model.infer(*inputs, mix, NO_CHANCE)[0], expected, rtol=1e-4, atol=1e-6)


def test_one_mix_serves_all_sounds_of_a_batch() -> None:
    model, inputs, weights = toy_synthesizer(), toy_inputs(6, 2), torch.rand(6, 3)
    together, _ = model.infer(*inputs, weights, NO_CHANCE)
    each, _ = model.infer(*inputs, weights.expand(2, -1, -1), NO_CHANCE)
    torch.testing.assert_close(together, each)


def test_volume_counts_only_with_its_embedding() -> None:
    inputs, volume = toy_inputs(6), torch.rand(1, 6)
    deaf, hearing = toy_synthesizer(), toy_synthesizer(vol_embedding=True)
    for model, differs in ((deaf, False), (hearing, True)):
        with_volume, without = (model.infer(*inputs, SPEAKER, NO_CHANCE, volume=each)[0] for each in (volume, None))
        assert torch.equal(with_volume, without) is not differs


def test_without_automatic_pitch_the_given_one_stays() -> None:
    inputs = toy_inputs(6)
    _, f0_hz = toy_synthesizer(use_automatic_f0_prediction=False).infer(*inputs, SPEAKER, NO_CHANCE, predict_f0=True)
    assert torch.equal(f0_hz, inputs[1])
    _, predicted_hz = toy_synthesizer().infer(*inputs, SPEAKER, NO_CHANCE, predict_f0=True)
    assert not torch.allclose(predicted_hz, inputs[1])


def test_rule_of_4_0_acts_above_the_range_only() -> None:
    units, f0_hz, voiced = toy_inputs(6)
    old, new = toy_synthesizer(f0_saturates=True), toy_synthesizer()
    for shift, same in ((1.0, True), (20.0, False)):
        sounds = [model.infer(units, shift * f0_hz, voiced, SPEAKER, NO_CHANCE)[0] for model in (old, new)]
        assert torch.equal(*sounds) is same


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"units": torch.zeros(1, WIDTH + 1, 4)}, "7 wide"),
        ({"units": torch.zeros(1, WIDTH, 0)}, "0 frames"),
        ({"f0_hz": torch.zeros(1, 5)}, "f0_hz"),
        ({"voiced": torch.zeros(2, 4)}, "voiced"),
        ({"volume": torch.zeros(1, 3)}, "volume"),
        ({"speaker": torch.tensor([3])}, "from 0 to 2"),
        ({"speaker": torch.tensor([-1])}, "from 0 to 2"),
        ({"speaker": torch.tensor([0, 1])}, "2 speaker"),
        ({"speaker": torch.ones(5, 2)}, "4 frames"),
        ({"speaker": torch.ones(4, 4)}, "1 to 3"),
        ({"speaker": torch.ones(4, 0)}, "1 to 3"),
        ({"speaker": torch.ones(2, 4, 3)}, "weights"),
        ({"speaker": torch.ones(4)}, "weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_inputs_that_do_not_fit_are_named(changes: dict[str, Tensor], words: str) -> None:
    units, f0_hz, voiced = toy_inputs(4)
    inputs = {"units": units, "f0_hz": f0_hz, "voiced": voiced, "speaker": SPEAKER, "draws": NO_CHANCE} | changes
    with pytest.raises(SettingsError, match=words):
        toy_synthesizer(vol_embedding=True).infer(**inputs)


def test_order_of_random_numbers() -> None:
    model, draws = toy_synthesizer(), RecordingDraws()
    model.infer(*toy_inputs(4), SPEAKER, draws)
    n_samples = 4 * HOP_SAMPLES
    rendering = [("uniform", (1, 9)), ("normal", (1, n_samples, 9)), ("normal", (1, n_samples, 1))]
    assert draws.asked == [("normal", (1, 4, 4)), *rendering]

    draws = RecordingDraws()
    train(model, draws=draws)
    n_samples = SEGMENT_FRAMES * HOP_SAMPLES
    rendering = [("uniform", (2, 9)), ("normal", (2, n_samples, 9)), ("normal", (2, n_samples, 1))]
    latents = [("normal", (2, 4, 9)), ("normal", (2, 4, 9))]
    assert draws.asked == [("uniform", (2, 1)), *latents, ("uniform", (2,)), *rendering]


def test_drawn_factor_and_starts_are_in_range() -> None:
    model = toy_synthesizer()
    output, plain = train(model, draws=RecordingDraws()), train(model, lf0_factor=torch.ones(2, 1))
    assert output.melody is not None and plain.melody is not None
    factor = output.melody.normalised_lf0[:, 0, 0] / plain.melody.normalised_lf0[:, 0, 0]
    assert ((factor >= 0.8) & (factor < 1.2)).all() and factor[0] != factor[1]
    assert ((output.segment_starts >= 0) & (output.segment_starts <= torch.tensor([4, 2]))).all()


@pytest.mark.parametrize(("fraction", "starts"), [(0.0, [0, 0]), (0.5, [2, 1]), (1 - 2**-24, [4, 2])])
@torch.no_grad()
def test_segments_lie_within_their_clips(fraction: float, starts: list[int]) -> None:
    output = train(toy_synthesizer(), segment_fraction=torch.full((2,), fraction))
    assert output.segment_starts.tolist() == starts
    assert output.audio.shape == (2, 1, SEGMENT_FRAMES * HOP_SAMPLES)


def test_clip_shorter_than_a_segment_is_refused() -> None:
    with pytest.raises(SettingsError, match="4 frames"):
        train(toy_synthesizer(), lengths=(9, 4))


@torch.no_grad()
def test_training_renders_as_inference_does() -> None:
    model = toy_synthesizer()
    output = train(model, lengths=(9,), segment_fraction=torch.tensor([0.5]), lf0_factor=torch.ones(1, 1))
    condition = model.speaker_condition(torch.tensor([0]))
    torch.testing.assert_close(model.flow(output.z_p, output.mask, condition, reverse=True), output.z)
    _, f0_hz, _ = toy_inputs(9)
    segment = model.render(output.z[..., 2:7], f0_hz[:, 2:7], condition, NO_CHANCE, "stable")
    torch.testing.assert_close(output.audio, segment)


def test_automatic_pitch_teaches_neither_the_front_end_nor_the_encoder() -> None:
    model = toy_synthesizer()
    melody = train(model, draws=SeededDraws(1)).melody
    assert melody is not None
    (melody.predicted_lf0 - melody.lf0).square().mean().backward()
    learning = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
    assert learning == {"f0_decoder", "emb_g"}


def test_every_weight_learns_from_the_rest() -> None:
    model = toy_synthesizer(vol_embedding=True)
    output = train(model, draws=SeededDraws(1), volume=torch.rand(2, 9))
    kept = (output.audio, output.z_p, output.m_p, output.logs_p, output.logs_q)
    sum(each.square().mean() for each in kept).backward()
    idle = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is None}
    assert idle == {"f0_decoder"}


def test_training_without_automatic_pitch_draws_no_factor() -> None:
    draws = RecordingDraws()
    assert train(toy_synthesizer(use_automatic_f0_prediction=False), draws=draws).melody is None
    assert draws.asked[0] == ("normal", (2, 4, 9))


@torch.no_grad()
def test_onnx_form_is_inference_with_other_inputs() -> None:
    model, (units, f0_hz, voiced) = toy_synthesizer(), toy_inputs(6)
    expected, _ = model.infer(units, f0_hz, voiced, SPEAKER, NO_CHANCE, noise_scale=0.0)
    form = OnnxForm(model, NO_CHANCE, "stable")
    no_noise = torch.zeros(1, model.shape.inter_channels, 6)
    every_unit = torch.arange(1, 7)[None]
    got = form(units.transpose(1, 2), f0_hz, every_unit, voiced, no_noise, SPEAKER)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)

    units[..., 0] = 0
    silent_first = form(units.transpose(1, 2), f0_hz, every_unit, voiced, no_noise, SPEAKER)
    frame_zero = form(units[..., 1:].transpose(1, 2), f0_hz, every_unit - 1, voiced, no_noise, SPEAKER)
    torch.testing.assert_close(frame_zero, silent_first)


@pytest.mark.parametrize(
    ("f0_hz", "step", "step_in_4_0"),
    [
        (0.0, 1, 1),
        (-50.0, 1, 1),
        (-700.0, 1, 1),
        (50.0, 1, 1),
        (1100.0, 255, 255),
        (1103.0, 255, 255),
        (1110.0, 0, 255),
        (1e6, 0, 255),
        (float("inf"), 0, 255),
    ],
)
def test_steps_of_pitch(f0_hz: float, step: int, step_in_4_0: int) -> None:
    assert coarse_f0(torch.tensor([f0_hz])).tolist() == [step]
    assert coarse_f0(torch.tensor([f0_hz]), saturates=True).tolist() == [step_in_4_0]


def test_steps_of_both_versions_agree_within_the_range() -> None:
    f0_hz = torch.linspace(20, 1100, 997)
    steps = coarse_f0(f0_hz)
    assert torch.equal(steps, coarse_f0(f0_hz, saturates=True))
    assert set(steps.tolist()) == set(range(1, 256))


def test_lf0_and_back() -> None:
    f0_hz = torch.tensor([[0.0, 55.0, 440.0, 1100.0]])
    assert hz_to_lf0(f0_hz).shape == (1, 1, 4)
    torch.testing.assert_close(lf0_to_hz(hz_to_lf0(f0_hz)), f0_hz, rtol=1e-5, atol=1e-3)


def test_normalised_lf0_without_a_voice_is_finite() -> None:
    lf0, mask = hz_to_lf0(torch.tensor([[0.0, 0.0, 200.0]])), torch.tensor([[[1.0, 1.0, 0.0]]])
    assert normalise_lf0(lf0, torch.zeros(1, 3), mask).tolist() == [[[0.0, 0.0, 0.0]]]
