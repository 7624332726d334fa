"""`timbre voice` with so-vits-svc files: import, list, show, slim, mix, export, import again, remove."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.flow.sovits_folder import SovitsFolder
from tests.toys_sovits import CONFIG, DIFFUSION, SovitsTree
from timbre.retrieval.foreign_writing import pickled_indexes
from timbre.voice.sovits.folder import read_parts
from timbre.voice.sovits.parts import SovitsParts


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_equal_tensors(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    assert list(one) and set(one) == set(other)
    assert all(one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one)


def assert_equal_parts(one: SovitsParts, other: SovitsParts) -> None:
    assert one.networks().keys() == other.networks().keys()
    for role, network in one.networks().items():
        assert_equal_tensors(network.tensors, other.networks()[role].tensors)
        assert network.config == other.networks()[role].config
    assert_equal_tensors(one.centres, other.centres)
    assert (one.indexes, one.release, one.origins) == (other.indexes, other.release, other.origins)


def test_an_imported_voice_holds_what_its_files_held(svc: SovitsFolder, sovits_tree: SovitsTree) -> None:
    outcome = svc.import_all()
    alice = svc.voices / "alice"
    assert (outcome.code, outcome.out, outcome.err) == (0, f"alice is in {alice}\n", "")
    parts = read_parts(alice)
    stored = {
        "model": torch.load(sovits_tree.model, weights_only=True)["model"],
        "diffusion": torch.load(sovits_tree.diffusion, weights_only=True)["model"],
        "vocoder": torch.load(sovits_tree.vocoder / "model", weights_only=True)["generator"],
    }
    for role, network in parts.networks().items():
        assert_equal_tensors(network.tensors, stored[role])
    assert parts.model is not None and parts.model.config == CONFIG
    assert parts.diffusion is not None and parts.diffusion.config == DIFFUSION
    assert sorted(path.suffix for path in alice.iterdir()) == [".json"] * 5 + [".safetensors"] * 4


def test_list_and_show_tell_where_a_voice_comes_from(svc: SovitsFolder, sovits_tree: SovitsTree) -> None:
    facts = {
        "description": "warm, 低い",
        "languages": "is, ja",
        "licence": "CC BY 4.0",
        "attribution": "Sólveig",
        "consent": "in writing",
        "median-pitch": "212.5",
    }
    assert svc.import_all("alice", *(word for key, value in facts.items() for word in (f"--{key}", value))).code == 0
    (card,) = [row for row in svc.run("voice", "list", "--json").rows if row["name"] == "alice"]
    assert (card["description"], card["languages"], card["licence"]) == ("warm, 低い", ["is", "ja"], "CC BY 4.0")
    assert (card["attribution"], card["consent"], card["median_f0_hz"]) == ("Sólveig", "in writing", 212.5)
    assert card["speakers"] == ["alice", "björn"]
    (shown,) = svc.run("voice", "show", "alice", "--json", "--verify").rows
    assert shown["verified"] == "yes" and shown["release"] == "4.1"
    assert shown["parts"] == ["model", "diffusion", "vocoder", "retrieval"]
    assert (shown["model_file"], shown["model_sha256"]) == ("G_800.pth", sha256(sovits_tree.model))
    assert (shown["cluster_file"], shown["cluster_sha256"]) == ("kmeans_10000.pt", sha256(sovits_tree.kmeans))
    text = svc.run("voice", "show", "alice").out
    assert "warm, 低い" in text and "diffusion file    model_100.pt" in text
    assert "sovits  212 Hz  is, ja     CC BY 4.0" in svc.run("voice", "list").out
    note = svc.run("convert", svc.sing("a.wav"), "-o", "b.wav", "--voice", "alice", "--speaker", "alice").out
    assert "the voice's 212 Hz" in note


def test_a_voice_may_lie_anywhere(svc: SovitsFolder) -> None:
    folder = svc / "my voices/deep/alice"
    assert svc.import_all("alice", "--to", folder).code == 0
    assert svc.run("voice", "show", folder, "--verify").code == 0
    whole = svc.sing_with("--voice", folder)
    assert svc.run("voice", "slim", folder).code == 0
    np.testing.assert_array_equal(svc.sing_with("--voice", folder), whole)
    assert "alice" not in svc.run("voice", "list").out.split()


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.json", "diffusion.json", "vocoder.safetensors", "retrieval.safetensors"]
)
def test_verify_finds_each_change(svc: SovitsFolder, alice: Path, name: str) -> None:
    data = bytearray((alice / name).read_bytes())
    data[-3] ^= 1
    (alice / name).write_bytes(data)
    svc.refuses_to_run("voice", "show", "alice", "--verify", says=f"{name} of the voice in")
    (alice / name).unlink()
    svc.refuses_to_run("voice", "show", "alice", "--verify", says=f"{name} of the voice in")


def test_a_slim_voice_sounds_the_same(svc: SovitsFolder, alice: Path) -> None:
    whole, before = svc.sing_with("--voice", "alice"), (alice / "model.safetensors").stat().st_size
    outcome = svc.run("voice", "slim", "alice")
    assert outcome.code == 0 and " MB became " in outcome.out
    slim = read_parts(alice)
    assert slim.model is not None and not any(name.startswith("enc_q.") for name in slim.model.tensors)
    assert slim.origins.keys() == {"model", "diffusion", "vocoder", "cluster"}
    after = (alice / "model.safetensors").stat().st_size
    assert after < 0.8 * before
    np.testing.assert_array_equal(svc.sing_with("--voice", "alice"), whole)
    assert svc.run("voice", "slim", "alice", "--half").code == 0
    assert (alice / "model.safetensors").stat().st_size < 0.7 * after
    half = svc.sing_with("--voice", "alice")
    assert 0 < np.sqrt(np.mean((half - whole) ** 2) / np.mean(whole**2)) < 0.05
    assert svc.run("voice", "show", "alice", "--verify").code == 0


def test_a_slim_file_sounds_the_same(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    whole = svc.sing_with("--model", tree.model)
    outcome = svc.run("voice", "slim", tree.model)
    slim = tree.model.with_name("G_800_release.pth")
    assert outcome.code == 0 and outcome.out.startswith(f"{slim}: 0.")
    np.testing.assert_array_equal(svc.sing_with("--model", slim), whole)
    assert svc.run("voice", "slim", tree.model, "--half").code == 0
    content = torch.load(tree.model.with_name("G_800_release_half.pth"), weights_only=True)
    assert {tensor.dtype for tensor in content["model"].values()} == {torch.float16}
    assert content.keys() == {"model", "iteration", "optimizer", "learning_rate"}
    svc.refuses_to_run("voice", "slim", tree.model, says="G_800_release.pth exists; choose another name or use --force")
    assert svc.run("voice", "slim", tree.model, "--force").code == 0
    assert svc.run("voice", "slim", tree.model, "-o", svc / "small.pth").code == 0
    svc.refuses_to_run("voice", "slim", tree.kmeans, says="is a file of cluster centres; give a so-vits-svc 4 voice")


def test_what_cannot_be_slimmed(svc: SovitsFolder, alice: Path) -> None:
    svc.refuses_to_run("voice", "slim", "alice", "-o", "x.pth", says="--output is for files")
    svc.refuses_to_run("voice", "slim", "ada", says="voice 'ada' is of the family fast")
    svc.refuses_to_run("voice", "slim", "alic", says="did you mean 'alice'?")


def test_slim_and_whole_models_mix(svc: SovitsFolder, alice: Path) -> None:
    assert svc.run("voice", "import", "--model", svc.tree_of_files.model, "--name", "bob").code == 0
    assert svc.run("voice", "slim", "bob").code == 0
    for number, names in enumerate((("alice", "bob"), ("bob", "alice"))):
        outcome = svc.run("voice", "mix", *names, "--weights", "1,3", "--name", f"both{number}")
        assert outcome.code == 0, outcome.err
        mixed, whole = read_parts(svc.voices / f"both{number}").model, read_parts(svc.voices / "bob").model
        assert mixed is not None and whole is not None
        assert set(mixed.tensors) == set(whole.tensors)
        for key, tensor in mixed.tensors.items():
            torch.testing.assert_close(tensor, whole.tensors[key])
        assert svc.run("voice", "show", f"both{number}", "--verify").code == 0


def test_an_exported_voice_is_what_so_vits_svc_reads_and_comes_back_the_same(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    index = svc / "feature_and_index.pkl"
    index.write_bytes(_index_of_two())
    assert svc.import_all("alice", "--index", index, tree=tree).code == 0
    sung = svc.sing_with("--voice", "alice", "--shallow-diffusion")
    outcome = svc.run("voice", "export-sovits", "alice", "-o", svc / "out/alice")
    assert outcome.code == 0
    files = sorted(path.relative_to(svc / "out/alice").as_posix() for path in map(Path, outcome.out.splitlines()))
    assert files == [
        "G_800.pth",
        "config.json",
        "diffusion/config.yaml",
        "diffusion/model_100.pt",
        "feature_and_index.pkl",
        "kmeans_10000.pt",
        "nsf_hifigan/config.json",
        "nsf_hifigan/model",
    ]
    out = svc / "out/alice"
    content = torch.load(out / "G_800.pth", weights_only=True)
    assert (content["iteration"], content["optimizer"], content["learning_rate"]) == (0, None, 1e-4)
    assert_equal_tensors(content["model"], torch.load(tree.model, weights_only=True)["model"])
    assert json.loads((out / "config.json").read_text()) == CONFIG
    assert yaml.safe_load((out / "diffusion/config.yaml").read_text()) == DIFFUSION
    centres = torch.load(out / "kmeans_10000.pt", weights_only=False)["alice"]
    assert (centres["n_features_in_"], centres["cluster_centers_"].shape) == (256, (12, 256))
    exported = ["--model", out / "G_800.pth", "--diffusion-model", out / "diffusion/model_100.pt"]
    exported += ["--cluster", out / "kmeans_10000.pt", "--index", out / "feature_and_index.pkl"]
    assert svc.run("voice", "import", *exported, "--vocoder", out / "nsf_hifigan", "--name", "again").code == 0
    first, second = read_parts(svc.voices / "alice"), read_parts(svc.voices / "again")
    assert len(first.indexes) == 2 and first.indexes == second.indexes
    assert_equal_tensors(first.centres, second.centres)
    for role, network in first.networks().items():
        assert_equal_tensors(network.tensors, second.networks()[role].tensors)
        assert network.config == second.networks()[role].config
    np.testing.assert_array_equal(svc.sing_with("--voice", "again", "--shallow-diffusion"), sung)
    svc.refuses_to_run("voice", "export-sovits", "alice", "-o", out, says="exists; choose a new folder")


def _index_of_two() -> bytes:
    from tests.flow.test_sovits_mixing import toy_ivf

    return pickled_indexes({0: toy_ivf(1), 1: toy_ivf(2)})


def test_a_voice_of_parts_is_exported_without_the_others(svc: SovitsFolder, sovits_tree: SovitsTree) -> None:
    words = ["--diffusion-model", sovits_tree.diffusion, "--vocoder", sovits_tree.vocoder / "model", "--name", "mel"]
    assert svc.run("voice", "import", *words).code == 0
    out = svc / "out"
    assert svc.run("voice", "export-sovits", "mel", "-o", out).code == 0
    assert {path.name for path in out.iterdir()} == {"diffusion", "nsf_hifigan"}
    svc.refuses_to_run("voice", "slim", "mel", says="is a diffusion model alone, without a main model")


@pytest.mark.parametrize("origin", ["../../evil.pth", "/evil.pth", "a\\b.pth", "x" * 300 + ".pth", "G.txt"])
def test_names_in_a_strangers_voice_lead_nowhere(svc: SovitsFolder, alice: Path, origin: str) -> None:
    manifest = json.loads((alice / "sovits.json").read_text())
    manifest["origins"]["model"]["file"] = origin
    (alice / "sovits.json").write_text(json.dumps(manifest))
    before = svc.tree()
    assert svc.run("voice", "export-sovits", "alice", "-o", svc / "out").code == 0
    new = {name for name in svc.tree() if name not in before}
    assert all(name.startswith("out/") for name in new) and "out/G_0.pth" in new


def test_removal_asks_and_spares_packaged_voices(
    svc: SovitsFolder, alice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc.refuses_to_run("voice", "remove", "ada", "--yes", says="voice 'ada' is part of the package and stays")
    svc.refuses_to_run("voice", "remove", "alicia", says="did you mean 'alice'?")
    before = svc.tree()
    for answer in ("n\n", ""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        outcome = svc.run("voice", "remove", "alice")
        assert outcome.code == 130 and f"delete {alice}?" in outcome.err
        assert svc.tree() == before
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert svc.run("voice", "remove", "alice").code == 0
    assert os.listdir(svc.voices) == []
    assert svc.import_all().code == 0
    assert svc.run("voice", "remove", "alice", "--yes").out == "alice is removed\n"
    assert os.listdir(svc.voices) == []


def test_an_unfinished_voice_is_nobody(svc: SovitsFolder, alice: Path) -> None:
    alice.rename(svc.voices / ".0123.part")
    assert [row["name"] for row in svc.run("voice", "list", "--json").rows] == ["ada", "björn"]
    svc.refuses_to_run("voice", "show", "alice", says="there is no voice 'alice'")


class TestImportOverAnExistingVoice:
    def test_needs_force(self, svc: SovitsFolder, alice: Path) -> None:
        words = ["voice", "import", "--model", svc.tree_of_files.model, "--name", "alice"]
        svc.refuses_to_run(*words, says="voices/alice exists; choose another folder or use --force")
        assert svc.run(*words, "--force").code == 0
        assert read_parts(alice).diffusion is None and not (alice / "diffusion.safetensors").exists()
        assert os.listdir(svc.voices) == ["alice"]

    def test_replaces_nothing_but_a_voice(self, svc: SovitsFolder) -> None:
        (svc / "music").mkdir()
        (svc / "music/song.txt").write_text("mine")
        words = ["voice", "import", "--model", svc.tree_of_files.model, "--name", "x", "--to", svc / "music", "--force"]
        svc.refuses_to_run(*words, says="music is no voice and is not replaced by one")

    def test_goes_where_a_link_points(self, svc: SovitsFolder, alice: Path) -> None:
        alice.rename(svc / "elsewhere")
        alice.symlink_to(svc / "elsewhere", target_is_directory=True)
        assert svc.import_all("alice", "--force", "--description", "new").code == 0
        assert alice.is_symlink() and json.loads((svc / "elsewhere/voice.json").read_text())["description"] == "new"

    @pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    @pytest.mark.parametrize("step", ["save_file", "_write_json", "sha256_of"])
    def test_keeps_the_old_one_when_writing_fails(
        self, svc: SovitsFolder, alice: Path, monkeypatch: pytest.MonkeyPatch, step: str, failure: BaseException
    ) -> None:
        monkeypatch.setattr(f"timbre.voice.sovits.folder.{step}", _fails_second(step, failure))
        before = svc.tree()
        outcome = svc.import_all("alice", "--force", "--description", "new")
        interrupted = isinstance(failure, KeyboardInterrupt)
        assert outcome.code == (130 if interrupted else 2) and outcome.err.count("\n") == 1
        assert interrupted or "alice cannot be written (No space left on device); check the space" in outcome.err
        assert svc.tree() == before

    @pytest.mark.parametrize("fails", [1, 2])
    def test_keeps_the_old_one_when_it_cannot_be_put_in_place(
        self, svc: SovitsFolder, alice: Path, monkeypatch: pytest.MonkeyPatch, fails: int
    ) -> None:
        replace, calls = os.replace, 0

        def replace_or_fail(source: Path, target: Path) -> None:
            nonlocal calls
            calls += 1
            if calls == fails:
                raise PermissionError(13, "Permission denied")
            replace(source, target)

        before = svc.tree()
        monkeypatch.setattr(os, "replace", replace_or_fail)
        assert "cannot be written (Permission denied)" in svc.import_all("alice", "--force").err
        assert svc.tree() == before


def _fails_second(step: str, failure: BaseException) -> Callable[..., object]:
    import timbre.voice.sovits.folder as module

    whole, calls = getattr(module, step), 0

    def fail(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise failure
        return whole(*arguments)

    return fail


def test_an_interrupted_first_import_leaves_nothing(svc: SovitsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timbre.voice.sovits.folder.sha256_of", _fails_second("sha256_of", KeyboardInterrupt()))
    before = svc.tree()
    assert svc.import_all("alice", "--to", svc / "new/deep/alice").code == 130
    assert svc.tree() == before


@contextmanager
def files_no_larger_than(n_bytes: int) -> Iterator[None]:
    """Let every larger file fail as on a full disk."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the system")
