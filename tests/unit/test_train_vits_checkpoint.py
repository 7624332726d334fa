"""Checkpoints in the layout of so-vits-svc: going on, starting from others, and what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.toy_training import randomise, toy_batch, toy_training
from timbre.errors import OutputError, TimbreError, WeightsError
from timbre.nn.draws import SeededDraws
from timbre.train.vits_checkpoint import newest_pair, read_vits_checkpoint, remove_old, resume, save_pair
from timbre.train.vits_step import VitsTraining, learning_rate, training_step


def trained(n_steps: int = 2, **changes: Any) -> VitsTraining:
    training = toy_training(**changes)
    draws = SeededDraws(5)
    for _ in range(n_steps):
        training_step(training, toy_batch(), draws)
    for optimizer in (training.synthesizer_optimizer, training.discriminator_optimizer):
        optimizer.param_groups[0]["lr"] = learning_rate(training.settings, epoch=2)
    return training


def same_weights(left: VitsTraining, right: VitsTraining) -> bool:
    pairs = ((left.synthesizer, right.synthesizer), (left.discriminator, right.discriminator))
    return all(
        torch.equal(value, other.state_dict()[key]) for one, other in pairs for key, value in one.state_dict().items()
    )


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    training, other = trained(), toy_training(seed=1)
    save_pair(training, tmp_path, epoch=3, step=800)
    pair = newest_pair(tmp_path)
    assert pair is not None and pair.step == 800
    resumed = resume(other, pair)
    assert (resumed.epoch, resumed.step, resumed.fresh) == (3, 801, ())
    for each in (training, other):
        training_step(each, toy_batch(seed=1), SeededDraws(6))
    assert same_weights(training, other)
    assert other.synthesizer_optimizer.param_groups[0]["lr"] == 0.5e-3


def test_files_have_the_layout_of_the_original(tmp_path: Path) -> None:
    training = trained()
    pair = save_pair(training, tmp_path / "logs" / "ada", epoch=3, step=800)
    for path, network in ((pair.synthesizer, training.synthesizer), (pair.discriminator, training.discriminator)):
        content = torch.load(path, weights_only=True)
        assert set(content) == {"model", "iteration", "optimizer", "learning_rate"}
        assert content["iteration"] == 3
        assert content["learning_rate"] == 1e-3
        assert any(key.endswith(".weight_g") for key in content["model"])
        assert not any("parametrizations" in key for key in content["model"])
        (group,) = content["optimizer"]["param_groups"]
        assert (group["lr"], group["initial_lr"], group["weight_decay"]) == (0.5e-3, 1e-3, 0.01)
        shapes = [content["model"][key].shape for key in content["model"]]
        assert [entry["exp_avg"].shape for entry in content["optimizer"]["state"].values()] == shapes
        torch.optim.AdamW(list(network.parameters())).load_state_dict(content["optimizer"])
    assert sorted(path.name for path in pair.synthesizer.parent.iterdir()) == ["D_800.pth", "G_800.pth"]


def test_only_the_digits_of_the_file_name_count(tmp_path: Path) -> None:
    folder = tmp_path / "run 2024_9999"
    training = toy_training()
    for step in (9, 800, 1600):
        save_pair(training, folder, epoch=1, step=step)
    shutil.copy(folder / "G_9.pth", folder / "G_99999_release.pth")
    pair = newest_pair(folder)
    assert pair is not None and pair.synthesizer.name == "G_1600.pth"


def test_no_checkpoint_is_no_error_but_half_of_one_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert newest_pair(tmp_path) is None
    pair = save_pair(toy_training(), tmp_path, epoch=1, step=800)
    shutil.copy(pair.synthesizer, tmp_path / "G_1600.pth")
    found = newest_pair(tmp_path)
    assert found is not None and found.step == 800
    assert "G_1600.pth has no partner" in caplog.text
    pair.synthesizer.unlink()
    with pytest.raises(WeightsError, match=r"'G_1600\.pth' has no partner"):
        newest_pair(tmp_path)


def test_a_base_model_of_other_speakers_starts_anew(tmp_path: Path) -> None:
    base = trained(n_speakers=7)
    pair = save_pair(base, tmp_path, epoch=500, step=0)
    training = toy_training(seed=1)
    table = training.synthesizer.state_dict()["emb_g.weight"].clone()
    resumed = resume(training, pair)
    assert (resumed.epoch, resumed.step, resumed.fresh) == (1, 1, ("emb_g.weight",))
    assert torch.equal(training.synthesizer.state_dict()["emb_g.weight"], table)
    assert torch.equal(training.synthesizer.pre.weight, base.synthesizer.pre.weight)
    assert not training.synthesizer_optimizer.state
    assert training.synthesizer_optimizer.param_groups[0]["lr"] == 1e-3


def test_the_first_checkpoint_of_a_run_is_gone_on_from_with_its_optimizers(tmp_path: Path) -> None:
    pair = save_pair(trained(), tmp_path, epoch=1, step=0)
    training = toy_training(seed=1)
    resumed = resume(training, pair)
    assert (resumed.epoch, resumed.step, resumed.fresh) == (1, 1, ())
    assert len(training.synthesizer_optimizer.state) == len(list(training.synthesizer.parameters()))


def test_a_released_file_can_be_a_base_but_not_be_gone_on_from(tmp_path: Path) -> None:
    base = trained()
    for step in (0, 800):
        pair = save_pair(base, tmp_path, epoch=1, step=step)
        content = torch.load(pair.synthesizer, weights_only=True)
        kept = {key: value.half() for key, value in content["model"].items() if not key.startswith("enc_q.")}
        content |= {"model": kept, "optimizer": {"state": {}, "param_groups": []}, "iteration": 0}
        torch.save(content, pair.synthesizer)
        training = toy_training(seed=1)
        if step == 0:
            resumed = resume(training, pair)
            assert all(key.startswith("enc_q.") for key in resumed.fresh)
            assert resumed.fresh
            weight = training.synthesizer.pre.weight
            assert weight.dtype == torch.float32
            assert torch.equal(weight, base.synthesizer.pre.weight.half().float())
        else:
            with pytest.raises(WeightsError, match="released file without the posterior encoder"):
                resume(training, pair)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("G_800.pth", {"optimizer": None}, r"'G_800\.pth' has no optimizer state"),
        ("D_800.pth", {"optimizer": {"state": {0: {}}, "param_groups": [{}]}}, "optimizer state in .* is damaged"),
        ("D_800.pth", {"optimizer": {"state": {0: {}}, "param_groups": "?"}}, "optimizer state in .* is damaged"),
        ("D_800.pth", {"model": {}}, r"'D_800\.pth' has no 'discriminators\.0\.convs\.0\.bias' that fits"),
        ("G_800.pth", {"iteration": "3"}, "is no checkpoint of so-vits-svc"),
        ("G_800.pth", {"model": None}, "is no checkpoint of so-vits-svc"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, file: str, change: dict[str, Any], message: str) -> None:
    pair = save_pair(trained(1), tmp_path, epoch=1, step=800)
    torch.save(torch.load(tmp_path / file, weights_only=True) | change, tmp_path / file)
    with pytest.raises(WeightsError, match=message):
        resume(toy_training(), pair)


def test_a_list_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "G_1.pth")
    with pytest.raises(WeightsError, match="is no checkpoint of so-vits-svc"):
        read_vits_checkpoint(tmp_path / "G_1.pth")


def test_an_optimizer_of_another_network_is_refused(tmp_path: Path) -> None:
    training, other = trained(1), trained(1, vol_embedding=True)
    pair, wider = save_pair(training, tmp_path, epoch=1, step=800), save_pair(other, tmp_path, epoch=1, step=900)
    for count in ("another", "the same"):
        content = torch.load(pair.synthesizer, weights_only=True)
        content["optimizer"] = torch.load(wider.synthesizer, weights_only=True)["optimizer"]
        if count == "the same":
            content["optimizer"]["param_groups"][0]["params"] = list(range(len(content["model"])))
        torch.save(content, pair.synthesizer)
        with pytest.raises(WeightsError, match="is of another network") as error:
            resume(toy_training(), pair)
        assert "\n" not in str(error.value)


def test_weights_of_another_config_are_refused_by_file_name(tmp_path: Path) -> None:
    pair = save_pair(trained(1), tmp_path, epoch=1, step=800)
    with pytest.raises(WeightsError, match=r"'G_800\.pth'.*vol_embedding"):
        resume(toy_training(vol_embedding=True), pair)


def test_old_checkpoints_go_by_the_time_of_writing(tmp_path: Path) -> None:
    for age, name in enumerate(["G_0", "G_800", "G_2400", "G_1600", "D_0", "D_800", "G_5_release", "Games"]):
        path = tmp_path / f"{name}.pth"
        path.touch()
        os.utime(path, (age, age))
    remove_old(tmp_path, 0)
    assert len(list(tmp_path.iterdir())) == 8
    remove_old(tmp_path, 2)
    kept = sorted(path.stem for path in tmp_path.iterdir())
    assert kept == ["D_0", "D_800", "G_0", "G_1600", "G_2400", "G_5_release", "Games"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = toy_training()
    pair = save_pair(training, tmp_path, epoch=1, step=1)
    before = pair.synthesizer.read_bytes()
    randomise(training.synthesizer, seed=9)

    def fail(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OutputError, match="check the space on the disk"):
        save_pair(training, tmp_path, epoch=2, step=1)
    assert pair.synthesizer.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_files_of_the_original_load(golden_models: Path) -> None:
    files = sorted((golden_models / "resume").glob("G_*.pth"))
    if not files:
        pytest.skip("resume/G_*.pth is absent")
    for path in files:
        checkpoint, released = read_vits_checkpoint(path), "release" in path.name
        assert (checkpoint.optimizer is None) is released
        assert all(value.dtype == torch.float32 for value in checkpoint.tensors.values())
        assert any(key.startswith("enc_q.") for key in checkpoint.tensors) is not released


def test_errors_are_the_users(tmp_path: Path) -> None:
    with pytest.raises(TimbreError):
        read_vits_checkpoint(tmp_path / "G_1.pth")
