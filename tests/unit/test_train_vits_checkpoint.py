"""Checkpoints in the layout of so-vits-svc: starting from one's own and from others, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.toy_training import randomise, toy_batch, toy_training
from timbre.errors import MissingWeightsError, OutputError, WeightsError
from timbre.nn.draws import SeededDraws
from timbre.train.vits_checkpoint import CheckpointFiles, fill, find_checkpoint, read_vits_checkpoint, save_pair
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


def test_a_training_goes_on_from_its_files_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    training, other = trained(), toy_training(seed=1)
    assert fill(other, save_pair(training, tmp_path, epoch=3, step=800)) == []
    for each in (training, other):
        training_step(each, toy_batch(seed=1), SeededDraws(6))
    assert same_weights(training, other)
    assert other.synthesizer_optimizer.param_groups[0]["lr"] == 0.5e-3


def test_the_constants_of_the_optimizers_are_those_of_the_config(tmp_path: Path) -> None:
    training = toy_training(seed=1, betas=[0.5, 0.9], eps=1e-3)
    fill(training, save_pair(trained(1), tmp_path, epoch=1, step=0))
    for optimizer in (training.synthesizer_optimizer, training.discriminator_optimizer):
        assert optimizer.state and optimizer.param_groups[0]["betas"] == (0.5, 0.9)
        assert optimizer.param_groups[0]["eps"] == 1e-3


def test_files_have_the_layout_of_the_original(tmp_path: Path) -> None:
    training = trained()
    pair = save_pair(training, tmp_path / "logs" / "ada", epoch=3, step=800)
    assert pair.discriminator is not None
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


def touch(folder: Path, *stems: str) -> None:
    folder.mkdir(exist_ok=True)
    for stem in stems:
        (folder / f"{stem}.pth").touch()


def test_a_folder_gives_its_newest_pair_by_the_digits_of_the_file_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run 2024_9999"
    touch(folder, "G_9", "D_9", "G_800", "D_800", "G_99999_release")
    assert find_checkpoint(folder) == CheckpointFiles(folder / "G_800.pth", folder / "D_800.pth")
    assert find_checkpoint(folder / "G_9.pth") == CheckpointFiles(folder / "G_9.pth", folder / "D_9.pth")
    assert not caplog.text
    touch(folder, "G_1600")
    assert find_checkpoint(folder).synthesizer.name == "G_800.pth"
    assert "G_1600.pth has no partner" in caplog.text


def test_a_synthesizer_alone_will_do_where_it_is_clear_which(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(MissingWeightsError, match=r"G_0\.pth and D_0\.pth"):
            find_checkpoint(place)
    touch(tmp_path, "G_1", "D_2")
    assert find_checkpoint(tmp_path) == find_checkpoint(tmp_path / "G_1.pth")
    assert find_checkpoint(tmp_path).discriminator is None
    touch(tmp_path, "G_5_release")
    with pytest.raises(WeightsError, match=r"2 files G_\*\.pth and no D_\*\.pth for them; name the file"):
        find_checkpoint(tmp_path)


def test_a_base_model_of_other_speakers_starts_anew(tmp_path: Path) -> None:
    base = trained(n_speakers=7)
    training = toy_training(seed=1)
    table = training.synthesizer.state_dict()["emb_g.weight"].clone()
    (note,) = fill(training, save_pair(base, tmp_path, epoch=500, step=0))
    assert note.endswith("the start has none that fit: G_0.pth: emb_g.weight")
    assert torch.equal(training.synthesizer.state_dict()["emb_g.weight"], table)
    assert torch.equal(training.synthesizer.pre.weight, base.synthesizer.pre.weight)
    assert not training.synthesizer_optimizer.state
    assert training.synthesizer_optimizer.param_groups[0]["lr"] == 1e-3


def test_a_released_file_is_a_start_without_what_only_training_needs(tmp_path: Path) -> None:
    base, training = trained(1), toy_training(seed=1)
    files = save_pair(base, tmp_path, epoch=1, step=0)
    content = torch.load(files.synthesizer, weights_only=True)
    kept = {key: value.half() for key, value in content["model"].items() if not key.startswith("enc_q.")}
    content |= {"model": kept, "optimizer": {"state": {}, "param_groups": []}, "iteration": 0}
    torch.save(content, files.synthesizer)
    (note,) = fill(training, files)
    assert "G_0.pth: enc_q." in note and note.endswith(" more")
    weight = training.synthesizer.pre.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, base.synthesizer.pre.weight.half().float())


def test_without_a_discriminator_that_one_and_the_optimizers_begin_anew(tmp_path: Path) -> None:
    files, training = save_pair(trained(1), tmp_path, epoch=1, step=800), toy_training(seed=1)
    (note,) = fill(training, CheckpointFiles(files.synthesizer, None))
    assert note == "beside G_800.pth there is no discriminator, which begins anew"
    assert not training.synthesizer_optimizer.state


@pytest.mark.parametrize("file", ["G_800.pth", "D_800.pth"])
def test_without_the_state_of_one_optimizer_both_stay_fresh(tmp_path: Path, file: str) -> None:
    files, training = save_pair(trained(1), tmp_path, epoch=1, step=800), toy_training(seed=1)
    torch.save(torch.load(tmp_path / file, weights_only=True) | {"optimizer": None}, tmp_path / file)
    assert fill(training, files) == []
    assert not training.synthesizer_optimizer.state and not training.discriminator_optimizer.state


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("D_800.pth", {"optimizer": {"state": {0: {}}, "param_groups": [{}]}}, "optimizer state in .* is damaged"),
        ("D_800.pth", {"optimizer": {"state": {0: {}}, "param_groups": "?"}}, "optimizer state in .* is damaged"),
        ("G_800.pth", {"iteration": "3"}, "is no checkpoint of so-vits-svc"),
        ("G_800.pth", {"model": None}, "is no checkpoint of so-vits-svc"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path: Path, file: str, change: dict[str, Any], message: str) -> None:
    pair = save_pair(trained(1), tmp_path, epoch=1, step=800)
    torch.save(torch.load(tmp_path / file, weights_only=True) | change, tmp_path / file)
    with pytest.raises(WeightsError, match=message):
        fill(toy_training(), pair)


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
            fill(toy_training(), pair)
        assert "\n" not in str(error.value)


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
