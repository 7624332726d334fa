"""What a diffusion model learns from and by: items, caches, settings, learning rates, processes, files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.toy_diffusion_dataset import DURATION_S, write_diffusion_config, write_diffusion_dataset
from tests.toy_process import OneOf
from tests.toys_sovits import HOP, N_MELS, RATE, WIDTH, SovitsTree, make_tree
from timbre.config.diffusion import DiffusionShape, read_diffusion_yaml
from timbre.config.diffusion_training import DiffusionTrainingSettings, usual_diffusion_config
from timbre.config.train import TrainSettings
from timbre.dataset.folder import Dataset, open_dataset
from timbre.errors import DatasetError, DeviceError, MissingWeightsError, SettingsError, TimbreError, WeightsError
from timbre.models.diffusion.state import load_state
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.nn.precision import reduced_type
from timbre.train.diffusion import DiffusionTrainee, diffusion_voice
from timbre.train.diffusion_files import save_diffusion_files
from timbre.train.diffusion_items import ClipStore, DiffusionItems, DiffusionItemSource, read_clip
from timbre.train.diffusion_setup import new_model, read_start, set_up
from timbre.train.gradients import KeptScaler, average_gradients
from timbre.train.item_draws import item_numbers, shuffled_place
from timbre.train.number_type import choose_number_type
from timbre.train.trainee import TOTAL

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> SovitsTree:
    """The files of a so-vits-svc user, for reading only."""
    return make_tree(tmp_path_factory.mktemp("svc") / "tree")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two speakers with clips of which one is too short for an item."""
    folder = tmp_path_factory.mktemp("diffusion") / "ds"
    return open_dataset(write_diffusion_dataset(folder, ("alice", "eve"), seconds=(1.0, 1.2, 0.55, 0.9)))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_diffusion_config(tmp_path / "diffusion.yaml")


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no vocoder be found."""
    monkeypatch.delenv("TIMBRE_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)


def settings(config: Path, **more: object) -> TrainSettings:
    values = {"family": "diffusion", "steps": 1, "config": str(config), "precision": "exact", "device": "cpu", **more}
    return TrainSettings.from_mapping(values)


def trainee(dataset: Dataset, config: Path, accelerator: OneOf | None = None, **more: object) -> DiffusionTrainee:
    made = diffusion_voice(dataset, settings(config, **more), CPU)
    made.prepare(accelerator or OneOf())
    return made


def store(dataset: Dataset, config: Path, **changes: Any) -> ClipStore:
    given = read_diffusion_yaml(config)
    shape, training = DiffusionShape.from_config(given), DiffusionTrainingSettings.from_config(given)
    return ClipStore(dataset, dataset.clips("train"), shape, {"alice": 0, "eve": 1}, replace(training, **changes))


def source(dataset: Dataset, config: Path, seed: int = 0, **changes: Any) -> DiffusionItemSource:
    return DiffusionItemSource(store(dataset, config, **changes), DURATION_S, seed)


def assert_equal(one: DiffusionItems, other: DiffusionItems) -> None:
    for name, tensor in vars(one).items():
        assert torch.equal(tensor, vars(other)[name]), name


def test_items_depend_on_seed_and_number_only(dataset: Dataset, config: Path) -> None:
    first, again, other = source(dataset, config), source(dataset, config), source(dataset, config, seed=1)
    again.draw(0, 0, 1, 3)
    items, draws = first.draw(5, 0, 1, 4)
    same_items, same_draws = again.draw(5, 0, 1, 4)
    assert_equal(items, same_items)
    assert torch.equal(draws.normal(4, 3), same_draws.normal(4, 3))
    assert not torch.equal(items.mel, other.draw(5, 0, 1, 4)[0].mel)


def test_two_parts_hold_the_items_and_the_chance_of_one_of_twice_the_size(dataset: Dataset, config: Path) -> None:
    whole, chance = source(dataset, config).draw(3, 0, 1, 4)
    parts = [source(dataset, config).draw(3, part, 2, 2) for part in (0, 1)]
    joined = [torch.cat([vars(items)[name] for items, _ in parts]) for name in vars(whole)]
    assert_equal(whole, DiffusionItems(*joined))
    uniform, normal = chance.uniform(4), chance.normal(4, 1, 5)
    assert torch.equal(uniform, torch.cat([draws.uniform(2) for _, draws in parts]))
    assert torch.equal(normal, torch.cat([draws.normal(2, 1, 5) for _, draws in parts]))
    assert item_numbers(3, 1, 2, 2) == range(14, 16)


def test_each_clip_comes_once_in_an_epoch() -> None:
    epochs = [[shuffled_place(0, number, 5) for number in range(start, start + 5)] for start in (0, 5, 10)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_an_item_is_a_stretch_of_a_clip_as_it_is_or_in_another_key(dataset: Dataset, config: Path) -> None:
    made, kept = source(dataset, config, cache_fp16=False), store(dataset, config, cache_fp16=False)
    items, _ = made.draw(0, 0, 1, 40)
    n_frames = int(DURATION_S * RATE / HOP)
    assert items.mel.shape == (40, n_frames, N_MELS) and items.units.shape == (40, n_frames, WIDTH)
    clips = [kept.clip(place) for place in range(len(dataset.clips("train")))]
    shifts = items.aug_shift[:, 0, 0]
    assert 8 < int((shifts != 0).sum()) < 32
    for number, shift in enumerate(shifts.tolist()):
        found = []
        for clip in clips:
            mel, volume = (clip.augmented_mel, clip.augmented_volume) if shift else (clip.mel, clip.volume)
            for first in range(len(mel) - n_frames + 1):
                frames = slice(first, first + n_frames)
                if torch.equal(mel[frames], items.mel[number]):
                    found.append(int(items.speaker[number]) == clip.speaker)
                    torch.testing.assert_close(items.f0_hz[number, :, 0], clip.f0_hz[frames] * 2 ** (shift / 12))
                    assert torch.equal(items.volume[number, :, 0], volume[frames])
                    assert torch.equal(items.units[number], clip.units[frames])
        assert True in found


def test_unvoiced_gaps_are_bridged_and_units_stretched_as_the_config_says(dataset: Dataset, config: Path) -> None:
    shape = DiffusionShape.from_config(read_diffusion_yaml(config))
    entry = dataset.clips("train")[0]
    clip, other = (
        read_clip(dataset, entry, replace(shape, unit_interpolate_mode=mode), {"alice": 0})
        for mode in ("nearest", "linear")
    )
    assert (dataset.features(entry).f0_hz == 0).any() and (clip.f0_hz > 0).all()
    assert clip.units.shape == other.units.shape and not torch.equal(clip.units, other.units)


def test_a_short_clip_gives_way_to_the_next(dataset: Dataset, config: Path) -> None:
    made = source(dataset, config)
    lengths = made._store.lengths_s
    assert made.n_skipped == sum(length < DURATION_S + 0.1 for length in lengths) == 2
    made.draw(0, 0, 1, 30)
    with pytest.raises(DatasetError, match="give a config with a smaller"):
        DiffusionItemSource(store(dataset, config), 3.0, 0)


def test_caches_change_where_clips_lie_and_not_what_they_hold(dataset: Dataset, config: Path) -> None:
    exact, read_again = (source(dataset, config, cache_fp16=False, cache_all_data=keeps) for keeps in (True, False))
    halved = source(dataset, config)
    items, half = exact.draw(1, 0, 1, 4)[0], halved.draw(1, 0, 1, 4)[0]
    assert_equal(items, read_again.draw(1, 0, 1, 4)[0])
    assert halved._store.clip(0).mel.dtype == halved._store.clip(0).units.dtype == torch.float16
    assert half.mel.dtype == torch.float32 and not torch.equal(items.mel, half.mel)
    torch.testing.assert_close(half.mel, items.mel, rtol=1e-3, atol=1e-3)
    assert torch.equal(half.f0_hz, items.f0_hz)
    with pytest.raises(DeviceError):
        store(dataset, config, cache_device="cuda:99")


def test_the_learning_rate_is_that_of_the_usual_schedule() -> None:
    facts = DiffusionTrainingSettings.from_config({"train": {"lr": 0.1, "decay_step": 3, "gamma": 0.5}})
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], facts.lr)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, facts.decay_step, facts.gamma)
    for step in range(10):
        assert np.isclose(facts.learning_rate(step), schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


def test_a_step_uses_the_rate_of_its_number_and_says_so(dataset: Dataset, config: Path) -> None:
    made = trainee(dataset, config)
    for number, rate in ((0, 0.01), (1, 0.01), (2, 0.005), (4, 0.0025)):
        shown = made.step(number)
        assert np.isclose(float(shown["train/lr"]), rate) and shown[TOTAL] == shown["train/loss"]
        assert made.optimizers["optimizer"].param_groups[0]["lr"] == pytest.approx(rate)
    assert trainee(dataset, config, learning_rate=0.1).step(2)["train/lr"] == pytest.approx(0.05)


def test_the_mean_of_two_processes_is_the_gradient_of_the_doubled_batch(dataset: Dataset, config: Path) -> None:
    def gradients(accelerator: OneOf, batch_size: int) -> torch.Tensor:
        made = trainee(dataset, config, accelerator)
        # The last layer starts at zero and would hide what is before it.
        torch.nn.init.normal_(
            made.modules["unit2mel"].decoder.denoise_fn.output_projection.weight,  # type: ignore[union-attr, arg-type]
            generator=torch.Generator().manual_seed(0),
        )
        made._gradients(4, batch_size)
        average_gradients(made.modules["unit2mel"].parameters(), accelerator)  # type: ignore[arg-type]
        return torch.cat([weight.grad.flatten() for weight in made.modules["unit2mel"].parameters()])  # type: ignore[union-attr]

    together = gradients(OneOf(), 4)
    torch.testing.assert_close(gradients(OneOf(0, 2), 2) + gradients(OneOf(1, 2), 2), together, rtol=1e-4, atol=1e-6)
    assert together.abs().max() > 1e-3


def test_a_rehearsal_teaches_nothing(dataset: Dataset, config: Path) -> None:
    made = trainee(dataset, config)
    before = {name: value.clone() for name, value in made.modules["unit2mel"].state_dict().items()}
    made.rehearse(3)
    assert all(torch.equal(value, before[name]) for name, value in made.modules["unit2mel"].state_dict().items())
    assert all(weight.grad is None for weight in made.modules["unit2mel"].parameters())


def test_a_loss_that_is_no_number_stops_before_it_does_harm(dataset: Dataset, config: Path) -> None:
    made = trainee(dataset, config)
    bias = made.modules["unit2mel"].unit_embed.bias  # type: ignore[union-attr]
    bias.data[0] = torch.nan  # type: ignore[union-attr]
    with pytest.raises(SettingsError, match="loss or gradient of step 7 is no number"):
        made.step(7)
    assert bias.isfinite().sum() == len(bias) - 1  # type: ignore[arg-type, operator, union-attr]


def test_validation_gives_the_same_numbers_for_the_same_weights(dataset: Dataset, config: Path) -> None:
    made = trainee(dataset, config)
    assert made.listen_to([]) is None and any("is not on this machine" in note for note in made.notes)
    assert "left out: 2 clips too short for an item" in made.notes
    first, again = made.probe(), made.probe()
    assert first.numbers == again.numbers and first.score == -first.numbers["mel_distance"]
    for number in range(20):
        made.step(number)
    assert made.probe().numbers["validation_loss"] < first.numbers["validation_loss"]
    assert made.sample() is None


def test_without_settings_the_usual_ones_are_taken(dataset: Dataset) -> None:
    setup = set_up(dataset, TrainSettings(family="diffusion", steps=1), None, None)
    assert (setup.shape.n_layers, setup.shape.n_chans, setup.shape.n_hidden) == (20, 512, 256)
    assert (setup.shape.n_spk, setup.shape.speakers) == (2, {"alice": 0, "eve": 1})
    assert (setup.training.batch_size, setup.training.duration, setup.training.lr) == (48, 2, 1e-4)
    assert not setup.is_given and setup.shape.encoder == dataset.manifest.encoder
    empty = DiffusionTrainingSettings.from_config({})
    assert empty == DiffusionTrainingSettings.from_config(usual_diffusion_config("e", 1, 1, 1, "left"))


def test_speakers_have_the_numbers_of_the_voice_or_of_the_config(dataset: Dataset, tmp_path: Path) -> None:
    def numbers(of_config: dict[str, int], of_voice: dict[str, int] | None = None) -> tuple[dict[str, int], int]:
        file = write_diffusion_config(tmp_path / "c.yaml", of_config)
        shape = set_up(dataset, settings(file), None, of_voice).shape
        return dict(shape.speakers), shape.n_spk

    assert numbers({"eve": 0, "alice": 1}) == ({"eve": 0, "alice": 1}, 2)
    assert numbers({"bob": 0}) == ({"alice": 0, "eve": 1}, 2)
    assert numbers({"bob": 0}, {"eve": 0, "ada": 1, "alice": 4}) == ({"eve": 0, "ada": 1, "alice": 4}, 5)
    with pytest.raises(SettingsError, match="the voice knows ada"):
        numbers({}, {"ada": 0})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"encoder": "vec768l12"}, "say encoder vec768l12, but the dataset was prepared with vec256l9"),
        ({"block_size": 512}, "say block_size 512"),
        ({"amp_dtype": "fp8"}, "it must be one of: fp32, fp16, bf16"),
        ({"duration": -1}, "duration is -1; it must be above 0"),
        ({"lr": 0}, "lr is 0; it must be above 0"),
        ({"weight_decay": -0.5}, "weight_decay is -0.5"),
        ({"cache_fp16": "yes"}, "it must be true or false"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    dataset: Dataset, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        trainee(dataset, write_diffusion_config(tmp_path / "c.yaml", **changes))


def test_a_dataset_for_other_things_is_refused(tmp_path: Path, config: Path) -> None:
    folder = write_diffusion_dataset(tmp_path / "ds", diffusion=False)
    with pytest.raises(DatasetError, match="prepare the recordings with --diffusion"):
        trainee(open_dataset(folder), config)


def test_k_step_max_bounds_the_noise_that_is_learned(dataset: Dataset, tmp_path: Path) -> None:
    made = trainee(dataset, write_diffusion_config(tmp_path / "c.yaml", k_step_max=10))
    steps: list[torch.Tensor] = []
    denoiser = made.modules["unit2mel"].decoder.denoise_fn  # type: ignore[union-attr]
    denoiser.register_forward_pre_hook(lambda _, given: steps.append(given[1]))  # type: ignore[union-attr, operator]
    for number in range(10):
        made.step(number)
    assert 5 < int(torch.cat(steps).max()) < 10
    assert made.probe().numbers["mel_distance"] > 0


@pytest.mark.parametrize(
    ("precision", "word", "number_type"),
    [("exact", "bf16", torch.float32), ("auto", "fp32", torch.float32), ("auto", "bf16", torch.bfloat16)],
)
def test_the_number_type_is_what_was_asked_for_or_what_the_config_says(
    dataset: Dataset, tmp_path: Path, precision: str, word: str, number_type: torch.dtype
) -> None:
    file = write_diffusion_config(tmp_path / "c.yaml", amp_dtype=word)
    made = trainee(dataset, file, precision=precision)
    assert made.number_type == number_type
    assert made.step(0)[TOTAL].isfinite()
    assert all(weight.dtype == torch.float32 for weight in made.modules["unit2mel"].parameters())


def test_float16_gives_way_where_there_is_no_cuda_and_that_is_told(dataset: Dataset, tmp_path: Path) -> None:
    usual = reduced_type("auto", CPU) or torch.float32
    file = write_diffusion_config(tmp_path / "c.yaml", amp_dtype="fp16")
    made = trainee(dataset, file, precision="auto")
    assert made.number_type == usual and made.step(0)[TOTAL].isfinite()
    name = str(usual).removeprefix("torch.")
    assert f"amp_dtype of the diffusion settings asks for float16, which only CUDA has; it is {name} instead" in (
        made.notes
    )
    assert not any("float16" in note for note in trainee(dataset, file, precision="exact").notes)
    wanted = set_up(dataset, settings(file), None, None).wanted_number_type
    assert choose_number_type(wanted, "it", "auto", torch.device("cuda")) == (torch.float16, [])


def test_the_scale_of_losses_is_kept_with_the_weights() -> None:
    one, other, off = KeptScaler("cpu", enabled=True), KeptScaler("cpu", enabled=True), KeptScaler("cpu", enabled=False)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], 0.1)
    one.scaler.scale(weight * torch.inf).backward()
    one.scaler.step(optimizer)
    one.scaler.update()
    other.load_state_dict(one.state_dict())
    assert other.scaler.get_scale() == one.scaler.get_scale() == 2**15
    off.load_state_dict(off.state_dict())
    assert float(off.scaler.scale(torch.ones(()))) == 1


def test_a_start_fills_what_fits_and_names_the_rest(dataset: Dataset, tree: SovitsTree, config: Path) -> None:
    start = read_start(tree.diffusion)
    setup = set_up(dataset, settings(config), start, None)
    model, fresh = new_model(setup, N_MELS, start, 0)
    assert fresh == [] and start.step == 100
    assert torch.equal(model.unit_embed.weight, start.tensors["unit_embed.weight"])
    _, fresh = new_model(replace(setup, shape=replace(setup.shape, n_spk=3)), N_MELS, start, 0)
    assert fresh == ["spk_embed.weight"]
    made = trainee(dataset, config, start=str(tree.diffusion))
    assert made.origins["start"] and float(made.step(0)["train/lr"]) == pytest.approx(0.01 * 0.5**50)


def test_files_are_read_again(tree: SovitsTree, tmp_path: Path) -> None:
    config = read_diffusion_yaml(tree.diffusion_config)
    model = Unit2Mel(DiffusionShape.from_config(config), N_MELS)
    save_diffusion_files(tmp_path / "sovits", model, config, 3)
    file = save_diffusion_files(tmp_path / "sovits", model, config, 12)
    assert [path.name for path in sorted((tmp_path / "sovits").iterdir())] == ["config.yaml", "model_12.pt"]
    assert read_diffusion_yaml(file.with_name("config.yaml")) == config
    start = read_start(tmp_path / "sovits")
    again = Unit2Mel(model.shape, N_MELS)
    load_state(again, start.tensors)
    assert start.step == 12
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_start_that_is_none_is_refused(tree: SovitsTree, tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"holds no model_\*.pt"):
        read_start(tmp_path)
    with pytest.raises(WeightsError):
        read_start(tree.model)
    with pytest.raises(TimbreError):
        read_start(tmp_path / "absent.pt")
