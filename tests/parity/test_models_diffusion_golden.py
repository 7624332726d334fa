"""The diffusion model against recorded results: denoiser, every sampler, loss, and the layout of its checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.golden_cases import Case, parametrize, relative_error
from timbre.config.diffusion import DiffusionShape
from timbre.models.diffusion.schedule import schedule_buffers
from timbre.models.diffusion.state import load_state, state_for_file
from timbre.models.diffusion.unit2mel import Speaker, Unit2Mel
from timbre.nn.draws import Draws

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


def model_of(case: Case) -> Unit2Mel:
    state = case.state()
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
    stored, model = case.state(), model_of(case)
    written = state_for_file(model)
    assert written.keys() == stored.keys()
    assert all(torch.equal(written[key], stored[key].float()) for key, _ in model.named_parameters())


@parametrize("diff_net")
def test_schedule_is_the_stored_one(case: Case) -> None:
    stored = case.state()
    for name, values in schedule_buffers(DiffusionShape.from_config(case.config).timesteps).items():
        recorded = stored[f"decoder.{name}"]
        assert relative_error(values, recorded) <= 8 * torch.finfo(recorded.dtype).eps, name


def test_default_sizes_have_the_keys_and_shapes_of_the_manifest(golden_manifest: dict[str, Any]) -> None:
    with torch.device("meta"):
        model = Unit2Mel(DiffusionShape.from_config(DEFAULT_CONFIG), VOCODER_MELS)
    got = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert list(got.items()) == list(golden_manifest["diffusion_template_n_spk1"].items())  # in this order
