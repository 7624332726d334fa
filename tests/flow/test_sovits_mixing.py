"""Conversion with so-vits-svc voices: retrieval and mixes of speakers change the sound as they say."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from tests.flow.command import Outcome, WorkFolder
from tests.flow.singer import CLOSE, Singer, differ
from tests.toy_index import flat_index, ivf_index
from tests.toys import glide
from tests.toys_sovits import CONFIG, HOP, RATE, WIDTH, SovitsTree, make_tree, save_model
from timbre.errors import SettingsError
from timbre.retrieval.foreign_writing import pickled_indexes


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> SovitsTree:
    return make_tree(tmp_path_factory.mktemp("sovits") / "tree")


@pytest.fixture(scope="module")
def singer(tree: SovitsTree) -> Singer:
    return Singer(tree)


@pytest.fixture(scope="module")
def index(tree: SovitsTree) -> Path:
    return write_index(tree.root / "feature_and_index.pkl", toy_ivf(1), toy_ivf(2))


def toy_ivf(seed: int, width: int = WIDTH) -> bytes:
    """Return an index of two lists of 10 vectors."""
    vectors = torch.randn(20, width, generator=torch.Generator().manual_seed(seed))
    return ivf_index(torch.stack([vectors[:10].mean(0), vectors[10:].mean(0)]), [vectors[:10], vectors[10:]])


def write_index(path: Path, *of_speakers: bytes) -> Path:
    path.write_bytes(pickled_indexes(dict(enumerate(of_speakers))))
    return path


def write_centres(path: Path, speaker: str, centres: torch.Tensor) -> Path:
    entry = {"n_features_in_": centres.shape[1], "_n_threads": 1, "cluster_centers_": centres.numpy()}
    torch.save({speaker: entry}, path)
    return path


def write_tracks(path: Path, tracks: dict[str, Sequence[Sequence[float]]]) -> str:
    path.write_text(json.dumps(tracks), encoding="utf-8")
    return str(path)


def convert(work: WorkFolder, tree: SovitsTree, *words: object) -> Outcome:
    fixed = ("--model", tree.model, "-o", work / "out.wav", "--pitch-shift", "0", "--pitch", "pm")
    return work.run("convert", work.sing("song.wav"), *fixed, *words)


@pytest.mark.parametrize("kind", ["cluster", "index"])
def test_each_ratio_of_retrieval_is_another_sound(singer: Singer, index: Path, kind: str) -> None:
    file = {kind: {"cluster": singer.tree.kmeans, "index": index}[kind]}
    none, half, full = (singer.sing(speaker="alice", retrieval_ratio=ratio, **file) for ratio in (0, 0.5, 1))
    np.testing.assert_array_equal(none, singer.sing(speaker="alice"))
    assert differ(none, half) and differ(half, full) and differ(none, full)


def test_each_speaker_has_an_index_of_their_own(singer: Singer, index: Path, tmp_path: Path) -> None:
    swapped = write_index(tmp_path / "i.pkl", toy_ivf(2), toy_ivf(1))
    assert differ(*(singer.sing(speaker="alice", retrieval_ratio=1, index=file) for file in (index, swapped)))


def test_one_centre_and_one_vector_are_the_same_sound(singer: Singer, tmp_path: Path) -> None:
    row = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(9))
    cluster = write_centres(tmp_path / "k.pt", "alice", row)
    index = write_index(tmp_path / "i.pkl", flat_index(row))
    by_centre = singer.sing(speaker="alice", retrieval_ratio=1, cluster=cluster)
    np.testing.assert_array_equal(singer.sing(speaker="0", retrieval_ratio=1, index=index), by_centre)


def test_retrieval_reaches_the_diffusion_model(singer: Singer) -> None:
    options = {"cluster": singer.tree.kmeans, "diffusion_model": singer.tree.diffusion, "only_diffusion": True}
    assert differ(*(singer.sing(speaker="alice", retrieval_ratio=ratio, **options) for ratio in (0, 1)))


def test_a_voice_with_centres_and_index_asks_which(singer: Singer, index: Path) -> None:
    options = {"speaker": "alice", "retrieval_ratio": 1, "cluster": singer.tree.kmeans, "index": index}
    with pytest.raises(SettingsError, match="choose with --retrieval clusters or index"):
        singer.sing(**options)
    assert differ(*(singer.sing(retrieval=kind, **options) for kind in ("clusters", "index")))


def test_an_imported_voice_keeps_what_it_retrieves_from(work: WorkFolder, tree: SovitsTree, index: Path) -> None:
    words = ["--name", "toy", "--to", work / "toy", "--model", tree.model, "--index", index]
    assert work.run("voice", "import", *words).code == 0
    asked = ["--speaker", "alice", "--retrieval-ratio", "1", "--pitch-shift", "0", "--weights-dir", tree.pretrain]
    outcome = work.convert(work.sing("song.wav"), "-o", work / "kept.wav", *asked, voice=str(work / "toy"))
    assert outcome.code == 0, outcome.err
    assert convert(work, tree, "--speaker", "alice", "--index", index, "--retrieval-ratio", "1").code == 0
    np.testing.assert_array_equal(soundfile.read(work / "kept.wav")[0], soundfile.read(work / "out.wav")[0])


def _index_of(content: bytes) -> Any:
    return lambda folder: ["--index", write_index(folder / "i.pkl", content)]


def _centres_of(speaker: str, width: int) -> Any:
    return lambda folder: ["--cluster", write_centres(folder / "k.pt", speaker, torch.ones(2, width))]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: [], "speaker 'alice' has no cluster centres and no feature index"),
        (lambda folder: ["--retrieval", "index"], "speaker 'alice' has no feature index"),
        (_centres_of("carol", WIDTH), "speaker 'alice' has no cluster centres"),
        (_centres_of("alice", 3), "cluster centres were made from content 3 wide, but this voice has content 256 wide"),
        (_index_of(toy_ivf(0, width=5)), "feature index was made from content 5 wide"),
        (_index_of(toy_ivf(0)[:-1]), "the feature index is damaged"),
        (_index_of(b"IHNf" + toy_ivf(0)[4:]), "of the kind 'IHNf'"),
    ],
)
def test_what_cannot_be_retrieved_from(work: WorkFolder, tree: SovitsTree, make: Any, says: str) -> None:
    outcome = convert(work, tree, "--speaker", "alice", "--retrieval-ratio", "0.5", *make(work.folder))
    assert outcome.code == 2 and says in outcome.err and outcome.err.count("\n") == 1, outcome
    assert not (work / "out.wav").exists()


@pytest.mark.parametrize("option", [None, "compatible", "predict_pitch", "only_diffusion", "shallow_diffusion"])
def test_a_mix_of_one_is_that_speaker_and_of_two_is_not(singer: Singer, option: str | None) -> None:
    options = {"diffusion_model": singer.tree.diffusion} | ({option: True} if option else {})
    alice, alone = singer.sing(speaker="alice", **options), singer.sing(speaker_mix="alice=2", **options)
    np.testing.assert_allclose(alone, alice, rtol=0, atol=CLOSE)
    assert differ(singer.sing(speaker_mix="alice=0.6,björn=0.4", **options), alice)


def test_order_scale_and_names_of_weights_do_not_matter(singer: Singer) -> None:
    mixed = singer.sing(speaker_mix="alice=0.6,björn=0.4")
    np.testing.assert_allclose(singer.sing(speaker_mix="1=40,0=60"), mixed, rtol=0, atol=CLOSE)
    assert differ(singer.sing(speaker_mix="0=40,1=60"), mixed)


def test_shallow_diffusion_itself_hears_the_mix(singer: Singer, tmp_path: Path) -> None:
    content = torch.load(str(singer.tree.diffusion), weights_only=True)
    content["model"]["spk_embed.weight"][1] = content["model"]["spk_embed.weight"][0]
    alike = tmp_path / "model_1.pt"
    torch.save(content, alike)
    options = {"diffusion_config": singer.tree.diffusion_config, "shallow_diffusion": True}
    options["speaker_mix"] = "alice=1,björn=1"
    assert differ(*(singer.sing(diffusion_model=file, **options) for file in (singer.tree.diffusion, alike)))


def test_a_mix_moves_with_the_true_time(tree: SovitsTree, tmp_path: Path) -> None:
    singer = Singer(tree)
    singer.wave = glide(1.6, RATE)
    first, last = [[0, 0.5, 1, 1], [0.5, 1, 0, 0]], [[0, 0.5, 0, 0], [0.5, 1, 1, 1]]
    moving = singer.sing(speaker_mix=write_tracks(tmp_path / "t.json", {"alice": first, "1": last}))
    alice, other = singer.sing(speaker="alice"), singer.sing(speaker="björn")
    quarter = len(moving) // 4
    np.testing.assert_allclose(moving[:quarter], alice[:quarter], rtol=0, atol=CLOSE)
    np.testing.assert_allclose(moving[-quarter:], other[-quarter:], rtol=0, atol=CLOSE)
    assert differ(moving, alice) and differ(moving, other)


def test_the_compatible_way_counts_padding_as_time(singer: Singer, tmp_path: Path) -> None:
    first = [[0, 0.4, 1, 1], [0.4, 0.6, 1, 1], [0.6, 1, 0, 0]]
    last = [[0, 0.4, 0, 0], [0.4, 0.6, 1, 1], [0.6, 1, 1, 1]]
    moving = {"speaker_mix": write_tracks(tmp_path / "t.json", {"alice": first, "björn": last})}
    half, padded = {"speaker_mix": "alice=1,björn=1"}, {"compatible": True, "context_s": 3}
    # With so much padding the sound itself lies in the middle of the tracks.
    np.testing.assert_allclose(singer.sing(**moving, **padded), singer.sing(**half, **padded), rtol=0, atol=CLOSE)
    assert differ(singer.sing(**moving), singer.sing(**half))


@pytest.mark.parametrize("options", [{}, {"compatible": True}, {"only_diffusion": True}])
def test_one_frame(tree: SovitsTree, options: dict[str, Any]) -> None:
    singer = Singer(tree)
    singer.wave = glide(0.3, RATE)[2000 : 2000 + HOP]
    sound = singer.sing(speaker_mix="alice=0.5,björn=0.5", diffusion_model=tree.diffusion, **options)
    assert len(sound) == HOP


def test_more_rows_than_names(singer: Singer, tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIG)
    config["model"]["n_speakers"] = 200
    model = tmp_path / "G_1.pth"
    save_model(model, config)
    alice = singer.sing(model=model, speaker="alice")
    assert differ(singer.sing(model=model, speaker_mix="alice=1,björn=1"), alice)
    np.testing.assert_allclose(singer.sing(model=model, speaker_mix="alice=1"), alice, rtol=0, atol=CLOSE)


def test_a_diffusion_model_of_fewer_speakers(singer: Singer, tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIG)
    config["model"]["n_speakers"], config["spk"] = 3, {"alice": 0, "björn": 1, "carol": 2}
    model = tmp_path / "G_1.pth"
    save_model(model, config)
    options = {"model": model, "diffusion_model": singer.tree.diffusion, "shallow_diffusion": True}
    singer.sing(speaker_mix="alice=1,björn=1", **options)
    with pytest.raises(SettingsError, match="speaker 'carol' has the number 2, but the diffusion model knows 2"):
        singer.sing(speaker_mix="alice=1,carol=1", **options)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--speaker-mix", "alice=1,bob=1"], "names 'bob', which the voice does not have; its speakers: alice, björn"),
        (["--speaker-mix", "no.json"], "there is no speaker mix file 'no.json'"),
        (["--speaker-mix", "alice=1", "--speaker", "alice"], "speaker and speaker_mix were both given"),
        (["--speaker-mix", "alice=1", "--retrieval-ratio", "1"], "retrieval_ratio and speaker_mix were both given"),
        (["--retrieval", "both", "--speaker", "alice"], "must be one of: auto, clusters, index"),
    ],
)
def test_refused_mixes(work: WorkFolder, tree: SovitsTree, words: list[str], says: str) -> None:
    outcome = convert(work, tree, *words)
    assert outcome.code == 2 and says in outcome.err and outcome.err.count("\n") == 1, outcome
    assert not (work / "out.wav").exists()


def test_tracks_for_too_few_speakers(singer: Singer, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tracks for 1 of 2 speakers; add one for each of: björn"):
        singer.sing(speaker_mix=write_tracks(tmp_path / "t.json", {"alice": [[0, 1, 1, 1]]}))


def test_a_voice_of_another_family_does_not_mix(work: WorkFolder) -> None:
    for words in (["--speaker-mix", "a=1"], ["--retrieval", "index"]):
        work.refuses(work.sing("a.wav"), "-o", work / "b.wav", *words, says="is for voices of the family sovits")


def test_the_words_of_the_tutorial(
    work: WorkFolder, tree: SovitsTree, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.sing("song.wav")
    monkeypatch.chdir(work.folder)
    (work / "spkmix.py").write_text("spk_mix = {0: [[0.0, 1.0, 1, 0]],\n 1: [[0., 1, 0, 1]]}\n", encoding="utf-8")
    for words, result in (
        (["-usm"], "song.wav_0key_spk_mix_sovits_pm.wav"),
        (["-s", "alice", "-cm", tree.kmeans, "-cr", "0.5"], "song.wav_0key_alice_0.5_sovits_pm.wav"),
        (["-s", "björn", "-cm", index, "-cr", "0.25", "-fr"], "song.wav_0key_björn_0.25_sovits_pm.wav"),
    ):
        fixed = ["-m", tree.model, "-n", "song.wav", "-t", "0", "-f0p", "pm", "-wf", "wav"]
        outcome = work.run("convert", *fixed, *words)
        assert outcome.code == 0, outcome.err
        assert (work / "results" / result).is_file()
