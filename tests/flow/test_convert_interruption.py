"""`timbre convert` with toy voices, stopped in the middle: nothing half-written is left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest
import soundfile

from tests.flow.command import WorkFolder, stops_writing
from timbre.audio.listing import FileProgress
from timbre.cli.progress import ConversionBar


def interrupt_at(monkeypatch: pytest.MonkeyPatch, wanted: Callable[[FileProgress], bool]) -> None:
    def move(_: ConversionBar, progress: FileProgress) -> None:
        if wanted(progress):
            raise KeyboardInterrupt

    monkeypatch.setattr(ConversionBar, "move", move)


@pytest.mark.parametrize("moment", ["before the first chunk", "between chunks"])
def test_interrupted(work: WorkFolder, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    interrupt_at(monkeypatch, lambda progress: (progress.done_s > 0) == (moment == "between chunks"))
    source = work.sing("a.wav", seconds=2.5)
    before = work.tree()
    outcome = work.convert(source, "-o", work / "new/deep/b.wav", "--max-chunk-s", "1")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "timbre: interrupted\n")
    assert work.tree() == before


def test_interrupted_in_the_second_file_keeps_the_first_and_an_old_target(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, lambda progress: progress.file_index == 1 and progress.done_s > 0)
    sources = [work.sing("a.wav"), work.sing("b.wav")]
    (work / "out").mkdir()
    (work / "out/b_ada.wav").write_bytes(b"old")
    outcome = work.convert(*sources, "-o", work / "out", "--force", "--json")
    assert outcome.code == 130 and len(outcome.rows) == 1
    assert sorted(os.listdir(work / "out")) == ["a_ada.wav", "b_ada.wav"]
    assert (work / "out/b_ada.wav").read_bytes() == b"old"
    assert (work / "out/a_ada.wav").stat().st_size > 1000


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_library_that_refuses_to_write(work: WorkFolder, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    source = work.sing("a.wav", seconds=2.5)
    stops_writing(monkeypatch, lambda: soundfile.LibsndfileError(2))
    work.refuses(source, "-o", work / f"new/b.{suffix}", "--max-chunk-s", "1", says="check the space on the disk")


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the system")
@pytest.mark.parametrize("limit", [0, 30_000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_disk_that_is_full(work: WorkFolder, suffix: str, limit: int) -> None:
    import resource

    source = work.sing("a.wav", seconds=6.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # of the size of a file, which fails as a full disk does
    try:
        work.refuses(source, "-o", work / f"new/b.{suffix}", says="cannot be written")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert work.convert(source, "-o", work / f"new/b.{suffix}").code == 0


def test_target_that_appears_meanwhile_is_kept(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def move(_: ConversionBar, progress: FileProgress) -> None:
        if progress.done_s > 0:
            (work / "b.wav").write_bytes(b"another program's")

    monkeypatch.setattr(ConversionBar, "move", move)
    outcome = work.convert(work.sing("a.wav"), "-o", work / "b.wav")
    assert outcome.code == 2 and "b.wav exists" in outcome.err
    assert (work / "b.wav").read_bytes() == b"another program's"
    assert sorted(os.listdir(work.folder)) == ["a.wav", "b.wav"]


def test_source_that_disappears_meanwhile(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    source = work.sing("a.wav")
    monkeypatch.setattr(ConversionBar, "move", lambda *_: source.unlink(missing_ok=True))
    outcome = work.convert(source, "-o", work / "new/b.wav")
    assert outcome.code == 2 and "a.wav does not exist" in outcome.err
    assert os.listdir(work.folder) == []
