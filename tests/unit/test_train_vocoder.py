"""What a vocoder in training learns from and by: items, what it starts from, learning rates, processes, files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toy_diffusion_dataset import write_diffusion_dataset
from tests.toy_process import OneOf
from tests.toy_training import ToyDiscriminator
from tests.toys import glide
from tests.toys_sovits import HOP, N_MELS, RATE, VOCODER, SovitsTree, make_tree
from tests.toys_vocoder import load_vocoder
from timbre.config.sovits import SovitsFiles, VoiceFacts
from timbre.config.train import TrainSettings
from timbre.config.vocoder import VocoderShape
from timbre.dataset.folder import Dataset, open_dataset
from timbre.errors import DatasetError, MissingWeightsError, SettingsError, VoiceError, WeightsError
from timbre.nn.draws import SeededDraws
from timbre.train.gradients import average_gradients
from timbre.train.trainee import TOTAL
from timbre.train.vocoder import EPOCH_DECAY, ITEM_FRAMES, VocoderTrainee, vocoder_voice
from timbre.train.vocoder_items import VocoderClip, VocoderItemSource, make_clip, read_clip
from timbre.train.vocoder_setup import save_vocoder_files, set_up
from timbre.vocoder.nsf_hifigan import NsfHifigan, read_vocoder
from timbre.voice.sovits.importing import import_sovits_voice
from timbre.voice.sovits.parts import Network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> SovitsTree:
    """The files of a so-vits-svc user, for reading only."""
    return make_tree(tmp_path_factory.mktemp("svc") / "tree")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset without mel spectrograms, which a vocoder makes itself."""
    return open_dataset(write_diffusion_dataset(tmp_path_factory.mktemp("vocoder") / "ds", diffusion=False))


