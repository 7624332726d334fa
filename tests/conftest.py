"""Folders of recorded results and recordings; tests that need an absent one are skipped by name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from timbre.voice.fast import FastVoice

_REPOSITORY = Path(__file__).resolve().parents[1]


class _Folder(type(Path())):  # type: ignore[misc]
    """A folder in which going to an absent file or folder skips the test."""

    def __truediv__(self, name: str) -> _Folder:
        inner = _Folder(str(self), name)
        if not inner.exists():
            pytest.skip(f"{name} is absent from {self}")
        return inner


def _folder(variable: str, default: str, inside: str = "") -> Path:
    """Return the folder that the environment variable names (default: beside the repository), or skip the test."""
    root = Path(os.environ.get(variable) or _REPOSITORY / default)
    folder = _Folder(str(root), inside)
    if not folder.is_dir():
        pytest.skip(f"{variable} ({default}) has no folder {inside or '.'}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def fresh_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep all tests out of the cache and the weights of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("TIMBRE_WEIGHTS", raising=False)
        yield


@pytest.fixture(scope="session")
def golden_pipeline() -> Path:
    """Recorded results of everything around the main networks."""
    return _folder("TIMBRE_GOLDEN", "../shared/golden", "pipeline")


@pytest.fixture(scope="session")
def golden_models() -> Path:
    """Recorded results of the main networks."""
    return _folder("TIMBRE_GOLDEN", "../shared/golden", "models")


@pytest.fixture(scope="session")
def golden_manifest(golden_models: Path) -> dict[str, Any]:
    """Keys and shapes of so-vits-svc's networks in their default configurations."""
    manifest: dict[str, Any] = json.loads(
        (golden_models / "state_dict_manifest_default_configs.json").read_text(encoding="utf-8")
    )
    return manifest


@pytest.fixture(scope="session")
def golden_dir(golden_pipeline: Path) -> Path:
    """The same as `golden_pipeline`, the folder that most tests mean."""
    return golden_pipeline


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Recordings of voices with their manifest."""
    return _folder("TIMBRE_DATA", "../shared/data")


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of this repository."""
    return _REPOSITORY


@pytest.fixture(scope="session")
def toy_voice() -> FastVoice:
    """A voice with small networks of random weights, through the normal code; its sound is noise, not its timing."""
    from tests.toys import make_toy_voice

    return make_toy_voice()


@pytest.fixture(scope="session")
def toy_assets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assets as the package has them: a small base of random weights and the voices `ada` and `björn`."""
    from tests.toys import save_toy_assets

    folder = tmp_path_factory.mktemp("assets")
    save_toy_assets(folder)
    return folder


@pytest.fixture
def toy_assets(toy_assets_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the package find the toy assets instead of its own, and no voices or weights of the user."""
    monkeypatch.setattr("timbre.voice.shelf.ASSETS", toy_assets_folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "no data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
    for name in ("TIMBRE_VOICES", "TIMBRE_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    return toy_assets_folder
