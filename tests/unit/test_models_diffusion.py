"""The diffusion model as a module: speakers, depth, batches, loss, and its weights in and out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from timbre.config.diffusion import DiffusionShape
from timbre.errors import SettingsError, WeightsError
from timbre.models.diffusion.denoiser import step_embedding
from timbre.models.diffusion.samplers import METHODS
from timbre.models.diffusion.state import load_state, state_for_file
from timbre.models.diffusion.unit2mel import Speaker, Unit2Mel
from timbre.nn.draws import SeededDraws

N_MELS = 5
SHAPE = DiffusionShape(
    encoder="vec768l12",
    encoder_out_channels=6,
    block_size=512,
    sampling_rate=44_100,
    n_layers=2,
    n_chans=8,
    n_hidden=4,
    use_pitch_aug=True,
    timesteps=40,
    k_step_max=40,
    n_spk=3,
    unit_interpolate_mode="left",
    vocoder_type="nsf-hifigan",
    infer_method="unipc",
    infer_speedup=10,
    speakers={"ada": 0, "björn": 1, "cem": 2},
)


def make_model(seed: int = 0, **changes: Any) -> Unit2Mel:
    """Return a model whose weights are all random, the last layer's too."""
    model, generator = Unit2Mel(replace(SHAPE, **changes), N_MELS), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def features(n_batch: int = 2, n_frames: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    units = torch.randn(n_batch, n_frames, SHAPE.encoder_out_channels, generator=generator)
    f0_hz = 300 * torch.rand(n_batch, n_frames, 1, generator=generator)
    return units, f0_hz, torch.rand(n_batch, n_frames, 1, generator=generator)


def random_mel(n_batch: int = 2, n_frames: int = 9) -> Tensor:
    return torch.rand(n_batch, n_frames, N_MELS, generator=torch.Generator().manual_seed(6)) * 10 - 10


class CountingDraws(SeededDraws):
    """Remembers the requests."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.shapes: list[tuple[int, ...]] = []

    def normal(self, *shape: int) -> Tensor:
        self.shapes.append(shape)
        return super().normal(*shape)


class OneItem:
    """What the draws of a whole batch hold for one item."""

    def __init__(self, draws: SeededDraws, item: int, n_batch: int) -> None:
        self._draws, self._item, self._n_batch = draws, item, n_batch

    def normal(self, *shape: int) -> Tensor:
        return self._draws.normal(self._n_batch, *shape[1:])[self._item : self._item + 1]

    def uniform(self, *shape: int) -> Tensor:
        return self._draws.uniform(self._n_batch, *shape[1:])[self._item : self._item + 1]


class TestCondition:
    @pytest.mark.parametrize(
        "speaker",
        [
            torch.tensor([[2], [2]]),
            torch.tensor([2]),
            {2: 1.0},
            {0: 0.0, 2: 1.0},
            torch.tensor([0.0, 0, 1]).expand(9, 3),
            torch.tensor([0.0, 0, 1], dtype=torch.float64).expand(2, 9, 3),
        ],
        ids=["column", "one", "mix", "mix with zero", "frames", "batch of frames"],
    )
    def test_one_speaker_in_any_form_is_the_same(self, speaker: Speaker) -> None:
        model = make_model()
        torch.testing.assert_close(
            model.condition(*features(), speaker), model.condition(*features(), torch.tensor([2, 2]))
        )

    def test_ids_belong_to_the_items_of_a_batch(self) -> None:
        model, (units, f0_hz, volume) = make_model(), features()
        both = model.condition(units, f0_hz, volume, torch.tensor([[0], [1]]))
        for item in range(2):
            alone = model.condition(units[item : item + 1], f0_hz[item : item + 1], volume[item : item + 1], {item: 1})
            torch.testing.assert_close(both[item : item + 1], alone)

    def test_a_mix_may_change_from_frame_to_frame(self) -> None:
        model = make_model()
        share = torch.linspace(0, 1, 9)
        weights = torch.stack((1 - share, torch.zeros(9), share), dim=1)
        mixed = model.condition(*features(), weights)
        first, last = (model.condition(*features(), {speaker_id: 1}) for speaker_id in (0, 2))
        torch.testing.assert_close(mixed, torch.lerp(first, last, share[:, None]))

    def test_formula(self) -> None:
        model, (units, f0_hz, volume) = make_model(), features()
        parts = (model.unit_embed(units), model.f0_embed(torch.log(1 + f0_hz / 700)), model.volume_embed(volume))
        assert model.spk_embed is not None
        expected = sum(parts) + model.spk_embed.weight[1]
        torch.testing.assert_close(model.condition(units, f0_hz, volume, {1: 1}), expected)

    def test_shift_is_heard_only_by_a_model_with_pitch_augmentation(self) -> None:
        model, shift = make_model(), torch.tensor([0.0, 5.0])[:, None, None]
        assert model.aug_shift_embed is not None
        plain, shifted = model.condition(*features(), {0: 1}), model.condition(*features(), {0: 1}, shift)
        torch.testing.assert_close(shifted[0], plain[0])
        torch.testing.assert_close(shifted[1] - plain[1], model.aug_shift_embed.weight[:, 0].expand(9, -1))
        without = make_model(use_pitch_aug=False)
        assert torch.equal(without.condition(*features(), {0: 1}, shift), without.condition(*features(), {0: 1}))

    def test_a_model_of_one_speaker_ignores_the_choice(self) -> None:
        model = make_model(n_spk=1)
        assert model.spk_embed is None
        assert torch.equal(model.condition(*features(), torch.tensor([7])), model.condition(*features()))

    @pytest.mark.parametrize(
        ("speaker", "sentence"),
        [
            (None, "has 3 speakers but none was chosen"),
            (torch.tensor([[0], [3]]), "no speaker 3; choose one of 0 to 2"),
            ({-1: 1.0}, "no speaker -1; choose one of 0 to 2"),
            (torch.ones(9, 2), "mix is of 2 speakers but the diffusion model has 3"),
        ],
    )
    def test_speakers_that_are_not_there(self, speaker: Speaker | None, sentence: str) -> None:
        with pytest.raises(SettingsError, match=sentence):
            make_model().condition(*features(), speaker)

    def test_units_of_another_encoder(self) -> None:
        _, f0_hz, volume = features()
        with pytest.raises(SettingsError, match=r"256 channels .* hears 6; use its content encoder 'vec768l12'"):
            make_model().condition(torch.zeros(2, 9, 256), f0_hz, volume, {0: 1})


class TestDenoiser:
    def test_one_step_serves_a_whole_batch(self) -> None:
        network, condition = make_model().decoder.denoise_fn, features()[0][..., : SHAPE.n_hidden].transpose(1, 2)
        x = random_mel().transpose(1, 2)
        whole = network(x, torch.tensor([3.5, 3.5]), condition)
        torch.testing.assert_close(network(x, torch.tensor([3.5]), condition), whole)

    def test_embedding_of_a_step(self) -> None:
        embedding = step_embedding(torch.tensor([0, 3]), 4)
        phase = torch.tensor([3.0, 3.0e-4])
        expected = torch.stack((torch.tensor([0.0, 0, 1, 1]), torch.cat((phase.sin(), phase.cos()))))
        torch.testing.assert_close(embedding, expected)

    def test_a_new_model_tells_no_noise(self) -> None:
        network = Unit2Mel(SHAPE, N_MELS).decoder.denoise_fn
        noise = network(random_mel().transpose(1, 2), torch.tensor([3]), torch.ones(2, SHAPE.n_hidden, 9))
        assert torch.equal(noise, noise[:1, :, :1].expand(2, N_MELS, 9))  # its bias alone


def sample(model: Unit2Mel, method: str | None = "unipc", n_frames: int = 9, **options: Any) -> Tensor:
    condition = model.condition(*features(n_frames=n_frames), {0: 1} if model.shape.n_spk > 1 else None)
    options = {"draws": SeededDraws(3), "speedup": 4, **options}
    return model.sample(condition, options.pop("draws"), method=method, **options)


class TestSample:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("n_frames", [1, 9])
    @pytest.mark.parametrize("shallow", [False, True])
    def test_each_item_of_a_batch_is_as_if_alone(self, method: str, n_frames: int, shallow: bool) -> None:
        model, mel = make_model(), random_mel(n_frames=n_frames) if shallow else None
        condition = model.condition(*features(n_frames=n_frames), {0: 1})
        both = model.sample(condition, SeededDraws(3), method=method, speedup=4, k_step=20, mel=mel)
        assert both.shape == (2, n_frames, N_MELS)
        assert not both.requires_grad
        for item in range(2):
            draws, part = OneItem(SeededDraws(3), item, 2), slice(item, item + 1)
            own_mel = None if mel is None else mel[part]
            alone = model.sample(condition[part], draws, method=method, speedup=4, k_step=20, mel=own_mel)
            torch.testing.assert_close(both[part], alone, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(("method", "n_requests"), [("ddpm", 21), (None, 21), ("ddim", 1), ("unipc", 1)])
    def test_draws_of_one_shape(self, method: str | None, n_requests: int) -> None:
        draws = CountingDraws()
        sample(make_model(), method, draws=draws, k_step=20, mel=random_mel())
        assert draws.shapes == [(2, 1, N_MELS, 9)] * n_requests

    def test_only_the_given_draws_are_used(self) -> None:
        model, state = make_model(), torch.get_rng_state()
        assert torch.equal(sample(model, "ddpm"), sample(model, "ddpm"))
        assert torch.equal(torch.get_rng_state(), state)
        assert not torch.equal(sample(model, "ddpm"), sample(model, "ddpm", draws=SeededDraws(4)))

    def test_a_shallow_depth_stays_close_to_the_given_mel(self) -> None:
        model, mel = make_model(), random_mel()
        near, far = ((sample(model, mel=mel, k_step=depth) - mel).abs().mean() for depth in (1, 40))
        assert near < 0.1 < far

    def test_no_depth_is_the_deepest(self) -> None:
        model, mel = make_model(k_step_max=12), random_mel()
        assert torch.equal(sample(model, mel=mel), sample(model, mel=mel, k_step=12))

    def test_depth_does_not_count_without_a_mel(self) -> None:
        model = make_model()
        assert torch.equal(sample(model, k_step=3), sample(model))

    def test_start_from_noise_needs_training_to_the_end(self) -> None:
        with pytest.raises(SettingsError, match="diffusion of 40 steps was asked for, but this model knows 1 to 12"):
            sample(make_model(k_step_max=12))

    @pytest.mark.parametrize("depth", [0, -1, 13])
    def test_depth_out_of_range(self, depth: int) -> None:
        with pytest.raises(SettingsError, match=f"diffusion of {depth} steps was asked for.* knows 1 to 12"):
            sample(make_model(k_step_max=12), mel=random_mel(), k_step=depth)

    def test_the_depth_begins_at_its_last_step(self) -> None:
        model, mel = make_model(), random_mel()
        for parameter in model.decoder.denoise_fn.output_projection.parameters():
            parameter.data.zero_()
        mixed = sample(model, "ddim", mel=mel, k_step=4)  # a single idle jump: nothing is taken away
        noise = SeededDraws(3).normal(2, 1, N_MELS, 9)[:, 0]
        expected = model.decoder.diffuse(model.decoder.normalise(mel), torch.tensor([3, 3]), noise)
        torch.testing.assert_close(mixed, model.decoder.denormalise(expected))

    def test_the_schedule_of_the_file_is_used(self) -> None:
        model = make_model()
        before = {method: sample(model, method) for method in METHODS}
        state = state_for_file(model)
        load_state(model, {key: value * 0.9 if "alphas" in key else value for key, value in state.items()})
        for method in ("ddpm", "ddim", "pndm"):
            assert not torch.allclose(sample(model, method), before[method])
        load_state(model, state | {"decoder.betas": state["decoder.betas"] * 0.9})
        for method in ("dpm-solver", "dpm-solver++", "unipc"):
            assert not torch.allclose(sample(model, method), before[method])


class TestTraining:
    @pytest.mark.parametrize(("fraction", "step"), [(0.0, 0), (0.5, 6), (1 - 2**-24, 11)])
    def test_loss_at_a_step_within_the_trained_depth(self, fraction: float, step: int) -> None:
        class Fixed(SeededDraws):
            def uniform(self, *shape: int) -> Tensor:
                return torch.full(shape, fraction)

        model, mel = make_model(k_step_max=12), random_mel()
        condition = model.condition(*features(), {0: 1})
        noise, steps = SeededDraws(8).normal(2, 1, N_MELS, 9)[:, 0], torch.tensor([step, step])
        x = model.decoder.diffuse(((mel + 12) / 7 - 1).transpose(1, 2), steps, noise)
        expected = (model.decoder.denoise_fn(x, steps, condition.transpose(1, 2)) - noise).square().mean()
        torch.testing.assert_close(model.training_loss(condition, mel, Fixed(8)), expected)

    def test_every_weight_learns(self) -> None:
        model = make_model().train()
        condition = model.condition(*features(), torch.tensor([[0], [1]]), torch.tensor([[[2.0]], [[0.0]]]))
        model.training_loss(condition, random_mel(), SeededDraws(0)).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            if name != "decoder.denoise_fn.residual_layers.1.output_projection.bias":
                assert parameter.grad.abs().sum() > 0, name

    def test_range_of_the_mel(self) -> None:
        decoder, mel = make_model().decoder, torch.tensor([[[-12.0, -5.0, 2.0, 9.0, -19.0]]])
        assert decoder.normalise(mel)[0, :, 0].tolist() == [-1, 0, 1, 2, -2]
        torch.testing.assert_close(decoder.denormalise(decoder.normalise(random_mel())), random_mel())


def without(key: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.pop(key)  # type: ignore[return-value]


class TestState:
    @pytest.mark.parametrize(
        "form",
        [
            lambda state: state,
            lambda state: {"global_step": 7, "model": state},
            lambda state: {"global_step": 7, "model": state, "optimizer": {"state": {}, "param_groups": []}},
            lambda state: {f"module.{key}": value for key, value in state.items()},
        ],
        ids=["bare", "checkpoint", "with optimizer", "parallel"],
    )
    def test_every_form_is_read(self, form: Callable[[dict[str, Tensor]], dict[str, Any]]) -> None:
        model, other = make_model(1), make_model(2)
        load_state(other, form(state_for_file(model)))
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items())

    def test_half_precision_is_read_as_single(self) -> None:
        model, other = make_model(1), make_model(2)
        half = {key: value.half() for key, value in state_for_file(model).items()}
        load_state(other, half)
        assert all(value.dtype == torch.float32 for value in other.state_dict().values())
        assert all(torch.equal(value, half[key].float()) for key, value in other.named_parameters())
        # In half precision the first of these is 1, which is no noise at all.
        assert all(torch.equal(value, model.get_buffer(key)) for key, value in other.named_buffers())
        assert torch.isfinite(sample(other)).all()

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"encoder_out_channels": 7}, "data.encoder_out_channels 7 but the yaml says 6"),
            ({"n_hidden": 3}, "model.n_hidden 3 but the yaml says 4"),
            ({"n_chans": 10}, "model.n_chans 10 but the yaml says 8"),
            ({"n_layers": 1}, "model.n_layers 1 but the yaml says 2"),
            ({"n_layers": 3}, "model.n_layers 3 but the yaml says 2"),
            ({"timesteps": 50}, "model.timesteps 50 but the yaml says 40"),
            ({"n_spk": 1}, "model.n_spk 1 but the yaml says 3"),
            ({"n_spk": 4}, "model.n_spk 4 but the yaml says 3"),
            ({"use_pitch_aug": False}, "model.use_pitch_aug False but the yaml says True"),
        ],
    )
    def test_weights_of_other_sizes(self, changes: dict[str, Any], sentence: str) -> None:
        model = make_model()
        with pytest.raises(WeightsError, match=sentence):
            load_state(model, state_for_file(make_model(1, **changes)))
        assert torch.equal(model.unit_embed.weight, make_model().unit_embed.weight)

    def test_weights_for_another_vocoder(self) -> None:
        with pytest.raises(WeightsError, match="mel bands 5 but the vocoder says 6; use the vocoder"):
            load_state(Unit2Mel(SHAPE, 6), state_for_file(make_model()))

    @pytest.mark.parametrize(
        ("damage", "sentence"),
        [
            (without("volume_embed.bias"), "lack 'volume_embed.bias'"),
            (without("decoder.spec_min"), "lack 'decoder.spec_min'"),
            (lambda state: state.update({"extra.weight": torch.zeros(1)}), "have an unknown 'extra.weight'"),
            (
                lambda state: state.update({"volume_embed.bias": torch.zeros(3)}),
                r"'volume_embed.bias' have the shape \(3,\) instead of \(4,\)",
            ),
            (without("unit_embed.weight"), "lack 'unit_embed.weight'"),
            (
                lambda state: state.update({"unit_embed.weight": torch.zeros(())}),
                r"'unit_embed.weight' have the shape \(\)",
            ),
        ],
    )
    def test_damaged_weights(self, damage: Callable[[dict[str, Tensor]], None], sentence: str) -> None:
        state = state_for_file(make_model())
        damage(state)
        with pytest.raises(WeightsError, match=sentence):
            load_state(make_model(), state)

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ({}, "not known here; give a diffusion model"),
            ({"state": {}, "param_groups": []}, "state of an optimizer without its network; give a diffusion model"),
            ({"unit_embed.weight": torch.zeros(())}, "give a diffusion model"),
            ({"model": {"unit2ctrl.stack.0.weight": torch.zeros(1)}}, "DDSP-SVC model"),
        ],
    )
    def test_other_files(self, content: dict[str, Any], sentence: str) -> None:
        with pytest.raises(WeightsError, match=sentence):
            load_state(make_model(), content)
