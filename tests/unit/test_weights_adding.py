"""Taking weights into the user's folder: what is right, what is refused, and that nothing half done is left."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.toys_weights import save_kind, save_vocoder_folder, zip_folder
from timbre.errors import MissingWeightsError, OutputError, WeightsError
from timbre.vocoder.nsf_hifigan import find_vocoder
from timbre.weights.adding import add_weights
from timbre.weights.archives import is_archive, unpack
from timbre.weights.catalogue import CATALOGUE
from timbre.weights.finding import find_entry, known_weights
from timbre.weights.ledger import LEDGER_FILE, Ledger
from timbre.weights.search import own_weights_folder


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the user's weights folder be empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return own_weights_folder()


def add(name: str, source: Path, *, force: bool = False) -> Path:
    return add_weights(CATALOGUE[name], source, force=force)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "kind", "given", "kept"),
    [
        ("rmvpe", "rmvpe", "model.pt", "rmvpe.pt"),
        ("contentvec", "fairseq", "any.pt", "checkpoint_best_legacy_500.pt"),
        ("contentvec", "fairseq", "hubert_base.pt", "hubert_base.pt"),
    ],
)
def test_a_file_is_copied_and_found(tmp_path: Path, own: Path, name: str, kind: str, given: str, kept: str) -> None:
    source = save_kind(tmp_path / given, kind)
    assert add(name, source) == own / kept
    assert (own / kept).read_bytes() == source.read_bytes()
    assert find_entry(CATALOGUE[name], [own]) == own / kept
    assert Ledger().known_sha256(own / kept) is not None
    assert {path.name for path in own.iterdir()} == {kept, LEDGER_FILE}


def test_a_folder_is_copied_without_what_is_not_needed(tmp_path: Path, own: Path) -> None:
    added = add("nsf_hifigan", save_vocoder_folder(tmp_path / "download"))
    assert added == own / "nsf_hifigan"
    assert sorted(path.name for path in added.iterdir()) == ["NOTICE.txt", "config.json", "model"]
    assert find_vocoder(added) == (added / "model", {})
    usual = tmp_path / "nsf_hifigan_44.1k_hop512_128bin_2024.02"
    assert add("nsf_hifigan", save_vocoder_folder(usual)) == own / usual.name


def test_a_hugging_face_folder_is_taken(tmp_path: Path, own: Path) -> None:
    save_kind(tmp_path / "w" / "model.safetensors", "wavlm")
    (tmp_path / "w" / "config.json").write_text("{}")
    assert add("wavlmbase+", tmp_path / "w") == own / "wavlm-base-plus"


def test_an_archive_of_a_folder_or_a_file_is_unpacked(tmp_path: Path, own: Path) -> None:
    save_vocoder_folder(tmp_path / "a" / "inside")
    assert add("nsf_hifigan", zip_folder(tmp_path / "a", tmp_path / "a.zip")) == own / "nsf_hifigan"
    assert (own / "nsf_hifigan" / "model").is_file()
    save_kind(tmp_path / "b" / "model.pt", "rmvpe")
    (tmp_path / "b" / "README.txt").touch()
    assert add("rmvpe", zip_folder(tmp_path / "b", tmp_path / "b.zip")) == own / "rmvpe.pt"
    assert sorted(path.name for path in own.iterdir()) == [LEDGER_FILE, "nsf_hifigan", "rmvpe.pt"]


def test_an_onnx_file_is_told_by_its_beginning(tmp_path: Path, own: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"\x08\x08\x12\x07pytorch")
    assert add("hubertsoft-onnx", tmp_path / "a.onnx") == own / "hubert-soft.onnx"
    with pytest.raises(WeightsError, match=r"'a\.pt' is no ONNX file"):
        add("vec256l9-onnx", save_kind(tmp_path / "a.pt", "rmvpe"))


def _unneeded_call(folder: Path) -> Path:
    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return print, ("harm",)

    names = {"unet.encoder.a": torch.zeros(1), "fc.a": torch.zeros(1)}
    torch.save({"model": names, "more": Harm()}, folder / "a.pt")
    return folder / "a.pt"


def _folder_without(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (save_vocoder_folder(folder / "v") / name).unlink()
        return folder / "v"

    return make


def _web_page(folder: Path) -> Path:
    (folder / "a.pt").write_text("<html>")
    return folder / "a.pt"


def _two_files(folder: Path) -> Path:
    for name in ("a.pt", "b.pt"):
        save_kind(folder / "z" / name, "rmvpe")
    return zip_folder(folder / "z", folder / "z.zip")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        (
            "rmvpe",
            lambda folder: save_kind(folder / "a.pt", "crepe"),
            r"'a\.pt' is the pitch tracker CREPE; give .*RMVPE",
        ),
        ("rmvpe", _web_page, "is a web page, not a checkpoint"),
        ("rmvpe", _unneeded_call, r"'a\.pt' asks to run .*print, which no weights need; nothing of it was run"),
        ("rmvpe", _folder_without("NOTICE.txt"), r"is a folder; give a single file \(usually rmvpe\.pt\)"),
        ("rmvpe", _two_files, r"'z\.zip' does not hold just one rmvpe\.pt; unpack it"),
        ("nsf_hifigan", _two_files, r"'z\.zip' does not hold just one nsf_hifigan; unpack it"),
        (
            "nsf_hifigan",
            lambda folder: save_vocoder_folder(folder / "v") / "model",
            "'model' alone is not enough; give the",
        ),
        ("nsf_hifigan", _folder_without("config.json"), r"there is no config\.json in"),
        ("nsf_hifigan", _folder_without("model"), r"holds no model, model\.ckpt"),
        (
            "wavlmbase+",
            lambda folder: save_kind(folder / "pytorch_model.bin", "wavlm"),
            "give the folder that holds it",
        ),
        ("base", lambda folder: save_kind(folder / "a.pt", "rmvpe"), r"base is part of a package .*; run: pip install"),
    ],
)
def test_what_is_not_right_is_refused(
    tmp_path: Path, own: Path, name: str, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        add(name, make(tmp_path))
    assert not own.exists() or list(own.iterdir()) == []


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"there is no file '.*none\.pt'; give the downloaded rmvpe\.pt"):
        add("rmvpe", tmp_path / "none.pt")


@pytest.mark.parametrize("name", ["rmvpe", "nsf_hifigan"])
def test_what_is_there_is_replaced_only_by_force(tmp_path: Path, own: Path, name: str) -> None:
    def make(folder: Path, value: float) -> Path:
        if name == "rmvpe":
            return save_kind(folder / "a.pt", "rmvpe", value)
        return save_vocoder_folder(folder, value)

    add(name, make(tmp_path / "1", 1.0))
    before = tree(own)
    with pytest.raises(OutputError, match="exists; use --force"):
        add(name, make(tmp_path / "2", 2.0))
    assert tree(own) == before
    added = add(name, tmp_path / "2" / "a.pt" if name == "rmvpe" else tmp_path / "2", force=True)
    assert tree(own) != before
    with known_weights(name, None, [own]) as found:
        assert found == added
    assert {path.name for path in own.iterdir()} == {added.name, LEDGER_FILE}


def test_force_takes_a_changed_file_to_be_right(tmp_path: Path, own: Path) -> None:
    pretrain = tmp_path / "pretrain"
    path = save_kind(pretrain / "rmvpe.pt", "rmvpe")
    with known_weights("rmvpe", None, [pretrain]):
        pass
    save_kind(path, "rmvpe", value=1.0)
    with pytest.raises(WeightsError, match="--force"), known_weights("rmvpe", None, [pretrain]):
        pass
    assert add("rmvpe", path, force=True) == own / "rmvpe.pt"
    with known_weights("rmvpe", None, [pretrain]) as found:
        assert found == path


def test_a_file_in_its_place_is_recorded_as_it_is(own: Path) -> None:
    path = save_kind(own / "rmvpe.pt", "rmvpe")
    assert add("rmvpe", path) == path
    save_kind(path, "rmvpe", value=1.0)
    assert add("rmvpe", path, force=True) == path
    with known_weights("rmvpe", None, [own]):
        pass


def test_a_full_disk_leaves_nothing(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(2**40, 2**40, 0))
    with pytest.raises(OutputError, match="make room"):
        add("rmvpe", save_kind(tmp_path / "a.pt", "rmvpe"))
    assert list(own.iterdir()) == []


def archive_with(path: Path, name: str, content: bytes = b"x", mode: int = 0) -> Path:
    """Write an archive of one member, whatever its name and kind."""
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


@pytest.mark.parametrize("name", ["../a.pt", "/a.pt", "b/../../a.pt", "..\\a.pt", "C:\\a.pt", "C:/a.pt"])
def test_no_path_leaves_the_archive(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(WeightsError, match="a link or a path out of the archive"):
        unpack(archive_with(tmp_path / "a.zip", name), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_links_bombs_and_damage_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(WeightsError, match="a link or"):
        unpack(archive_with(tmp_path / "a.zip", "a.pt", b"/etc/passwd", stat.S_IFLNK | 0o777), out)
    with pytest.raises(WeightsError, match="unpacks to 1 files of 1000 bytes, more than 10000 files or 999 bytes"):
        unpack(archive_with(tmp_path / "a.zip", "a.pt", bytes(1000)), out, max_bytes=999)
    (tmp_path / "a.zip").write_bytes(
        archive_with(tmp_path / "b.zip", "a.pt", b"content").read_bytes().replace(b"co", b"xx", 1)
    )
    with pytest.raises(WeightsError, match=r"'a\.zip' is a damaged or unusual zip archive"):
        unpack(tmp_path / "a.zip", out)


def test_unusual_archives_are_refused(tmp_path: Path) -> None:
    for compression in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", compression) as archive:
            archive.writestr("a.pt", b"x")
        with pytest.raises(WeightsError, match="has a password or an unusual compression; unpack it yourself"):
            unpack(tmp_path / "a.zip", tmp_path)


def test_a_torch_file_is_no_archive(tmp_path: Path) -> None:
    assert not is_archive(save_kind(tmp_path / "a.pt", "rmvpe"))
    assert not is_archive(tmp_path)
    assert is_archive(archive_with(tmp_path / "a.zip", "a.pt"))
