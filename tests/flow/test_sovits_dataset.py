"""A dataset that so-vits-svc prepared: refused by `timbre train` with what to do, and prepared anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.command import WorkFolder
from tests.recordings import NFC, phrase, save
from timbre.dataset.folder import open_dataset

RATE = 44_100
SPEAKERS = {"alice": (150.0, 160.0), NFC: (210.0, 230.0)}  # the lowest pitch of each clip, in Hz


@pytest.fixture
def tree(work: WorkFolder) -> Path:
    """dataset/44k of two speakers; nothing can be read from the features beside the clips."""
    for speaker, pitches_hz in SPEAKERS.items():
        for number, low_hz in enumerate(pitches_hz):
            clip = save(work / "dataset" / "44k" / speaker / f"{number}.wav", phrase(4.0, RATE, low_hz), RATE)
            for ending in ("soft.pt", "f0.npy", "vol.npy", "spec.pt"):
                clip.with_name(f"{clip.name}.{ending}").write_bytes(b"no numbers")
    return work / "dataset" / "44k"


@pytest.mark.parametrize("inner", ["", "44k", "44k/alice"])
def test_training_says_what_it_is_and_what_to_do(work: WorkFolder, tree: Path, inner: str) -> None:
    given = tree.parent / inner
    advised = given if inner == "44k/alice" else tree
    words = ("train", given, "-o", work / "run", "--steps", "1")
    told = work.refuses_to_run(*words, says=f"{given} is a dataset that so-vits-svc prepared").err
    assert told.rstrip().endswith(f"timbre prepare {advised} -o DATASET")


def test_a_dataset_is_made_of_its_clips_under_the_names_of_its_speakers(work: WorkFolder, tree: Path) -> None:
    made = work.run("prepare", tree, "-o", work / "ds", "--pitch", "pm", "--workers", "1")
    assert made.code == 0, made.err
    manifest = open_dataset(work / "ds").manifest
    assert set(manifest.speakers) == set(SPEAKERS) and manifest.left_out == ()
    assert {clip.source for clip in manifest.clips} == {f"{name}/{n}.wav" for name in SPEAKERS for n in range(2)}