@pytest.fixture(autouse=True)
def small_and_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take small discriminators, and let no vocoder be found."""
    monkeypatch.setattr("timbre.train.vocoder.MultiPeriodDiscriminator", ToyDiscriminator)
    monkeypatch.delenv("TIMBRE_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)


def settings(**more: object) -> TrainSettings:
    values = {"family": "vocoder", "steps": 1, "batch_size": 2, "precision": "exact", "device": "cpu", **more}
    return TrainSettings.from_mapping(values)


def trainee(dataset: Dataset, tree: SovitsTree, accelerator: OneOf | None = None, **more: object) -> VocoderTrainee:
    made = vocoder_voice(dataset, settings(start=str(tree.vocoder), **more), CPU)
    made.prepare(accelerator or OneOf())
    return made


def write_config(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps({**VOCODER, **changes}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def vocoder() -> NsfHifigan:
    return NsfHifigan(VocoderShape.from_config(VOCODER))


@pytest.fixture(scope="module")
def clips(dataset: Dataset, vocoder: NsfHifigan) -> list[VocoderClip]:
    return [read_clip(dataset, entry, vocoder) for entry in dataset.clips("train")]


def test_items_depend_on_seed_and_number_only(clips: list[VocoderClip]) -> None:
    first, again, other = (VocoderItemSource(clips, 8, HOP, seed) for seed in (0, 0, 1))
    again.draw(0, 0, 1, 2)
    (items, draws), (same, same_draws) = first.draw(4, 0, 1, 3), again.draw(4, 0, 1, 3)
    assert all(torch.equal(tensor, vars(same)[name]) for name, tensor in vars(items).items())
    assert torch.equal(draws.uniform(3, 9), same_draws.uniform(3, 9))
    assert not torch.equal(items.wave, other.draw(4, 0, 1, 3)[0].wave)
    parts = [again.draw(4, part, 2, 2)[0] for part in (0, 1)]
    whole = first.draw(4, 0, 1, 4)[0]
    assert torch.equal(whole.mel, torch.cat([part.mel for part in parts]))


def test_an_item_is_one_stretch_of_sound_mel_and_pitch(clips: list[VocoderClip]) -> None:
    items, _ = VocoderItemSource(clips, 8, HOP, 0).draw(0, 0, 1, 5)
    assert items.wave.shape == (5, 1, 8 * HOP) and items.mel.shape == (5, N_MELS, 8) and items.f0_hz.shape == (5, 8)
    for wave, mel, f0_hz in zip(items.wave, items.mel, items.f0_hz, strict=True):
        starts = [
            (clip, first)
            for clip in clips
            for first in range(len(clip.f0_hz) - 7)
            if torch.equal(clip.mel[:, first : first + 8], mel)
        ]
        ((clip, first),) = starts
        assert torch.equal(clip.wave[first * HOP : (first + 8) * HOP], wave[0])
        assert torch.equal(clip.f0_hz[first : first + 8], f0_hz)
    with pytest.raises(DatasetError, match="no clip has the 9999 frames"):
        VocoderItemSource(clips, 9999, HOP, 0)


def test_gaps_are_bridged_and_pitch_is_moved_to_the_frames_of_the_vocoder(
    dataset: Dataset, clips: list[VocoderClip], vocoder: NsfHifigan
) -> None:
    entry = dataset.clips("train")[0]
    given = dataset.features(entry).f0_hz
    assert (given == 0).any() and (clips[0].f0_hz > 0).all()
    np.testing.assert_allclose(clips[0].f0_hz.numpy()[given > 0], given[given > 0], rtol=1e-6)
    rising = np.linspace(100, 300, 101, dtype=np.float32)
    clip = make_clip(glide(1.0, RATE), rising, 0.01, vocoder)
    times_s = np.arange(len(clip.f0_hz)) * HOP / RATE
    np.testing.assert_allclose(clip.f0_hz.numpy(), 100 + 200 * times_s, rtol=1e-4)
    assert torch.equal(make_clip(glide(1.0, RATE), np.zeros(0, np.float32), 0.01, vocoder).f0_hz, 0 * clip.f0_hz)


def test_what_it_starts_from(tree: SovitsTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingWeightsError, match="training a vocoder needs"):
        set_up(settings())
    config = write_config(tmp_path / "config.json")
    new = set_up(settings(config=str(config)))
    same, other = set_up(settings(config=str(config))), set_up(settings(config=str(config), seed=1))
    assert new.is_new and new.digest == same.digest != other.digest
    given = set_up(settings(start=str(tree.vocoder)))
    monkeypatch.setenv("TIMBRE_WEIGHTS", str(tree.pretrain))
    found = set_up(settings())
    assert given.digest == found.digest != new.digest and not found.is_new
    assert all(torch.equal(value, read_vocoder(tree.vocoder)[0][name]) for name, value in found.network.tensors.items())


@pytest.mark.parametrize(
    ("change", "says"), [({"num_mels": 30}, "of the sizes"), ({"upsample_initial_channel": 32}, "of the sizes")]
)
def test_a_config_that_does_not_fit_the_start_is_refused(
    tree: SovitsTree, tmp_path: Path, change: dict[str, object], says: str
) -> None:
    config = write_config(tmp_path / "config.json", **change)
    with pytest.raises(WeightsError, match=says):
        set_up(settings(config=str(config), start=str(tree.vocoder)))
    config.write_text("[1]")
    with pytest.raises(SettingsError, match="holds no JSON object"):
        set_up(settings(config=str(config)))
    config.write_text("{")
    with pytest.raises(SettingsError, match="cannot be read"):
        set_up(settings(config=str(config)))


def test_mel_bands_that_the_voice_does_not_make_are_refused(tree: SovitsTree, tmp_path: Path) -> None:
    files = SovitsFiles(model=str(tree.model), diffusion_model=str(tree.diffusion))
    import_sovits_voice(files, "alice", VoiceFacts(), tmp_path / "alice", [tree.pretrain], force=False)
    config = write_config(tmp_path / "config.json", num_mels=30)
    with pytest.raises(VoiceError, match="with 30 mel bands and the diffusion model"):
        set_up(settings(config=str(config), voice=str(tmp_path / "alice")))
    own = set_up(settings(voice=str(tmp_path / "alice")))
    assert own.digest == set_up(settings(start=str(tree.vocoder))).digest and own.card is not None


def test_clips_of_another_rate_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.json", sampling_rate=44_100)
    with pytest.raises(DatasetError, match="have 16000 Hz and the vocoder makes 44100 Hz"):
        vocoder_voice(dataset, settings(config=str(config)), CPU)


def test_a_step_shows_all_losses_and_the_rate_of_its_epoch(dataset: Dataset, tree: SovitsTree) -> None:
    made = trainee(dataset, tree, learning_rate=0.01)
    shown = made.step(0)
    parts = sum(float(shown[f"loss/g/{name}"]) for name in ("mel", "fm", "adversarial"))
    assert float(shown[TOTAL]) == pytest.approx(parts) and float(shown["loss/d/total"]) > 0
    assert float(shown["grad_norm_g"]) > 0 and float(shown["grad_norm_d"]) > 0
    assert made.items_per_epoch == pytest.approx(4.5 * RATE / (ITEM_FRAMES * HOP))
    steps_per_epoch = made.items_per_epoch / 2
    for number, epoch in ((0, 0), (int(steps_per_epoch), 0), (int(2 * steps_per_epoch) + 1, 2)):
        assert float(made.step(number)["learning_rate"]) == pytest.approx(0.01 * EPOCH_DECAY**epoch)


def test_learning_brings_the_copy_nearer(dataset: Dataset, tree: SovitsTree) -> None:
    made = trainee(dataset, tree, learning_rate=0.005)
    first = [float(made.step(number)["loss/g/mel"]) for number in range(30)]
    assert np.mean(first[-5:]) < 0.7 * np.mean(first[:5])


def test_the_mean_of_two_processes_is_the_gradient_of_the_doubled_batch(dataset: Dataset, tree: SovitsTree) -> None:
    def gradients(accelerator: OneOf, batch_size: int) -> torch.Tensor:
        made = trainee(dataset, tree, accelerator)
        items, draws = made._items(2, batch_size)
        fake = made._rendered(items, draws)
        made._discriminator_gradients(items, fake)
        made._generator_gradients(items, fake)
        weights = [weight for name in ("generator", "discriminator") for weight in made.modules[name].parameters()]
        average_gradients(weights, accelerator)  # type: ignore[arg-type]
        return torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])

    together = gradients(OneOf(), 4)
    apart = gradients(OneOf(0, 2), 2) + gradients(OneOf(1, 2), 2)
    torch.testing.assert_close(apart, together, rtol=1e-3, atol=1e-4 * float(together.abs().max()))


def test_the_generator_step_leaves_no_gradients_with_the_discriminators(dataset: Dataset, tree: SovitsTree) -> None:
    made = trainee(dataset, tree)
    items, draws = made._items(0, 2)
    made._generator_gradients(items, made._rendered(items, draws))
    assert all(weight.grad is None and weight.requires_grad for weight in made.modules["discriminator"].parameters())
    made.rehearse(2)
    assert all(weight.grad is None for module in made.modules.values() for weight in module.parameters())


def test_a_loss_that_is_no_number_stops_before_it_does_harm(dataset: Dataset, tree: SovitsTree) -> None:
    made = trainee(dataset, tree)
    made._vocoder.generator.conv_post.bias.data[0] = torch.nan  # type: ignore[operator, union-attr]
    with pytest.raises(SettingsError, match="a loss or gradient of step 3 is no number"):
        made.step(3)
    assert all(bool(weight.isfinite().all()) for weight in made.modules["discriminator"].parameters())


def test_bfloat16_computes_nearly_the_same(dataset: Dataset, tree: SovitsTree, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = trainee(dataset, tree).step(0)
    monkeypatch.setattr("timbre.train.vocoder.reduced_type", lambda *_: torch.bfloat16)
    made = trainee(dataset, tree)
    assert made.number_type == torch.bfloat16
    shown = made.step(0)
    for name in (TOTAL, "loss/d/total"):
        assert float(shown[name]) == pytest.approx(float(exact[name]), rel=0.02)
    assert all(weight.dtype == torch.float32 for weight in made.modules["generator"].parameters())


def test_a_copy_for_use_sounds_the_same_and_leaves_the_original_trainable(tree: SovitsTree) -> None:
    made = set_up(settings(start=str(tree.vocoder))).vocoder
    copied = made.copy_for_use()
    mel, f0_hz = made.mel(torch.from_numpy(glide(0.3, RATE))[None]), torch.full((1, 60), 200.0)
    with torch.no_grad():
        expected = made(mel, f0_hz, SeededDraws(0))
    torch.testing.assert_close(copied.synthesize(mel, f0_hz, SeededDraws(0)), expected)
    assert all(weight.requires_grad for weight in made.generator.parameters())
    assert not any(weight.requires_grad for weight in copied.generator.parameters())
    assert len(made.generator.state_dict()) > len(copied.generator.state_dict())


def test_the_file_is_that_of_the_original_layout(tree: SovitsTree, tmp_path: Path) -> None:
    tensors, config = read_vocoder(tree.vocoder)
    file = save_vocoder_files(tmp_path / "vocoder", Network(tensors, config), {"note.txt": b"hello"})
    assert file == tmp_path / "vocoder" / "model" and (tmp_path / "vocoder" / "note.txt").read_bytes() == b"hello"
    assert json.loads(file.with_name("config.json").read_text(encoding="utf-8")) == VOCODER
    again, _ = read_vocoder(tmp_path / "vocoder")
    assert again.keys() == tensors.keys() and all(torch.equal(again[name], tensors[name]) for name in tensors)
    load_vocoder(tmp_path / "vocoder")
