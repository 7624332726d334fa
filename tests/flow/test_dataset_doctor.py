"""`timbre dataset show` and `doctor` on datasets written through the room `dataset`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.flow.command import WorkFolder
from tests.toy_dataset import FEATURES, toy_clip, write_toy_dataset
from timbre.dataset.folder import open_dataset
from timbre.dataset.places import write_clip, write_manifest
from timbre.prepare.checkup.thresholds import SPEAKER_THRESHOLDS

EVIL = "<script>alert(1)</script> محمد"


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def dataset(work: WorkFolder) -> Path:
    """Three clips of `ada` and one of a speaker with a troublesome name."""
    folder = work / "my data"
    write_toy_dataset(folder, [*(toy_clip(number) for number in range(3)), toy_clip(3, EVIL, 2.5)], diffusion=False)
    return folder


def test_show_tells_what_is_there(work: WorkFolder, dataset: Path) -> None:
    before = work.tree()
    outcome = work.run("dataset", "show", dataset)
    assert (outcome.code, outcome.err) == (0, "")
    for text in (
        "ada",
        "<script>",
        "0.5 / 0.5 / 0.5",
        "encoder toy",
        "seed 0",
        "ada/damaged.wav",
        "the recording is damaged",
    ):
        assert text in outcome.out, text
    assert work.tree() == before


def test_show_as_json(work: WorkFolder, dataset: Path) -> None:
    (shown,) = work.run("dataset", "show", dataset, "--json").rows
    assert (shown["name"], shown["n_clips"], shown["encoder"]) == ("my data", 4, "toy")
    ada = next(speaker for speaker in shown["speakers"] if speaker["name"] == "ada")
    assert (ada["n_clips"], ada["train_s"], ada["validation_s"]) == (3, 1.0, 0.5)
    assert ada["pitch"]["median_hz"] == pytest.approx(200, abs=2)


def test_doctor_writes_a_page_that_needs_nothing_and_runs_nothing(work: WorkFolder, dataset: Path) -> None:
    outcome = work.run("dataset", "doctor", dataset)
    assert (outcome.code, outcome.err) == (1, "")  # seconds are too little to train on
    assert "Will not train well: 4 seconds of 2 speakers" in outcome.out
    page = Page(dataset / "report.html")
    assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
    assert page.links and all(link.startswith("data:image/png;base64,") for link in page.links)
    assert EVIL in page.text and "песня 1" in page.text
    assert page.tags.count("svg") >= 5
    source = (dataset / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in source and str(work.folder) not in source


def test_doctor_prints_only_json_which_is_the_report(work: WorkFolder, dataset: Path) -> None:
    outcome = work.run("dataset", "doctor", dataset, "--json")
    (report,) = outcome.rows
    assert outcome.code == 1
    assert report == json.loads((dataset / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "will not train well"
    assert {"minutes", "duplicates", "short"} <= {finding["code"] for finding in report["findings"]}
    assert len(report["clips"]) == 4 and str(work.folder) not in outcome.out
    exact = {(pair["first"], pair["second"]) for pair in report["duplicates"] if pair["exact"]}
    assert exact == {(toy_clip(0).id, toy_clip(1).id), (toy_clip(0).id, toy_clip(2).id)}


def test_doctor_gives_the_same_report_again_and_elsewhere(work: WorkFolder, dataset: Path) -> None:
    work.run("dataset", "doctor", dataset)
    moved = work / "elsewhere" / dataset.name
    shutil.copytree(dataset, moved)
    (moved / "report.html").unlink()
    work.run("dataset", "doctor", moved)
    for name in ("report.html", "report.json"):
        assert (moved / name).read_bytes() == (dataset / name).read_bytes()


def test_doctor_without_a_page_changes_nothing(work: WorkFolder, dataset: Path) -> None:
    before = work.tree()
    assert work.run("dataset", "doctor", dataset, "--no-page").code == 1
    assert work.tree() == before


def test_a_dataset_that_trains_exits_with_0(work: WorkFolder, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in ("minutes", "bandwidth"):
        monkeypatch.setitem(SPEAKER_THRESHOLDS, code, replace(SPEAKER_THRESHOLDS[code], stop=None))
    outcome = work.run("dataset", "doctor", dataset)
    assert outcome.code == 0
    assert "Usable: 4 seconds of 2 speakers in 4 clips; " in outcome.out


def test_faults_in_the_sound_are_found(work: WorkFolder, dataset: Path) -> None:
    opened = open_dataset(dataset)
    loud, rate = toy_clip(3, EVIL, 2.5), opened.manifest.sample_rate_hz
    write_clip(dataset, loud.id, np.clip(8 * opened.wave(loud), -0.5, 0.5).astype(np.float32), rate)
    silent = toy_clip(1)
    write_clip(dataset, silent.id, np.zeros(silent.n_samples, np.float32), rate)
    (report,) = work.run("dataset", "doctor", dataset, "--json").rows
    clips = {finding["code"]: finding["clips"] for finding in report["findings"]}
    assert clips["clipped"] == [loud.id] and clips["silent"] == [silent.id]


def test_what_is_no_dataset_is_refused(work: WorkFolder) -> None:
    (work / "empty").mkdir()
    for command in ("show", "doctor"):
        work.refuses_to_run("dataset", command, work / "empty", says="holds no dataset.json")


@pytest.mark.parametrize("command", ["show", "doctor"])
def test_a_damaged_feature_is_told(work: WorkFolder, dataset: Path, command: str) -> None:
    (dataset / "features" / FEATURES["pitch"] / f"{toy_clip(1).id}.safetensors").write_bytes(b"no")
    work.refuses_to_run("dataset", command, dataset, says="cannot be read; prepare the dataset again")


def test_a_dataset_without_clips_is_shown_and_judged(work: WorkFolder, dataset: Path) -> None:
    manifest = replace(open_dataset(dataset).manifest, clips=(), speakers={})
    write_manifest(dataset, manifest)
    assert work.run("dataset", "show", dataset).code == 0
    outcome = work.run("dataset", "doctor", dataset)
    assert outcome.code == 1 and "the dataset holds no clip" in outcome.out
    assert "Left out" in Page(dataset / "report.html").text


def test_a_report_that_cannot_be_written_is_told(work: WorkFolder, dataset: Path) -> None:
    (dataset / "report.json").mkdir()
    outcome = work.run("dataset", "doctor", dataset)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and "report.json cannot be written" in outcome.err
