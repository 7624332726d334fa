"""The diffusion model against recorded results: denoiser, every sampler, loss, and the layout of its checkpoints."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.golden_cases import Case, models_folder, parametrize, relative_error
from timbre.config.diffusion import DiffusionShape
from timbre.models.diffusion.schedule import schedule_buffers
from timbre.models.diffusion.state import load_state, state_for_file
from timbre.models.diffusion.unit2mel import Speaker, Unit2Mel
from timbre.nn.draws import Draws
from timbre.weights.restricted import read_checkpoint

MANIFEST = "state_dict_manifest_default_configs.json"
DEFAULT_CONFIG: dict[str, Any] = {
    "data": {"encoder": "vec768l12", "encoder_out_channels": 768, "sampling_rate": 44100, "block_size": 512},
    "model": {"n_layers": 20, "n_chans": 512, "n_hidden": 256, "use_pitch_aug": True, "timesteps": 1000, "n_spk": 1},
}
VOCODER_MELS = 128


class NoiseThenZeros:
    """The recorded first noise, then zeros; uniform numbers that lead to the recorded steps."""

    def __init__(self, noise: Tensor, steps: Tensor | None, n_steps: int) -> None:
        self._noise: Tensor | None = noise
        self._steps, self._n_steps = steps, n_steps

    def normal(self, *shape: int) -> Tensor:
        drawn, self._noise = self._noise, None
        if drawn is None:
            return torch.zeros(shape)
        assert tuple(drawn.shape) == shape
        return drawn

    def uniform(self, *shape: int) -> Tensor:
        assert self._steps is not None
        assert tuple(self._steps.shape) == shape
        return (self._steps + 0.5) / self._n_steps


def stored_state(case: Case) -> dict[str, Tensor]:
    state: dict[str, Tensor] = read_checkpoint(case.weights).data["model"]
    return state


def model_of(case: Case) -> Unit2Mel:
    state = stored_state(case)
    n_mels = len(state["decoder.denoise_fn.output_projection.weight"])
    model = Unit2Mel(DiffusionShape.from_config(case.config), n_mels)
    load_state(model, state)
    return model.eval().requires_grad_(False)


def speaker_of(case: Case) -> Speaker | None:
    mix = case.call.get("spk_mix")
    if isinstance(mix, dict):
        return {int(speaker_id): weight for speaker_id, weight in mix.items()}
    frames = case.optional("in.spk_mix")
    return frames if frames is not None else case.optional("in.spk_id")


def draws_of(case: Case, model: Unit2Mel) -> Draws:
    first = next(
        (noise for key in ("draw.noise", "draw.noise_like") if (noise := case.optional(key)) is not None), None
    )
    if first is None:
        return case.draws()
    return NoiseThenZeros(first, case.optional("draw.t"), model.shape.k_step_max)


@parametrize("diff_net")
def test_denoiser(case: Case) -> None:
    network = model_of(case).decoder.denoise_fn
    x, condition = case.tensor("in.x")[:, 0], case.tensor("in.cond")
    steps = {"eps": case.tensor("in.t"), "eps_float": case.tensor("in.t_float")}
    case.judge(
        {
            f"{kind}.{index}": network(x, step[None], condition)[:, None]
            for kind, values in steps.items()
            for index, step in enumerate(values)
        }
    )


@parametrize("diff")
def test_model(case: Case) -> None:
    model = model_of(case)
    units, f0_hz, volume = (case.tensor(f"in.{name}") for name in ("units", "f0", "volume"))
    condition = model.condition(units, f0_hz, volume, speaker_of(case), case.optional("in.aug_shift"))
    mel, draws = case.optional("in.gt_spec"), draws_of(case, model)
    if not case.call["infer"]:
        assert mel is not None
        case.judge({"loss": model.training_loss(condition, mel, draws)})
        return
    method, speedup, k_step = (case.call.get(name) for name in ("method", "speedup", "k_step"))
    assert speedup is not None
    case.judge({"mel": model.sample(condition, draws, method=method, speedup=speedup, k_step=k_step, mel=mel)})


@parametrize("diff_net")
def test_checkpoint_is_written_as_it_was_read(case: Case) -> None:
    stored, written = stored_state(case), state_for_file(model_of(case))
    assert list(written) == list(stored)
    assert all(torch.equal(written[key], value) for key, value in stored.items())


@parametrize("diff_net")
def test_schedule_is_the_stored_one(case: Case) -> None:
    stored = stored_state(case)
    for name, values in schedule_buffers(DiffusionShape.from_config(case.config).timesteps).items():
        assert relative_error(values, stored[f"decoder.{name}"].numpy()) <= 1e-6, name


def test_default_sizes_have_the_keys_and_shapes_of_the_manifest() -> None:
    path = models_folder() / MANIFEST
    if not path.exists():
        pytest.skip(f"{MANIFEST} is absent")
    manifest = json.loads(path.read_text(encoding="utf-8"))["diffusion_template_n_spk1"]
    with torch.device("meta"):
        model = Unit2Mel(DiffusionShape.from_config(DEFAULT_CONFIG), VOCODER_MELS)
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == manifest
