"""Finding weights on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from timbre.errors import SettingsError
from timbre.weights.search import find_weights, weights_folders


def test_folders_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TIMBRE_WEIGHTS", f"{tmp_path / 'a'}{os.pathsep}{os.pathsep}{tmp_path / 'b'}")
    always = [tmp_path / "cache" / "timbre" / "weights", Path("pretrain")]
    with pytest.raises(SettingsError, match="given is not there"):
        weights_folders(tmp_path / "given")
    (tmp_path / "given").mkdir()
    assert weights_folders(tmp_path / "given") == [tmp_path / "given", tmp_path / "a", tmp_path / "b", *always]
    monkeypatch.delenv("TIMBRE_WEIGHTS")
    assert weights_folders() == always


def test_the_first_folder_wins_then_the_first_name(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
    folders, names = [tmp_path / "none", first, second], ["best.pt", "other"]
    assert find_weights(names, folders) is None
    (second / "best.pt").touch()
    assert find_weights(names, folders) == second / "best.pt"
    (first / "other").mkdir()
    assert find_weights(names, folders) == first / "other"
    (first / "best.pt").touch()
    assert find_weights(names, folders) == first / "best.pt"
    assert find_weights(names, []) is None
