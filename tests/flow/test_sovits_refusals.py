"""Files of so-vits-svc that are not what they should be: each mistake is one sentence and leaves nothing behind."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from tests.flow.command import stops_writing
from tests.flow.sovits_folder import SovitsFolder
from tests.toys import glide
from tests.toys_sovits import (
    CONFIG,
    DIFFUSION,
    ENCODER_FILE,
    RATE,
    VOCODER,
    SovitsTree,
    save_encoder,
    save_generator,
    save_model,
)

Damage = Callable[[SovitsTree], object]


def refuses_both(svc: SovitsFolder, files: list[object], says: str) -> None:
    """Check that neither import nor conversion takes these files."""
    svc.sing("a.wav", 0.1)
    svc.refuses_to_run("voice", "import", *files, "--name", "x", says=says)
    svc.refuses_to_run("convert", "a.wav", "-o", "new/b.wav", "--speaker", "alice", *files, says=says)


# Files in each other's place.


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def discriminator(tree: SovitsTree) -> Path:
    return save(tree.root / "D_800.pth", {"model": {"discriminators.0.convs.0.bias": torch.zeros(3)}, "iteration": 3})


def rvc(tree: SovitsTree) -> Path:
    weights = {"enc_p.emb_phone.weight": torch.zeros(3, 3)}
    return save(tree.root / "rvc.pth", {"weight": weights, "config": [1], "info": "9epoch", "sr": "40k", "f0": 1})


def second(tree: SovitsTree) -> Path:
    model = {"enc_p.pre.weight": torch.zeros(3), "dec.conv_pre.weight": torch.zeros(3)}
    return save(tree.root / "v2.pth", {"model": model, "iteration": 3, "optimizer": None, "learning_rate": 1e-4})


def of_another_width(tree: SovitsTree) -> Path:
    save_generator(tree.root / "G_wide.pth", CONFIG | {"model": CONFIG["model"] | {"ssl_dim": 768}})
    return tree.root / "G_wide.pth"


MODELS: dict[str, tuple[Callable[[SovitsTree], Path], str]] = {
    "D for G": (
        discriminator,
        "'D_800.pth' is a discriminator, which is needed only to go on training; give a so-vits",
    ),
    "diffusion": (
        lambda tree: tree.diffusion,
        "'model_100.pt' is a diffusion model of so-vits-svc; give a so-vits-svc",
    ),
    "RVC": (rvc, "'rvc.pth' is an RVC voice, which is not supported; give a so-vits-svc 4 voice"),
    "4.0-v2": (second, "such as 4.0-v2, and not supported; give"),
    "k-means": (lambda tree: tree.kmeans, "is a file of cluster centres; give a so-vits-svc 4 voice (usually G_*.pth)"),
    "encoder": (lambda tree: tree.encoder, "is a content encoder of the HuBERT family; give a so-vits-svc 4 voice"),
    "vocoder": (lambda tree: tree.vocoder / "model", "'model' is an NSF-HiFiGAN vocoder; give a so-vits-svc 4 voice"),
    "config": (lambda tree: tree.config, "'config.json' is a text of settings, not a checkpoint"),
    "folder": (lambda tree: tree.model.parent, "is a folder; a weights file is needed"),
    "absent": (lambda tree: tree.root / "G_9.pth", "there is no weights file"),
    "another width": (of_another_width, "config.json says ssl_dim 256 but the weights were made with 768; use the"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_another_file_for_the_main_model(svc: SovitsFolder, kind: str) -> None:
    make, says = MODELS[kind]
    tree = svc.own_tree()
    refuses_both(svc, ["--model", make(tree), "--config", tree.config], says)


def model_as_vocoder(tree: SovitsTree) -> Path:
    folder = Path(shutil.copytree(tree.vocoder, tree.root / "vocoder"))
    shutil.copy(tree.model, folder / "model")
    return folder


OTHERS: dict[str, tuple[Callable[[SovitsTree], list[object]], str]] = {
    "main model for diffusion": (
        lambda tree: ["--diffusion-model", tree.model],
        "'G_800.pth' is a so-vits-svc 4 voice; give a diffusion model of so-vits-svc (usually model_*.pt)",
    ),
    "diffusion without its yaml": (
        lambda tree: ["--diffusion-model", shutil.copy(tree.diffusion, tree.root / "m.pt")],
        "no settings were given for m.pt, and there is no config.yaml beside it; give --diffusion-config",
    ),
    "json for the yaml": (
        lambda tree: ["--diffusion-model", tree.diffusion, "--diffusion-config", tree.config],
        "use the yaml that was saved with the model",
    ),
    "absent yaml": (
        lambda tree: ["--diffusion-model", tree.diffusion, "--diffusion-config", "absent.yaml"],
        "there is no diffusion settings file 'absent.yaml'",
    ),
    "weights for the yaml": (
        lambda tree: ["--diffusion-model", tree.diffusion, "--diffusion-config", tree.model],
        "'G_800.pth' is damaged, uses aliases or is no yaml file",
    ),
    "model for clusters": (
        lambda tree: ["--cluster", tree.model],
        "'G_800.pth' is a so-vits-svc 4 voice; give a file of cluster centres (usually kmeans_10000.pt)",
    ),
    "clusters for the index": (
        lambda tree: ["--index", tree.kmeans],
        "'kmeans_10000.pt' is a file of cluster centres; give a feature index (usually feature_and_index.pkl)",
    ),
    "model for the vocoder": (
        lambda tree: ["--vocoder", model_as_vocoder(tree)],
        "'model' is a so-vits-svc 4 voice; give an NSF-HiFiGAN vocoder",
    ),
    "empty folder for the vocoder": (lambda tree: ["--vocoder", tree.root / "logs"], "holds no model, model.ckpt"),
    "absent vocoder": (lambda tree: ["--vocoder", tree.root / "absent"], "there is no vocoder"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_file_for_what_belongs_to_a_model(svc: SovitsFolder, kind: str) -> None:
    make, says = OTHERS[kind]
    tree = svc.own_tree()
    refuses_both(svc, ["--model", tree.model, *make(tree)], says)


CONFIGS: dict[str, tuple[bytes, str]] = {
    "yaml": (yaml.safe_dump(DIFFUSION).encode(), "config.json is no JSON file; give the model's config.json"),
    "empty": (b"", "config.json is no JSON file"),
    "binary": (bytes(range(256)) * 9, "config.json is no JSON file"),
    "half": (json.dumps(CONFIG).encode()[:300], "config.json is no JSON file"),
    "list": (b"[1, 2]", "config.json has no section 'model'; give the config.json of a so-vits-svc model"),
    "number": (b"5", "config.json has no section 'model'"),
    "deep": (b"[" * 100_000, "config.json is no JSON file"),
    "vocoder's": (json.dumps(VOCODER).encode(), "config.json has no section 'model'"),
    "diffusion's as json": (json.dumps(DIFFUSION).encode(), "config.json has no "),
    "no data": (json.dumps({"model": CONFIG["model"]}).encode(), "config.json has no data"),
    "text for a number": (json.dumps(CONFIG | {"model": CONFIG["model"] | {"n_layers": "1"}}).encode(), "n_layers"),
    "speaker beyond the table": (json.dumps(CONFIG | {"spk": {"alice": 0, "eve": 2}}).encode(), "below n_speakers, 2"),
    "hop that does not fit": (json.dumps(CONFIG | {"data": CONFIG["data"] | {"hop_length": 512}}).encode(), "multiply"),
    "huge": (b" " * (11 * 2**20), "config.json is no JSON file"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_that_is_none(svc: SovitsFolder, kind: str) -> None:
    content, says = CONFIGS[kind]
    tree = svc.own_tree()
    tree.config.write_bytes(content)
    refuses_both(svc, ["--model", tree.model], says)


def test_a_config_that_is_not_there(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    tree.config.unlink()
    refuses_both(svc, ["--model", tree.model], "and there is no config.json beside it; give --config")
    refuses_both(svc, ["--model", tree.model, "--config", "absent.json"], "absent.json cannot be read (No such file")
    refuses_both(svc, ["--model", tree.model, "--config", tree.root], "cannot be read (Is a directory)")


def test_a_config_may_have_a_mark_and_another_encoding(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    config = json.dumps(CONFIG | {"spk": {"小明": 0}}, ensure_ascii=False)
    for encoding in ("utf-8-sig", "gb18030"):
        tree.config.write_bytes(config.encode(encoding))
        svc.sing_with("--model", tree.model, speaker="小明")


# Planted programs.


class Planted:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_planted_program_in_a_voice_is_not_run_and_told(svc: SovitsFolder, zipped: bool) -> None:
    tree = svc.own_tree()
    content = torch.load(tree.model, weights_only=True) | {"info": Planted(svc / "ran")}
    torch.save(content, tree.model, _use_new_zipfile_serialization=zipped)
    told = f"note: G_800.pth asks to run {os.system.__module__}.system, which no voice needs; nothing of it was run"
    outcome = svc.run("voice", "import", "--model", tree.model, "--name", "alice")
    assert outcome.code == 0 and outcome.err.startswith(told) and outcome.err.count("\n") == 1
    svc.sing("a.wav", 0.1)
    outcome = svc.run("convert", "a.wav", "-o", "b.wav", "--model", tree.model, "--speaker", "alice")
    assert outcome.code == 0 and outcome.err.startswith(told)
    assert svc.run("voice", "slim", tree.model).code == 0
    assert not (svc / "ran").exists()
    assert b"system" not in tree.model.with_name("G_800_release.pth").read_bytes()


@pytest.mark.parametrize("role", ["model", "diffusion", "kmeans"])
def test_a_planted_program_alone_is_refused(svc: SovitsFolder, role: str) -> None:
    tree = svc.own_tree()
    path: Path = getattr(tree, role)
    path.write_bytes(pickle.dumps(Planted(svc / "ran")))
    files = ["--model", tree.model, "--diffusion-model", tree.diffusion, "--cluster", tree.kmeans]
    refuses_both(svc, files, f"{path.name} asks to run {os.system.__module__}.system, which no voice needs; nothing")
    assert not (svc / "ran").exists()


def test_planted_programs_in_vocoder_and_encoder_are_not_run(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    for path in (tree.vocoder / "model", tree.encoder):
        content = torch.load(path, weights_only=True) | {"info": Planted(svc / "ran")}
        torch.save(content, path)
    svc.sing_with("--model", tree.model, "--vocoder", tree.vocoder, "--encoder-weights", tree.encoder, "--enhance")
    assert not (svc / "ran").exists()


# Damaged files.


@pytest.mark.parametrize("role", ["model", "diffusion", "kmeans", "vocoder", "encoder"])
def test_a_file_that_is_cut_off_anywhere(svc: SovitsFolder, role: str) -> None:
    tree = svc.own_tree()
    path: Path = tree.vocoder / "model" if role == "vocoder" else getattr(tree, role)
    whole = path.read_bytes()
    words = ["convert", svc.sing("a.wav", 0.1), "-o", "b.wav", "--speaker", "alice", "--model", tree.model]
    words += ["--diffusion-model", tree.diffusion, "--cluster", tree.kmeans, "--vocoder", tree.vocoder]
    words += ["--encoder-weights", tree.encoder]
    for n_bytes in (0, 1, 7, 63, *(len(whole) * share // 10 for share in (1, 5, 9)), len(whole) - 1):
        path.write_bytes(whole[:n_bytes])
        outcome = svc.refuses_to_run(*words, says=f"{path.name!r} is ")
        assert any(word in outcome.err for word in ("cut off", "is empty", "not a torch file")), outcome.err


@pytest.mark.parametrize("role", ["model", "diffusion", "kmeans"])
def test_a_legacy_file_that_is_cut_off(svc: SovitsFolder, role: str) -> None:
    tree = svc.own_tree()
    path: Path = getattr(tree, role)
    torch.save(torch.load(path, weights_only=False), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    words = ["--model", tree.model, "--diffusion-model", tree.diffusion, "--cluster", tree.kmeans, "--name", "x"]
    for n_bytes in (20, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n_bytes])
        svc.refuses_to_run("voice", "import", *words, says=path.name)
    path.write_bytes(whole)
    assert svc.run("voice", "import", *words).code == 0


def change_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], object], entry: str = "model") -> None:
    content = torch.load(path, weights_only=True)
    change(content[entry])
    torch.save(content, path)


DIFFUSION_OUTPUT = "decoder.denoise_fn.output_projection.weight"
WEIGHTS: dict[str, tuple[Damage, str]] = {
    "NaN": (
        lambda tree: change_tensors(tree.model, lambda state: state["pre.bias"].fill_(torch.nan)),
        "'G_800.pth' holds NaN or infinity in pre.bias, its training failed; use an earlier one",
    ),
    "a tensor missing": (
        lambda tree: change_tensors(tree.model, lambda state: state.pop("dec.conv_post.bias")),
        "the weights lack 'dec.conv_post.bias'",
    ),
    "a tensor of another shape": (
        lambda tree: change_tensors(tree.model, lambda state: state.update({"pre.bias": torch.zeros(3)})),
        "the weights 'pre.bias' have the shape (3,)",
    ),
    "a diffusion tensor missing": (
        lambda tree: change_tensors(tree.diffusion, lambda state: state.pop(DIFFUSION_OUTPUT)),
        f"the diffusion weights lack {DIFFUSION_OUTPUT!r}",
    ),
    "diffusion without its first layer": (
        lambda tree: change_tensors(
            tree.diffusion, lambda state: state.pop("decoder.denoise_fn.input_projection.weight")
        ),
        "the diffusion weights are damaged or another network's",
    ),
    "NaN in the diffusion": (
        lambda tree: change_tensors(tree.diffusion, lambda state: state[DIFFUSION_OUTPUT].fill_(torch.inf)),
        "holds NaN or infinity",
    ),
    "a vocoder tensor missing": (
        lambda tree: change_tensors(tree.vocoder / "model", lambda state: state.pop("conv_post.bias"), "generator"),
        "the vocoder's weights lack conv_post.bias",
    ),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_do_not_fit(svc: SovitsFolder, kind: str) -> None:
    damage, says = WEIGHTS[kind]
    tree = svc.own_tree()
    damage(tree)
    files = ["--model", tree.model, "--diffusion-model", tree.diffusion, "--vocoder", tree.vocoder]
    refuses_both(svc, files, says)


# Parts that do not fit each other, or are not there.


def edit_yaml(tree: SovitsTree, section: str, **values: object) -> None:
    changed = DIFFUSION | {section: DIFFUSION[section] | values}
    tree.diffusion_config.write_text(yaml.safe_dump(changed), encoding="utf-8")


def edit_vocoder(tree: SovitsTree, **values: object) -> None:
    (tree.vocoder / "config.json").write_text(json.dumps(VOCODER | values), encoding="utf-8")


MISFITS: dict[str, tuple[Damage, str]] = {
    "rates of main model and diffusion": (
        lambda tree: edit_yaml(tree, "data", sampling_rate=44_100),
        "the main model has sample_rate_hz 16000 and the diffusion model 44100",
    ),
    "hops of main model and diffusion": (lambda tree: edit_yaml(tree, "data", block_size=512), "has hop_samples 128"),
    "widths": (lambda tree: edit_yaml(tree, "data", encoder_out_channels=768), "has content_width 256"),
    "rate of the vocoder": (
        lambda tree: edit_vocoder(tree, sampling_rate=44_100, fmax=16_000),
        "the vocoder works at 44100 Hz in hops of 128 with 20 mel bands and the diffusion model at 16000 Hz",
    ),
    "mel bands of the vocoder": (
        lambda tree: edit_vocoder(tree, num_mels=80),
        "with 80 mel bands and the diffusion model at 16000 Hz in hops of 128 with 20; give the vocoder it was trained",
    ),
    "later kind of vocoder": (lambda tree: edit_vocoder(tree, mini_nsf=True), "PC-NSF-HiFiGAN"),
    "vocoder without config": (
        lambda tree: (tree.vocoder / "config.json").unlink(),
        "there is no config.json beside the vocoder",
    ),
    "other settings of the diffusion": (lambda tree: edit_yaml(tree, "model", n_hidden=7), "model.n_hidden 6"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_parts_that_do_not_fit_each_other(svc: SovitsFolder, kind: str) -> None:
    damage, says = MISFITS[kind]
    tree = svc.own_tree()
    damage(tree)
    refuses_both(svc, ["--model", tree.model, "--diffusion-model", tree.diffusion, "--vocoder", tree.vocoder], says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "voice 'alice' holds several speakers; choose one with --speaker: alice, björn"),
        (["--speaker", "eve"], "voice 'alice' has no speaker 'eve'; it has: alice, björn"),
        (["--speaker", "2"], "voice 'alice' has no speaker '2'"),
        (["--speaker", "-1"], "voice 'alice' has no speaker '-1'"),
        (["--speaker", "alice", "--shallow-diffusion", "--diffusion-steps", "101"], "was trained for 100; ask for no"),
        (["--speaker", "alice", "--encoder-weights", "absent.pt"], "absent.pt"),
        (["--speaker", "alice", "--pitch", "rmvpe"], "rmvpe"),
        (["--speaker", "alice", "--model", "G.pth"], "--voice and --model were both given; use one of them"),
        (["--speaker", "alice", "--cluster", "k.pt"], "--cluster belongs to --model; leave it out with --voice"),
        (["--speaker", "alice", "--enhance", "--only-diffusion"], "enhance and diffusion were both asked"),
        (
            ["--speaker", "alice", "--shallow-diffusion", "--diffusion-method", "ddim", "--diffusion-steps", "10"],
            "ddim was asked to take 10 of 10 diffusion steps at once, which leaves all the noise; ask for a lower",
        ),
        (
            ["--speaker", "alice", "--only-diffusion", "--diffusion-method", "ddim", "--diffusion-speedup", "100"],
            "ddim was asked to take 100 of 100 diffusion steps at once",
        ),
        (["--speaker", "alice", "--second-encoding"], "second_encoding is a part of shallow_diffusion"),
        (["--speaker", "alice", "--overlap-s", "2", "--max-chunk-s", "3"], "lower overlap_s to 1.5 or less"),
    ],
)
def test_what_a_voice_cannot_do(svc: SovitsFolder, alice: Path, words: list[str], says: str) -> None:
    svc.sing("a.wav", 0.1)
    svc.refuses_to_run("convert", "a.wav", "-o", "new/b.wav", "--voice", "alice", *words, says=says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--shallow-diffusion"], "has no diffusion model; leave it out, or give one with --diffusion-model"),
        (["--only-diffusion"], "has no diffusion model"),
        (["--enhance"], "has no NSF-HiFiGAN vocoder, which diffusion and the enhancer need"),
        (["--predict-pitch"], "was trained without pitch prediction; leave it out"),
    ],
)
def test_what_a_voice_of_one_file_cannot_do(
    svc: SovitsFolder, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.delenv("TIMBRE_WEIGHTS")
    config = CONFIG | {"model": CONFIG["model"] | {"use_automatic_f0_prediction": False}}
    save_model(svc / "G_1.pth", config)
    svc.sing("a.wav", 0.1)
    encoder = svc.tree_of_files.encoder
    fixed = ["--model", "G_1.pth", "--speaker", "alice", "--encoder-weights", encoder]
    svc.refuses_to_run("convert", "a.wav", "-o", "new/b.wav", *fixed, *words, says=says)


@pytest.mark.parametrize("key", [None, True])
def test_weights_without_pitch_prediction(svc: SovitsFolder, key: bool | None) -> None:
    model = CONFIG["model"] | {"use_automatic_f0_prediction": False}
    save_model(svc / "G_1.pth", CONFIG | {"model": model})
    told = {} if key is None else {"use_automatic_f0_prediction": key}
    config = CONFIG | {"model": CONFIG["model"] | told}
    (svc / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if key:
        refuses_both(svc, ["--model", "G_1.pth"], "config.json says use_automatic_f0_prediction true but the weights")
        return
    svc.sing_with("--model", "G_1.pth")
    words = ["convert", "song.wav", "-o", "b.wav", "--speaker", "alice", "--model", "G_1.pth", "--predict-pitch"]
    svc.refuses_to_run(*words, says="was trained without pitch prediction; leave it out")


def test_a_speaker_of_the_diffusion_model_without_a_number(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    edit_yaml(tree, "spk", alice=None)
    files = ["--model", tree.model, "--diffusion-model", tree.diffusion]
    refuses_both(svc, files, "'spk' of the diffusion settings says alice is None; it must be a whole number from 0")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-n", "a", "none", "-s", "alice"], "none.wav does not exist"),
        (["-n", "a", "-s", "alice", "eve"], "has no speaker 'eve'"),
        (["-n", "a", "b", "-t", "0", "99", "-s", "alice"], "pitch_shift is 99.0; it must be from -48 to 48"),
        (["-n", "a", "b", "-s", "alice", "-o", "c.wav"], "several results would become c.wav"),
        (
            ["-n", "a", "other/a.wav", "-s", "alice"],
            "a.wav_0key_alice_sovits_pm.flac; ask for them one after the other",
        ),
    ],
)
def test_a_mistake_in_the_last_of_several_runs_is_told_before_the_first(
    svc: SovitsFolder, words: list[str], says: str
) -> None:
    for name in ("raw/a.wav", "raw/b.wav", "other/a.wav"):
        svc.sing(name, 0.1)
    svc.refuses_to_run("convert", "-m", svc.tree_of_files.model, *words, says=says)


def test_a_check_says_nothing_and_does_nothing(svc: SovitsFolder, alice: Path) -> None:
    words = ["convert", svc.sing("a.wav", 0.1), "-o", "new/b.wav", "--voice", "alice", "--check"]
    before = svc.tree()
    outcome = svc.run(*words, "--speaker", "alice")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "") and svc.tree() == before
    svc.refuses_to_run(*words, "--speaker", "eve", says="has no speaker 'eve'")


def test_an_overlap_that_the_old_way_could_not_fade(svc: SovitsFolder, alice: Path) -> None:
    words = ["--voice", "alice", "--speaker", "alice", "--compatible", "--max-chunk-s", "1", "--overlap-s", "0.4"]
    source = svc.sing("a.wav", 2.1, rate=96_000)
    svc.refuses_to_run("convert", source, "-o", "new/b.wav", *words, says="is longer than a clip there; lower the over")


def test_diffusion_without_a_vocoder(svc: SovitsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIMBRE_WEIGHTS")
    tree = svc.own_tree()
    shutil.rmtree(tree.vocoder)
    svc.sing("a.wav", 0.1)
    fixed = ["convert", "a.wav", "-o", "b.wav", "--speaker", "alice", "--diffusion-model", tree.diffusion]
    says = "has no NSF-HiFiGAN vocoder, which diffusion and the enhancer need"
    svc.refuses_to_run(*fixed, "--model", tree.model, "--shallow-diffusion", says=says)
    svc.refuses_to_run(*fixed, "--only-diffusion", says=says)
    svc.refuses_to_run(*fixed, says="is a diffusion model alone; ask for only_diffusion")
    assert svc.run(*fixed, "--model", tree.model).code == 0


@pytest.mark.parametrize(
    ("values", "words", "says"),
    [
        (
            {"k_step_max": 40},
            ["--shallow-diffusion"],
            "diffusion_steps is 100, but the diffusion model was trained for 40",
        ),
        ({"k_step_max": 40}, ["--only-diffusion"], "was trained for the last 40 of 100 steps and cannot render alone"),
        ({"n_spk": 1}, [], "model.n_spk"),
    ],
)
def test_what_a_diffusion_model_was_not_trained_for(
    svc: SovitsFolder, values: dict[str, int], words: list[str], says: str
) -> None:
    tree = svc.own_tree()
    edit_yaml(tree, "model", **values)
    svc.sing("a.wav", 0.1)
    fixed = ["convert", "a.wav", "-o", "new/b.wav", "--speaker", "alice", "--model", tree.model]
    svc.refuses_to_run(*fixed, "--diffusion-model", tree.diffusion, *words, says=says)


def test_settings_of_a_diffusion_model_that_contradict_the_main_model(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    svc.sing("a.wav", 0.1)
    fixed = ["convert", "a.wav", "-o", "b.wav", "--model", tree.model, "--diffusion-model", tree.diffusion]
    settings = DIFFUSION | {"spk": {"alice": 1, "björn": 0}, "infer": {"method": "wavenet", "speedup": 10}}
    tree.diffusion_config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    asked = [*fixed, "--speaker", "alice", "--shallow-diffusion"]
    svc.refuses_to_run(*asked, says="speaker 'alice' has the number 0 in the main model and 1 in the diffusion model")
    tree.diffusion_config.write_text(yaml.safe_dump(settings | {"spk": {}}), encoding="utf-8")
    svc.refuses_to_run(*asked, says="the diffusion settings name the unknown method 'wavenet'; choose one with")
    assert svc.run(*asked, "--diffusion-method", "ddim").code == 0


def test_a_folder_for_a_vocoder_that_holds_none_is_no_hindrance(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    shutil.rmtree(tree.vocoder)
    tree.vocoder.mkdir()
    (tree.vocoder / "put_nsf_hifigan_ckpt_here").write_text("")
    words = ["--model", tree.model, "--weights-dir", tree.pretrain]
    svc.sing_with(*words)
    svc.sing_with(*words, "--enhance")  # with the next one that is found
    shutil.rmtree(tree.vocoder)
    shutil.copytree(svc.tree_of_files.vocoder, tree.vocoder)
    edit_vocoder(tree, mini_nsf=True)
    svc.sing_with(*words)
    outcome = svc.run("voice", "import", *words, "--name", "x")
    assert outcome.code == 0 and outcome.err.startswith(f"note: the vocoder found in {tree.vocoder} is left out: ")


def test_a_missing_encoder_tells_where_it_belongs_before_any_work(
    svc: SovitsFolder, alice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMBRE_WEIGHTS", str(svc / "weights"))
    monkeypatch.setattr("timbre.convert.files.scan", lambda *_: pytest.fail("a recording was heard"))
    svc.sing("a.wav", 0.1)
    words = ["convert", "a.wav", "-o", "new/b.wav", "--voice", "alice", "--speaker", "alice"]
    outcome = svc.refuses_to_run(*words, says=f"content encoder vec256l9 needs {ENCODER_FILE}")
    assert str(svc / "weights") in outcome.err and "github.com/auspicious3000/contentvec" in outcome.err
    shutil.copy(svc.tree_of_files.model, svc / "encoder.pt")
    svc.refuses_to_run(*words, "--encoder-weights", "encoder.pt", says="'encoder.pt' ")
    save_encoder(svc / "narrow.pt", projected=100)
    svc.refuses_to_run(*words, "--encoder-weights", "narrow.pt", says="has 100 features for each frame, but vec256l9")


def test_a_config_that_names_another_encoder(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    svc.sing("a.wav", 0.1)
    words = ["convert", "a.wav", "-o", "b.wav", "--speaker", "alice", "--model", tree.model]
    save_encoder(tree.pretrain / "wide.pt", width=768, n_layers=12)
    for encoder, says in (
        ("vec768l12", "whose features are 768 wide, but the model was trained with 256; correct speech_encoder"),
        ("hubert9", "the content encoder is 'hubert9'; it must be one of"),
    ):
        config = CONFIG | {"model": CONFIG["model"] | {"speech_encoder": encoder}}
        tree.config.write_text(json.dumps(config), encoding="utf-8")
        svc.refuses_to_run(*words, "--encoder-weights", tree.pretrain / "wide.pt", says=says)


# Recordings.


def _write(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    soundfile.write(path, samples, rate, subtype="FLOAT")


@pytest.mark.parametrize("compatible", [[], ["--compatible"]])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
        (lambda path: _write(path, np.zeros(0)), "holds 0 samples"),
        (lambda path: _write(path, np.append(glide(0.2, RATE), np.nan)), "holds NaN or infinity at 0.200 s"),
        (lambda path: path.write_text("no sound\n" * 99), "a.wav"),
        (lambda path: None, "a.wav does not exist"),
    ],
)
def test_what_is_no_recording(
    svc: SovitsFolder, alice: Path, make: Callable[[Path], object], says: str, compatible: list[str]
) -> None:
    make(svc / "a.wav")
    words = ["convert", svc / "a.wav", "-o", "new/b.wav", "--voice", "alice", "--speaker", "alice", *compatible]
    svc.refuses_to_run(*words, says=says)


@pytest.mark.parametrize("compatible", [[], ["--compatible"]])
def test_results_that_cannot_be_written(
    svc: SovitsFolder, alice: Path, monkeypatch: pytest.MonkeyPatch, compatible: list[str]
) -> None:
    words = ["convert", svc.sing("a.wav", 0.2), "--voice", "alice", "--speaker", "alice", *compatible]
    (svc / "file").write_text("mine")
    svc.refuses_to_run(*words, "-o", "file/b.wav", says="file is a file; the results need a folder there")
    n_inner = len(compatible)  # that way goes through a 16-bit file in memory
    with monkeypatch.context() as patch:
        stops_writing(patch, lambda: soundfile.LibsndfileError(2), after=n_inner)
        svc.refuses_to_run(*words, "-o", "new/b.wav", says="check the space on the disk")
    with monkeypatch.context() as patch:
        stops_writing(patch, KeyboardInterrupt, after=n_inner)
        before, outcome = svc.tree(), svc.run(*words, "-o", "new/b.wav")
    assert (outcome.code, outcome.err) == (130, "timbre: interrupted\n") and svc.tree() == before


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs file permissions")
def test_places_that_may_not_be_written_to(
    svc: SovitsFolder, sovits_voice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def refuse(path: Path, *arguments: Any, **options: Any) -> None:
        if "locked" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        mkdir(path, *arguments, **options)

    (svc / "locked").mkdir()
    monkeypatch.setattr(Path, "mkdir", refuse)  # also for those who may write everywhere
    model = svc.tree_of_files.model
    for words in (
        ["import", "--model", model, "--name", "x", "--to", "locked/x"],
        ["import", "--model", model, "--name", "x", "--to", "locked/new/x"],
        ["export-sovits", sovits_voice, "-o", "locked/out"],
    ):
        svc.refuses_to_run("voice", *words, says="(Permission denied); ")
