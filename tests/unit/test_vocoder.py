"""The vocoder's files, its mel spectrogram and the enhancer beyond the recorded cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.toys_vocoder import load_vocoder
from timbre.config.vocoder import VocoderShape
from timbre.errors import AudioError, MissingWeightsError, SettingsError, WeightsError
from timbre.nn.draws import SeededDraws
from timbre.nn.weight_norm import legacy_name
from timbre.vocoder.enhancer import Enhancer
from timbre.vocoder.nsf_hifigan import NsfHifigan, find_vocoder

CONFIG: dict[str, Any] = {
    "sampling_rate": 8000,
    "num_mels": 10,
    "n_fft": 128,
    "win_size": 128,
    "hop_size": 16,
    "fmin": 20,
    "fmax": 4000,
    "upsample_rates": [4, 2, 2],
    "upsample_kernel_sizes": [8, 4, 4],
    "upsample_initial_channel": 16,
    "resblock": "1",
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilation_sizes": [[1, 2, 3], [1, 2, 3]],
    "mini_nsf": False,
    "noise_sigma": 0.0,
    "fmax_for_loss": None,
}


def new_state() -> dict[str, Tensor]:
    """Return the generator's tensors under the names of new PyTorch."""
    torch.manual_seed(0)
    return dict(NsfHifigan(VocoderShape.from_config(CONFIG)).generator.state_dict())


def old_state(prefix: str = "") -> dict[str, Tensor]:
    return {prefix + legacy_name(key): value for key, value in new_state().items()}


def save_vocoder(folder: Path, name: str = "model", content: Any = None, **config_changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    content = {"generator": old_state()} if content is None else content
    if name.endswith(".safetensors"):
        save_file(content, folder / name)
    else:
        torch.save(content, folder / name)
    (folder / "config.json").write_text(json.dumps(CONFIG | config_changes), encoding="utf-8")
    return folder


def synthesized(vocoder: NsfHifigan) -> Tensor:
    f0_hz = torch.tensor([[200.0, 210.0, 0.0, 190.0, 220.0]])
    return vocoder.synthesize(SeededDraws(1).normal(1, 10, 5), f0_hz, SeededDraws(2))


@pytest.fixture
def vocoder(tmp_path: Path) -> NsfHifigan:
    return load_vocoder(save_vocoder(tmp_path / "vocoder"))


@pytest.mark.parametrize(
    ("name", "make_content"),
    [
        ("model.ckpt", lambda: {"generator": old_state()}),
        ("model.pt", new_state),
        ("model.pth", lambda: old_state("module.")),
        ("model.ckpt", lambda: {"state_dict": old_state("generator.") | {"discriminator.x": torch.zeros(1)}}),
        ("model", lambda: {"generator": old_state("module.generator."), "steps": 3}),
        ("model", lambda: {"generator": {key: value.double() for key, value in old_state().items()}}),
        ("nsf.safetensors", old_state),
    ],
)
def test_every_layout_gives_the_same_sound(
    tmp_path: Path, vocoder: NsfHifigan, name: str, make_content: Callable[[], Any]
) -> None:
    loaded = load_vocoder(save_vocoder(tmp_path / "other", name, make_content()))
    assert torch.equal(synthesized(loaded), synthesized(vocoder))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_the_weights_file_may_be_given_itself(tmp_path: Path) -> None:
    folder = save_vocoder(tmp_path / "vocoder", "my.ckpt")
    save_vocoder(folder, "model")
    assert find_vocoder(folder) == (folder / "model", CONFIG)
    assert find_vocoder(folder / "my.ckpt") == (folder / "my.ckpt", CONFIG)


def test_decimal_logarithms(tmp_path: Path, vocoder: NsfHifigan) -> None:
    decimal = load_vocoder(save_vocoder(tmp_path / "other"), "nsf-hifigan-log10")
    mel, f0_hz = SeededDraws(1).normal(2, 10, 6), torch.full((2, 9), 200.0)
    expected = vocoder.synthesize(mel * 0.434294, f0_hz, SeededDraws(2))
    assert torch.equal(decimal.synthesize(mel, f0_hz, SeededDraws(2)), expected)
    wave = SeededDraws(3).normal(1, 300)
    assert torch.equal(decimal.mel(wave), vocoder.mel(wave))
    with pytest.raises(SettingsError, match="'hifigan'; it must be one of: nsf-hifigan, nsf-hifigan-log10"):
        load_vocoder(tmp_path / "other", "hifigan")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="no vocoder"):
        find_vocoder(tmp_path / "nowhere")
    with pytest.raises(MissingWeightsError, match=r"holds no model, .* and not just one \*\.safetensors"):
        find_vocoder(tmp_path)
    save_vocoder(tmp_path, "a.safetensors", old_state())
    save_vocoder(tmp_path, "b.safetensors", old_state())
    with pytest.raises(MissingWeightsError, match="not just one"):
        find_vocoder(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"config\.json' cannot be read"):
        find_vocoder(tmp_path / "a.safetensors")
    (tmp_path / "config.json").unlink()
    with pytest.raises(MissingWeightsError, match=r"no config\.json beside"):
        find_vocoder(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"generator": {"conv_pre.weight_v": torch.zeros(1)}}, "'model' is a HiFi-GAN vocoder, .*; give an NSF"),
        ({"model": {}, "iteration": 1}, "'model' is of a kind that is not known here; give"),
        ([torch.zeros(1)], "give an NSF-HiFiGAN vocoder"),
    ],
)
def test_other_weights_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        load_vocoder(save_vocoder(tmp_path, content=content))


