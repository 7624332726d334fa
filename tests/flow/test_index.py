"""`timbre index` on datasets written through the room `dataset`, and voices that retrieve from what it made."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.flow.command import WorkFolder
from tests.flow.sovits_folder import SovitsFolder
from tests.toy_dataset import FEATURES, toy_clip, write_toy_dataset
from tests.toys_sovits import WIDTH
from timbre.dataset.manifest import DatasetManifest
from timbre.dataset.places import write_features, write_manifest
from timbre.retrieval.faiss_file import read_faiss_index
from timbre.retrieval.foreign import read_index_bytes, read_kmeans
from timbre.retrieval.speaker_rows import read_speaker_rows
from timbre.train import indexing
from timbre.voice.sovits.folder import read_parts
from timbre.weights.restricted import read_checkpoint

N_UNITS = 60  # of each clip


def write_content(folder: Path, clip_id: str, width: int, n_units: int = N_UNITS) -> np.ndarray:
    chance = np.random.default_rng(int(clip_id, 16))
    content = chance.standard_normal((n_units, width)).astype(np.float32)
    write_features(folder, FEATURES["content"], clip_id, {"content": content})
    return content


def write_dataset(folder: Path, *, encoder: str = "vec256l9", width: int = WIDTH) -> DatasetManifest:
    """Write a dataset of `alice` (three clips) and `björn` (two)."""
    clips = [toy_clip(number, "alice" if number < 3 else "björn") for number in range(5)]
    manifest = replace(write_toy_dataset(folder, clips, diffusion=False), encoder=encoder, content_width=width)
    write_manifest(folder, manifest)
    for clip in clips:
        write_content(folder, clip.id, width)
    return manifest


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "index").iterdir())}


@pytest.fixture(scope="module")
def made_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "my data"
    write_dataset(folder)
    return folder


@pytest.fixture
def dataset(made_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_dataset, tmp_path / "my data"))


def test_kmeans(work: WorkFolder, dataset: Path) -> None:
    outcome = work.run("index", dataset, "--kind", "kmeans", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    row = outcome.rows[0]
    path = dataset / "index" / "kmeans.safetensors"
    assert (row["path"], row["is_new"], row["replaced_stale"], row["exported"]) == (str(path), True, False, None)
    found = read_speaker_rows(path, "kmeans")
    assert found.encoder == "vec256l9"
    assert {name: tuple(rows.shape) for name, rows in found.rows.items()} == {
        "alice": (18, WIDTH),
        "björn": (12, WIDTH),
    }
    assert row["speakers"]["alice"]["n_frames"] == 180 and row["speakers"]["alice"]["n_rows"] == 18
    assert row["speakers"]["alice"]["mean_distance"] > 0
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["made_from"]["encoder"] == "vec256l9" and record["made_from"]["content"] == FEATURES["content"]
    assert str(work.folder) not in json.dumps(record)
    assert not list(dataset.rglob("*.part"))


def test_retrieval_keeps_every_frame(work: WorkFolder, dataset: Path) -> None:
    outcome = work.run("index", dataset, "--kind", "retrieval", "--speaker", "björn")
    assert outcome.code == 0 and "björn: 120 rows of 120 frames\n" in outcome.out
    rows = read_speaker_rows(dataset / "index" / "retrieval.safetensors", "retrieval").rows
    expected = np.concatenate([write_content(dataset, f"{number:016x}", WIDTH) for number in (3, 4)])
    assert rows.keys() == {"björn"}
    np.testing.assert_array_equal(rows["björn"].numpy(), expected)


def test_of_too_many_frames_some_are_drawn(work: WorkFolder, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "MOST_FRAMES", 90)
    monkeypatch.setattr(indexing, "REDUCED_ROWS", 40)
    all_frames = np.concatenate([write_content(dataset, f"{number:016x}", WIDTH) for number in range(3)])
    opened = indexing.Dataset(dataset, write_dataset(dataset))
    drawn, n_frames = indexing._frames(opened, opened.clips(speaker="alice"), np.random.default_rng(0), lambda _: None)
    numbers = [np.flatnonzero((all_frames == frame).all(axis=1)).item() for frame in drawn]
    assert n_frames == 180 and len(set(numbers)) == 90
    assert all(15 <= sum(first <= number < first + 60 for number in numbers) <= 45 for first in (0, 60, 120))
    row = work.run("index", dataset, "--kind", "retrieval", "--json").rows[0]
    assert (row["speakers"]["alice"]["n_frames"], row["speakers"]["alice"]["n_rows"]) == (180, 40)


def test_the_same_again_does_nothing_and_a_change_redoes(work: WorkFolder, dataset: Path) -> None:
    words = ("index", dataset, "--kind", "kmeans")
    assert ": made\n" in work.run(*words).out
    first = contents(dataset)
    assert "nothing was to do" in work.run(*words).out and contents(dataset) == first
    moved = work / "elsewhere"
    shutil.move(dataset, moved)
    assert "nothing was to do" in work.run("index", moved, "--kind", "kmeans").out
    shutil.move(moved, dataset)
    told = "note: the one that was there was made from other clips, features or settings"
    assert told in work.run(*words, "--seed", "1").out
    assert told in work.run(*words).out and contents(dataset) == first
    assert told in work.run(*words, "--speaker", "alice").out
    manifest = write_dataset(dataset)
    write_manifest(dataset, replace(manifest, clips=manifest.clips[1:]))
    assert told in work.run(*words).out and "alice: 12 rows of 120 frames" in work.run(*words).out


@pytest.mark.parametrize("harm", ["cut", "no record", "record of a list"])
def test_a_damaged_one_is_made_again(work: WorkFolder, dataset: Path, harm: str) -> None:
    words = ("index", dataset, "--kind", "retrieval")
    work.run(*words)
    first, path = contents(dataset), dataset / "index" / "retrieval.safetensors"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "no record":
        path.with_suffix(".json").unlink()
    else:
        path.with_suffix(".json").write_text("[]")
    assert "or was damaged" in work.run(*words).out and contents(dataset) == first


def test_files_for_so_vits_svc(work: WorkFolder, dataset: Path) -> None:
    for kind, name in (("kmeans", "kmeans_10000.pt"), ("retrieval", "feature_and_index.pkl")):
        work.run("index", dataset, "--kind", kind)
        outcome = work.run("index", dataset, "--kind", kind, "--export-sovits")
        assert outcome.code == 0 and outcome.out.splitlines()[-1] == str(dataset / "index" / name)
        assert "nothing was to do" in outcome.out
    centres = read_kmeans(read_checkpoint(dataset / "index" / "kmeans_10000.pt"))
    own = read_speaker_rows(dataset / "index" / "kmeans.safetensors", "kmeans").rows
    assert centres.keys() == own.keys() and all(torch.equal(centres[name], own[name]) for name in own)
    frames = read_speaker_rows(dataset / "index" / "retrieval.safetensors", "retrieval").rows
    indexes = read_index_bytes(read_checkpoint(dataset / "index" / "feature_and_index.pkl"))
    assert indexes.keys() == {0, 1}
    for name, number in {"alice": 0, "björn": 1}.items():
        index = read_faiss_index(indexes[number])
        assert len(index.centroids) == len(frames[name]) // 39
        assert torch.equal(index.mix(frames[name], 1.0), frames[name])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--speaker", "carol"], "has no speaker 'carol'; its speakers: alice, björn"),
        (["--kind", "other"], "kind is 'other'; it must be one of: kmeans, retrieval"),
        (["--centres", "0"], "centres is 0"),
        (["--device", "cuda:99"], "cuda:99"),
    ],
)
def test_refusals(work: WorkFolder, dataset: Path, words: list[str], says: str) -> None:
    work.refuses_to_run("index", dataset, *words, says=says)


def test_a_folder_without_a_dataset(work: WorkFolder) -> None:
    work.refuses_to_run("index", work.folder, says="holds no dataset.json")


@pytest.mark.parametrize("kind", ["kmeans", "retrieval"])
def test_too_few_frames(work: WorkFolder, dataset: Path, kind: str) -> None:
    write_content(dataset, f"{4:016x}", WIDTH, n_units=39)
    says = "speaker 'björn' of"
    outcome = work.refuses_to_run("index", dataset, "--kind", kind, says=says)
    assert "has 99 frames of content, and an index needs 100" in outcome.err
    assert work.run("index", dataset, "--kind", kind, "--speaker", "alice").code == 0


def test_damaged_content(work: WorkFolder, dataset: Path) -> None:
    content = np.full((N_UNITS, WIDTH), np.nan, dtype=np.float32)
    write_features(dataset, FEATURES["content"], f"{1:016x}", {"content": content})
    work.refuses_to_run("index", dataset, says="the content of the clip 0000000000000001 of")
    write_content(dataset, f"{1:016x}", WIDTH - 1)
    work.refuses_to_run("index", dataset, says="does not belong to it; prepare the dataset again")


def test_the_packaged_encoder_is_not_for_so_vits_svc(work: WorkFolder) -> None:
    write_dataset(work / "data", encoder="timbre", width=6)
    work.refuses_to_run("index", work / "data", "--export-sovits", says="which so-vits-svc does not know")
    assert work.run("index", work / "data").code == 0


@pytest.mark.parametrize(("kind", "option"), [("kmeans", "--cluster"), ("retrieval", "--index")])
def test_a_voice_retrieves_from_it(svc: SovitsFolder, dataset: Path, kind: str, option: str) -> None:
    model = ("--model", svc.tree_of_files.model)
    svc.run("index", dataset, "--kind", kind, "--export-sovits")
    file = dataset / "index" / f"{kind}.safetensors"
    plain = svc.sing_with(*model)
    drawn = svc.sing_with(*model, option, file, "--retrieval-ratio", "1")
    assert np.abs(drawn - plain).max() > 1e-3
    assert svc.run("voice", "import", *model, option, file, "--name", "alice").code == 0
    np.testing.assert_array_equal(svc.sing_with("--voice", "alice", "--retrieval-ratio", "1"), drawn)
    parts = read_parts(svc.voices / "alice")
    assert parts.origins[option[2:]].file == file.name
    assert (set(parts.centres), set(parts.indexes)) == (
        ({"alice", "björn"}, set()) if kind == "kmeans" else (set(), {0, 1})
    )
    outcome = svc.run("voice", "export-sovits", "alice", "-o", svc / "out")
    exported = svc / "out" / ("kmeans_10000.pt" if kind == "kmeans" else "feature_and_index.pkl")
    assert outcome.code == 0
    np.testing.assert_array_equal(svc.sing_with(*model, option, exported, "--retrieval-ratio", "1"), drawn)


def test_centres_for_so_vits_svc_sound_the_same(svc: SovitsFolder, dataset: Path) -> None:
    svc.run("index", dataset, "--export-sovits")
    model, ratio = ("--model", svc.tree_of_files.model), ("--retrieval-ratio", "1")
    own, foreign = (dataset / "index" / name for name in ("kmeans.safetensors", "kmeans_10000.pt"))
    np.testing.assert_array_equal(
        svc.sing_with(*model, "--cluster", own, *ratio), svc.sing_with(*model, "--cluster", foreign, *ratio)
    )


def test_a_diffusion_model_alone_retrieves_from_it(svc: SovitsFolder, dataset: Path) -> None:
    svc.run("index", dataset, "--kind", "retrieval")
    words = ("--diffusion-model", svc.tree_of_files.diffusion, "--only-diffusion", "--diffusion-speedup", "50")
    file = dataset / "index" / "retrieval.safetensors"
    svc.sing_with(*words, "--index", file, "--retrieval-ratio", "1")


@pytest.mark.parametrize(
    ("encoder", "width", "option", "says"),
    [
        (
            "hubertsoft",
            WIDTH,
            "--cluster",
            "content of the encoder hubertsoft, but this voice hears vec256l9",
        ),
        ("vec256l9-onnx", 5, "--cluster", "cluster centres were made from content 5 wide"),
        ("vec256l9", WIDTH, "--index", "is a file of cluster centres; give a feature index"),
    ],
)
def test_files_that_do_not_fit_the_voice(svc: SovitsFolder, encoder: str, width: int, option: str, says: str) -> None:
    write_dataset(svc / "data", encoder=encoder, width=width)
    svc.run("index", svc / "data")
    file = svc / "data" / "index" / "kmeans.safetensors"
    words = ("--model", svc.tree_of_files.model, option, file)
    svc.refuses_to_run("voice", "import", *words, "--name", "x", says=says)
    svc.sing("song.wav")
    svc.refuses_to_run("convert", svc / "song.wav", "-o", svc / "out.wav", "--speaker", "alice", *words, says=says)


def test_a_file_of_other_speakers(svc: SovitsFolder) -> None:
    manifest = write_dataset(svc / "data")
    clips = tuple(replace(clip, speaker="carol") for clip in manifest.clips)
    write_manifest(svc / "data", replace(manifest, clips=clips, speakers={"carol": 0}))
    for kind, option in (("kmeans", "--cluster"), ("retrieval", "--index")):
        svc.run("index", svc / "data", "--kind", kind)
        file = svc / "data" / "index" / f"{kind}.safetensors"
        words = ("--model", svc.tree_of_files.model, option, file, "--name", "x")
        says = "is of carol, but the speakers of this voice are alice, björn"
        svc.refuses_to_run("voice", "import", *words, says=says)
