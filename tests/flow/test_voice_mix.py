"""`timbre voice mix`: the models of several voices become one."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.flow.command import WorkFolder
from tests.flow.singer import differ
from tests.toys_sovits import CONFIG, ENCODER_FILE, save_encoder, save_generator, save_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models of one config."""
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / "one.pth", folder / "two.pth"]
    for seed, path in enumerate(paths):
        save_model(path, CONFIG, seed)
    return paths


def test_mixed_files(work: WorkFolder, models: list[Path]) -> None:
    output = work / "mixed.pth"
    outcome = work.run("voice", "mix", *models, "--weights", "6,2", "-o", output)
    assert outcome.code == 0 and f"0.750 {models[0]}, 0.250 {models[1]}" in outcome.out
    one, two, mixed = (torch.load(str(path), weights_only=True) for path in (*models, output))
    for key, value in mixed["model"].items():
        torch.testing.assert_close(value, 0.75 * one["model"][key] + 0.25 * two["model"][key])
    assert mixed["iteration"] == one["iteration"] and mixed["optimizer"] is None


@pytest.mark.parametrize(("rule", "shares"), [("softmax", "0.599 {}, 0.401 {}"), ("linear", "0.700 {}, 0.300 {}")])
def test_the_rules_of_so_vits_svc(work: WorkFolder, models: list[Path], rule: str, shares: str) -> None:
    words = ["--weights", "0.7,0.3", "--rule", rule, "-o", work / "mixed.pth"]
    assert shares.format(*models) in work.run("voice", "mix", *models, *words).out


def test_mixed_voices(work: WorkFolder, models: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source = work.sing("song.wav")
    (work / "weights").mkdir()
    save_encoder(work / "weights" / ENCODER_FILE)
    monkeypatch.setenv("TIMBRE_VOICES", str(work / "shelf"))
    for name, model in zip(("one", "two"), models, strict=True):
        facts = ["--licence", f"licence of {name}"]
        assert work.run("voice", "import", "--name", name, "--model", model, *facts).code == 0
    outcome = work.run("voice", "mix", "one", "two", "--weights", "1,1", "--name", "both")
    assert outcome.code == 0 and "0.500 one, 0.500 two" in outcome.out
    (card,) = work.run("voice", "show", "both", "--json").rows
    assert card["licence"] == "licence of one; licence of two" and card["description"] == "mix of 0.500 one, 0.500 two"

    def sing(voice: str) -> np.ndarray:
        target = work / f"{voice}.wav"
        words = ["--speaker", "alice", "--pitch-shift", "0", "--weights-dir", work / "weights"]
        assert work.convert(source, "-o", target, *words, voice=voice).code == 0
        return np.asarray(soundfile.read(target)[0])

    one, two, both = map(sing, ("one", "two", "both"))
    assert differ(both, one) and differ(both, two)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--weights", "1", "-o", "m.pth"], "1 weights were given for 2 voices"),
        (["--weights", "1,x", "-o", "m.pth"], "the weights are '1,x'; they must be numbers"),
        (["--weights", "1,nan", "-o", "m.pth"], "the weights are 1, nan; each must be 0 or more"),
        (["--weights", "0,0", "-o", "m.pth"], "all weights are 0"),
        (["--weights", "1,1", "--rule", "convex", "-o", "m.pth"], "must be one of: normalised, softmax, linear"),
        (["--weights", "1,1", "--name", "new"], "needs --output and no --name"),
        (["--weights", "1,1"], "needs --output and no --name"),
        (["-o", "m.pth"], "--weights"),
    ],
)
def test_refused_mixes_of_models(
    work: WorkFolder, models: list[Path], monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.chdir(work.folder)
    before = work.tree()
    outcome = work.run("voice", "mix", *models, *words)
    assert outcome.code == 2 and says in outcome.err and outcome.err.count("\n") == 1, outcome
    assert work.tree() == before


def test_models_of_other_shapes_do_not_mix(work: WorkFolder, models: list[Path]) -> None:
    config = copy.deepcopy(CONFIG)
    config["model"]["hidden_channels"] = 4
    save_generator(work / "other.pth", config)
    output = work / "mixed.pth"
    outcome = work.run("voice", "mix", models[0], work / "other.pth", "--weights", "1,1", "-o", output)
    assert outcome.code == 2 and "model 2 differs from the first in" in outcome.err
    assert not output.exists()


def test_one_voice_is_no_mix(work: WorkFolder, models: list[Path]) -> None:
    outcome = work.run("voice", "mix", models[0], "--weights", "1", "-o", work / "mixed.pth")
    assert outcome.code == 2 and "a mix needs two voices or more" in outcome.err


def test_the_mix_goes_to_a_new_folder_and_takes_huge_weights(work: WorkFolder, models: list[Path]) -> None:
    output = work / "new" / "folder" / "mixed.pth"
    outcome = work.run("voice", "mix", *models, "--weights", "1e308,1e308", "-o", output)
    assert outcome.code == 0 and output.is_file() and outcome.out.count("0.500") == 2, outcome
