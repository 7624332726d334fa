"""A folder or file is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from timbre.errors import OutputError
from timbre.files.writing import made_folder, new_file, new_folder
from timbre.voice.saving import new_voice


def test_a_new_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep/er/place"
    with new_folder(place) as temporary:
        (temporary / "a").write_text("a")
        assert not place.exists() and temporary.parent == place.parent
    assert os.listdir(place.parent) == ["place"] and (place / "a").read_text() == "a"
    with new_folder(place) as temporary:
        (temporary / "b").write_text("b")
    assert os.listdir(place.parent) == ["place"] and os.listdir(place) == ["b"]


@pytest.mark.parametrize("failure", [OSError(28, "full"), SafetensorError("full"), RuntimeError("pos 1 vs 0")])
def test_a_failure_is_told_and_leaves_nothing(tmp_path: Path, failure: Exception) -> None:
    told = r" cannot be written \(.*full\); check the space on the disk"
    with pytest.raises(OutputError, match="place" + told), new_folder(tmp_path / "deep/er/place") as temporary:
        (temporary / "a").write_text("a")
        raise failure
    with pytest.raises(OutputError, match="file" + told), new_file(tmp_path / "file") as path:
        path.write_text("a")
        raise failure
    assert os.listdir(tmp_path) == []


def test_other_failures_pass_and_leave_what_was(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place/a").write_text("a")
    (tmp_path / "file").write_text("f")
    for failure in (KeyboardInterrupt, OutputError):
        with pytest.raises(failure), new_folder(tmp_path / "place") as temporary:
            (temporary / "b").write_text("b")
            raise failure
        with pytest.raises(failure), new_file(tmp_path / "file") as path:
            path.write_text("b")
            raise failure
    assert sorted(os.listdir(tmp_path)) == ["file", "place"] and os.listdir(tmp_path / "place") == ["a"]
    assert (tmp_path / "file").read_text() == "f"


def test_only_a_voice_is_replaced_by_a_voice(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    for force, says in ((False, "exists; choose another folder or use --force"), (True, "is no voice")):
        with pytest.raises(OutputError, match=says), new_voice(tmp_path / "music", force=force):
            pytest.fail("the block was entered")
    (tmp_path / "music/voice.json").write_text("{}")
    with new_voice(tmp_path / "music", force=True):
        pass
    assert os.listdir(tmp_path / "music") == []


def test_folders_that_were_made_go_again_unless_they_are_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError), made_folder(tmp_path / "a/b/c"):
        (tmp_path / "a/other").write_text("of another program")
        raise ValueError
    assert os.listdir(tmp_path / "a") == ["other"]
    with made_folder(tmp_path / "a/b/c"):
        pass
    with pytest.raises(ValueError), made_folder(tmp_path / "a/b"):
        raise ValueError
    assert (tmp_path / "a/b/c").is_dir()
    told = r"d cannot be made \(.*\); choose another output"
    with pytest.raises(OutputError, match=told), made_folder(tmp_path / "a/other/d"):
        pytest.fail("the block was entered")