@pytest.mark.parametrize("limit", [0, 30_000])
def test_full_disk(svc: SovitsFolder, alice: Path, limit: int) -> None:
    model = svc.tree_of_files.model
    commands: list[tuple[list[object], str]] = [
        (["import", "--model", model, "--name", "new"], "voices/new"),
        (["import", "--model", model, "--name", "alice", "--force"], "voices/alice"),
        (["slim", "alice"], "voices/alice"),
        (["slim", model, "-o", "x.pth"], "x.pth"),
        (["mix", model, model, "--weights", "1,1", "-o", "x.pth"], "x.pth"),
        (["export-sovits", "alice", "-o", "new/out"], "new/out"),
    ]
    with files_no_larger_than(limit):
        for words, name in commands:
            outcome = svc.refuses_to_run("voice", *words, says=f"{name} cannot be written (")
            assert "check the space on the disk" in outcome.err
    assert svc.run("voice", "export-sovits", "alice", "-o", "new/out").code == 0


def print_anything() -> None:
    """Let stdout and stderr escape what is no text, as the command's own do."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")


class TestNames:
    @pytest.mark.parametrize("name", ["Ærø 声 नमस्ते", "x" * 80, "声" * 60, "-alice"])
    def test_of_any_script_and_length(self, svc: SovitsFolder, name: str) -> None:
        assert svc.run("voice", "import", "--model", svc.tree_of_files.model, f"--name={name}").code == 0
        assert (svc.voices / name / "voice.json").is_file()
        source = svc.sing("a.wav")
        words = ["-o", "out", f"--voice={name}", "--speaker", "björn"]
        assert svc.run("convert", source, *words).code == 0
        assert os.listdir(svc / "out") == [f"a_{name}.wav"]
        assert svc.run("voice", "remove", "--yes", "--", name).code == 0

    @pytest.mark.parametrize(
        ("name", "better"),
        [
            ("a/b", "a_b"),
            ("../a", "_a"),
            (".hidden", "hidden"),
            ("", "voice"),
            ("what?", "what_"),
            ("x" * 81, "x" * 80),
            ("🎤" * 60, "🎤" * 45),
            ("a\udcff", "a_"),
        ],
    )
    def test_that_some_system_refuses(self, svc: SovitsFolder, name: str, better: str) -> None:
        words = ["voice", "import", "--model", svc.tree_of_files.model, f"--name={name}"]
        svc.refuses_to_run(*words, says=f"which not every system takes in a file name; use {better!r}")

    def test_of_files_that_are_no_text(self, svc: SovitsFolder) -> None:
        print_anything()
        tree = svc.own_tree()
        odd = Path(os.fsdecode(b"\xff\xfe \xe5\xa3\xb0")) / os.fsdecode(b"G_\xff.pth")
        odd.parent.mkdir()
        shutil.copy(tree.model, odd)
        shutil.copy(tree.config, odd.with_name("config.json"))
        words = ["--name", "odd", "--description", os.fsdecode(b"\xff"), "--licence", "許諾"]
        assert svc.run("voice", "import", "--model", odd, *words).code == 0
        (shown,) = svc.run("voice", "show", "odd", "--json", "--verify").rows
        assert shown["model_file"] == odd.name and shown["licence"] == "許諾"
        assert svc.run("voice", "show", "odd").code == 0 and svc.run("voice", "list").code == 0
        assert svc.run("voice", "export-sovits", "odd", "-o", "out").code == 0
        assert (svc / "out/G_0.pth").is_file()
        svc.sing_with("--voice", "odd")

    def test_of_speakers(self, svc: SovitsFolder) -> None:
        print_anything()
        tree = svc.own_tree()
        names = ["../../x", "声" * 300, "\ud800", ""]
        config = CONFIG | {"spk": {name: number % 2 for number, name in enumerate(names)}}
        tree.config.write_text(json.dumps(config), encoding="utf-8")
        assert svc.run("voice", "import", "--model", tree.model, "--name", "odd").code == 0
        (card,) = [row for row in svc.run("voice", "list", "--json").rows if row["name"] == "odd"]
        assert card["speakers"] == names
        assert svc.run("voice", "show", "odd").code == 0
        for name in names:
            svc.sing_with("--voice", "odd", f"--speaker={name}", speaker=None)

    def test_of_results_that_are_too_long(self, svc: SovitsFolder, alice: Path) -> None:
        source = svc.sing(f"{'é' * 123}.wav")
        words = ["convert", source, "--voice", "alice", "--speaker", "alice"]
        svc.refuses_to_run(
            *words, "-o", "out", says="is longer than the 255 bytes that a file's may be; give a shorter"
        )
        assert svc.run(*words, "-o", "out.wav").code == 0


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda folder: (folder / "sovits.json").unlink(), "is damaged"),
    "half a manifest": (lambda folder: _cut(folder / "sovits.json"), "is damaged"),
    "a list as manifest": (lambda folder: (folder / "sovits.json").write_text("[]"), "is damaged"),
    "no hashes": (lambda folder: _change(folder, sha256=None), "is damaged"),
    "hashes that are numbers": (lambda folder: _change(folder, sha256={"model.safetensors": 5}), "is damaged"),
    "origins that are texts": (lambda folder: _change(folder, origins={"model": "G.pth"}), "is damaged"),
    "unknown release": (lambda folder: _change(folder, release="5.0"), "is damaged"),
    "a strange release": (lambda folder: _change(folder, release=["4.1"]), "is damaged"),
    "parts elsewhere": (
        lambda folder: _change(folder, sha256={"../../model.safetensors": "", "/etc/passwd": ""}),
        "holds neither a main model nor a diffusion model",
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "is damaged"),
    "half the weights": (lambda folder: _cut(folder / "model.safetensors"), "is damaged"),
    "empty weights": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "is damaged"),
    "no config": (lambda folder: (folder / "model.json").unlink(), "is damaged"),
    "half a config": (lambda folder: _cut(folder / "model.json"), "is damaged"),
    "another config": (lambda folder: (folder / "model.json").write_text('{"model": 5}'), "config.json"),
    "a wider config": (lambda folder: _widen(folder / "model.json"), "config.json says gin_channels 6"),
    "half the retrieval": (lambda folder: _cut(folder / "retrieval.safetensors"), "is damaged"),
    "unknown family": (lambda folder: _change(folder, "voice.json", family="rvc"), "is of the unknown family 'rvc'"),
}


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _change(folder: Path, name: str = "sovits.json", **values: object) -> None:
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(json.dumps(content | values), encoding="utf-8")


def _widen(path: Path) -> None:
    config = json.loads(path.read_text())
    config["model"]["gin_channels"] += 1
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_voice(svc: SovitsFolder, alice: Path, kind: str) -> None:
    damage, sentence = DAMAGES[kind]
    damage(alice)
    svc.sing("a.wav")
    words = ["convert", "a.wav", "-o", "new/b.wav", "--voice", "alice", "--speaker", "alice"]
    outcome = svc.refuses_to_run(*words, says=sentence)
    assert "voices/alice" in outcome.err or "config.json" in outcome.err or "'alice'" in outcome.err
    assert svc.run("voice", "show", "alice").code in (0, 2)