def test_unfit_weights_are_refused(tmp_path: Path) -> None:
    state = old_state()
    del state["conv_post.bias"]
    with pytest.raises(WeightsError, match=r"weights lack conv_post\.bias; use"):
        load_vocoder(save_vocoder(tmp_path, content={"generator": state}))
    state = old_state() | {"cond.weight": torch.zeros(2)}
    with pytest.raises(WeightsError, match=r"hold the unknown cond\.weight; use"):
        load_vocoder(save_vocoder(tmp_path, content={"generator": state}))
    with pytest.raises(WeightsError, match=r"conv_pre\.weight_v of the sizes \[16, 10, 7\] instead of \[16, 11, 7\]"):
        load_vocoder(save_vocoder(tmp_path, num_mels=11))
    with pytest.raises(WeightsError, match=r"and have \d+ more such faults; use"):
        load_vocoder(save_vocoder(tmp_path, resblock="2"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mini_nsf": True}, "mini_nsf is True, as in PC-NSF-HiFiGAN"),
        ({"noise_sigma": 0.1}, r"noise_sigma is 0\.1"),
        ({"hop_size": 17}, "hop_size 17 but upsample_rates multiply to 16"),
        ({"win_size": 256}, "win_size 256 and n_fft 128"),
        ({"fmax": 4001}, "fmin 20 and fmax 4001"),
        ({"fmin": "low"}, "fmin is 'low'; it must be a number"),
        ({"fmin": float("nan")}, "fmin is nan; it must be a number"),
        ({"num_mels": 0}, "num_mels is 0; it must be a whole number from 1"),
        ({"sampling_rate": True}, "sampling_rate is True"),
        ({"upsample_rates": []}, r"upsample_rates is \[\]; it must be a list"),
        ({"resblock_dilation_sizes": [1, 2]}, "must be a list of lists"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        VocoderShape.from_config(CONFIG | changes)


def test_missing_settings_are_named() -> None:
    with pytest.raises(SettingsError, match=r"config\.json has no n_fft; use"):
        VocoderShape.from_config({key: value for key, value in CONFIG.items() if key != "n_fft"})
    with pytest.raises(SettingsError, match=r"holds \[1\], not an object; use"):
        VocoderShape.from_config([1])  # type: ignore[arg-type]


def test_mel_moves_with_the_key_and_shrinks_with_the_speed(vocoder: NsfHifigan) -> None:
    time_s = torch.arange(800) / 8000
    low, high = (torch.sin(2 * torch.pi * f * time_s)[None] for f in (600, 1200))
    mel = vocoder.mel(torch.cat((low, high)))
    assert mel.shape == (2, 10, 50)
    torch.testing.assert_close(vocoder.mel(high), mel[1:])
    peaks = mel[..., 25].argmax(dim=1)
    assert peaks[0] < peaks[1]
    assert vocoder.mel(low, 12.0)[0, :, 25].argmax() == peaks[1]
    assert vocoder.mel(high, -12.0)[0, :, 25].argmax() == peaks[0]
    assert vocoder.mel(low, speed=2.0).shape == (1, 10, 25)


@pytest.mark.parametrize("n_samples", [1, 15, 56, 57, 72, 73, 144])
def test_mel_of_short_sounds(vocoder: NsfHifigan, n_samples: int) -> None:
    mel = vocoder.mel(SeededDraws(1).normal(1, n_samples))
    assert mel.shape == (1, 10, max(1, n_samples // 16))
    assert mel.isfinite().all()


@pytest.mark.parametrize(("shift", "speed"), [(0.0, 0.0), (0.0, 9.0), (-60.0, 1.0)])
def test_mel_without_frames_is_refused(vocoder: NsfHifigan, shift: float, speed: float) -> None:
    with pytest.raises(SettingsError, match="use values nearer to 0 and 1"):
        vocoder.mel(torch.zeros(1, 800), shift, speed)


def test_enhancer_keeps_the_time(vocoder: NsfHifigan) -> None:
    audio, f0_hz = 0.1 * SeededDraws(1).normal(1, 1600), torch.full((1, 10), 300.0)
    enhancer = Enhancer(vocoder)
    for key, rate_hz, hop_samples in ((0, 8000, 16), (5, 8000, 16), (-5, 16_000, 160)):
        enhanced, got_rate_hz = enhancer.enhance(audio, rate_hz, f0_hz, hop_samples, key, 0.0, SeededDraws(2))
        assert got_rate_hz == 8000
        assert abs(len(enhanced) / 8000 - 1600 / rate_hz) <= 2 * 16 / 8000


def test_enhancer_leaves_the_silence_in_front(vocoder: NsfHifigan) -> None:
    audio, f0_hz = 0.1 * SeededDraws(1).normal(1, 1600), torch.full((1, 100), 300.0)
    enhancer = Enhancer(vocoder)
    enhanced, _ = enhancer.enhance(audio, 8000, f0_hz, 16, 0, 0.0411, SeededDraws(2))
    n_silent = 20 * 16  # whole frames
    rest, _ = enhancer.enhance(audio[:, n_silent:], 8000, f0_hz[:, 20:], 16, 0, 0.0, SeededDraws(2))
    assert not enhanced[:n_silent].any()
    assert torch.equal(enhanced[n_silent:], rest)
    with pytest.raises(AudioError, match="ends within 1 s of silence"):
        enhancer.enhance(audio, 8000, f0_hz, 16, 0, 1.0, SeededDraws(2))
