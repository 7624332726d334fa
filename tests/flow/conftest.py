"""What the tests of whole processes share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flow.command import WorkFolder
from tests.flow.sovits_folder import SovitsFolder
from tests.toys_sovits import SovitsTree, make_tree


@pytest.fixture
def work(toy_assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> WorkFolder:
    """An empty folder and the command line, with the toy voices `ada` and `björn`."""
    return WorkFolder(tmp_path, capsys)


@pytest.fixture
def cheap_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the toy base judge voices, quicker than the independent encoder, by few probes, and measure one step."""
    monkeypatch.setattr("timbre.train.probing.independent_embed", lambda: None)
    monkeypatch.setattr("timbre.train.pipeline.independent_embed", lambda: None)
    monkeypatch.setattr("timbre.train.pipeline.REHEARSALS", 1)
    for place in ("probing", "vocoder_listening"):
        monkeypatch.setattr(f"timbre.train.{place}.N_PROBES", 2)


@pytest.fixture(scope="session")
def sovits_tree(tmp_path_factory: pytest.TempPathFactory) -> SovitsTree:
    """The files of a so-vits-svc user, for reading only."""
    return make_tree(tmp_path_factory.mktemp("svc") / "tree")


@pytest.fixture(scope="session")
def sovits_voice(sovits_tree: SovitsTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the voice `alice` made from all of these files, for reading only."""
    from timbre.config.sovits import SovitsFiles, VoiceFacts
    from timbre.voice.sovits.importing import import_sovits_voice

    tree, folder = sovits_tree, tmp_path_factory.mktemp("voices") / "alice"
    files = SovitsFiles(model=str(tree.model), diffusion_model=str(tree.diffusion), cluster=str(tree.kmeans))
    import_sovits_voice(files, "alice", VoiceFacts(), folder, [tree.pretrain], force=False)
    return folder


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What tests of the command line may remember together."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def svc(work: WorkFolder, sovits_tree: SovitsTree, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> SovitsFolder:
    """An empty folder to work in, the command line, and the files of a so-vits-svc user beside it."""
    monkeypatch.chdir(work.folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_folder))
    monkeypatch.setenv("TIMBRE_WEIGHTS", str(sovits_tree.pretrain))
    monkeypatch.setenv("TIMBRE_VOICES", str(work / "voices"))
    return SovitsFolder(work, sovits_tree)


@pytest.fixture
def alice(svc: SovitsFolder, sovits_voice: Path) -> Path:
    """The folder of the imported voice `alice`, for a test to change."""
    return Path(shutil.copytree(sovits_voice, svc.voices / "alice"))
