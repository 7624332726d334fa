"""Downloads from a server on this machine that cuts, stalls, redirects, lies or is not there."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.web import Web, serving
from timbre.errors import OutputError, SettingsError, WeightsError
from timbre.weights.download import Wanted, _WebRedirects, download

CONTENT = bytes(range(256)) * 40  # 10240 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Wanted(timeout_s=5.0)
RIGHT = replace(QUICK, sha256=SHA256)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as web:
        yield web


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "a.pt"


def left(target: Path) -> list[str]:
    """Return the names of all files there are."""
    return sorted(path.name for path in target.parent.iterdir())


def closed_address() -> str:
    """Return an address of this machine at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/a.pt"


@pytest.mark.parametrize("wanted", [QUICK, RIGHT, replace(RIGHT, sha256=SHA256.upper(), size_bytes=len(CONTENT))])
@pytest.mark.parametrize("tells_length", [True, False])
def test_a_file_arrives_whole_and_alone(web: Web, target: Path, wanted: Wanted, tells_length: bool) -> None:
    seen: list[tuple[int, int | None]] = []
    download(
        [web.put("/a", CONTENT, tells_length=tells_length)],
        target,
        wanted,
        lambda done, total: seen.append((done, total)),
    )
    assert target.read_bytes() == CONTENT
    assert left(target) == ["a.pt"]
    assert seen[-1] == (len(CONTENT), len(CONTENT) if tells_length or wanted.size_bytes else None)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_cut_connection_is_taken_up_where_it_ended(web: Web, target: Path) -> None:
    download([web.put("/a", CONTENT, cuts=[3000, 2000])], target, QUICK)
    assert target.read_bytes() == CONTENT
    assert web.ranges == [None, "bytes=3000-", "bytes=5000-"]


def test_a_later_run_goes_on(web: Web, target: Path) -> None:
    url = web.put("/a", CONTENT, cuts=[3000, 0])
    with pytest.raises(
        WeightsError, match=r"'a\.pt' .* broke off after 3000 of 10240 bytes; .*goes on where it stopped"
    ):
        download([url], target, QUICK)
    assert left(target) == ["a.pt.part", "a.pt.part.json"]
    download([url], target, QUICK)
    assert web.ranges == [None, "bytes=3000-", "bytes=3000-"]
    assert target.read_bytes() == CONTENT
    assert left(target) == ["a.pt"]


def test_a_file_that_changed_meanwhile_is_begun_anew(web: Web, target: Path) -> None:
    with pytest.raises(WeightsError):
        download([web.put("/a", b"x" * 9000, cuts=[3000, 0])], target, QUICK)
    download([web.put("/a", CONTENT, tag='"second"')], target, QUICK)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_pieces_of_unknown_files_are_not_put_together(web: Web, target: Path, tag: str | None) -> None:
    with pytest.raises(WeightsError):
        download([web.put("/a", b"x" * 9000, cuts=[3000, 0], tag=tag)], target, QUICK)
    download([web.put("/a", CONTENT, tag=tag)], target, QUICK)
    assert target.read_bytes() == CONTENT
    assert set(web.ranges) == {None}


def test_a_server_without_ranges_begins_anew(web: Web, target: Path) -> None:
    with pytest.raises(WeightsError):
        download([web.put("/a", CONTENT, cuts=[3000, 2000], obeys_ranges=False)], target, QUICK)
    download([web.put("/a", CONTENT, obeys_ranges=False)], target, QUICK)
    assert web.ranges[-1] == "bytes=2000-"
    assert target.read_bytes() == CONTENT


def test_what_was_whole_but_for_its_name_is_not_loaded_again(web: Web, target: Path) -> None:
    url = web.put("/a", CONTENT)
    target.parent.mkdir()
    target.with_name("a.pt.part").write_bytes(CONTENT)
    download([url], target, RIGHT)
    assert target.read_bytes() == CONTENT
    target.with_name("a.pt.part").write_bytes(CONTENT + b"too much")
    download([url], target, RIGHT)
    assert target.read_bytes() == CONTENT


def test_another_mirror_goes_on_where_the_hash_will_tell(web: Web, target: Path) -> None:
    urls = [web.put("/a", CONTENT, cuts=[4000, 0]), web.put("/b", CONTENT)]
    download(urls, target, RIGHT)
    assert web.requests == [("/a", None), ("/a", "bytes=4000-"), ("/b", "bytes=4000-")]
    assert target.read_bytes() == CONTENT


def test_another_mirror_begins_anew_where_nothing_would_tell(web: Web, target: Path) -> None:
    download([web.put("/a", CONTENT, cuts=[4000, 0]), web.put("/b", CONTENT)], target, QUICK)
    assert web.requests[-1] == ("/b", None)
    assert target.read_bytes() == CONTENT


def test_pieces_of_a_wrong_file_do_not_spoil_the_right_one(web: Web, target: Path) -> None:
    urls = [web.put("/a", b"x" * len(CONTENT), cuts=[4000, 0]), web.put("/b", CONTENT)]
    download(urls, target, RIGHT)
    assert web.requests[2:] == [("/b", "bytes=4000-"), ("/b", None)]
    assert target.read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_removed(web: Web, target: Path) -> None:
    with pytest.raises(WeightsError, match=rf"127\.0\.0\.1 has another file \(SHA-256 {SHA256} instead of 0000"):
        download([web.put("/a", CONTENT)], target, replace(QUICK, sha256="0" * 64))
    assert left(target) == []


def test_the_second_mirror_has_the_right_file(web: Web, target: Path) -> None:
    urls = [web.put("/a", b"x" * len(CONTENT)), web.put("/b", b"short"), web.put("/c", CONTENT)]
    download(urls, target, replace(RIGHT, size_bytes=len(CONTENT)))
    assert target.read_bytes() == CONTENT


def test_a_mirror_may_redirect_and_another_may_be_gone(web: Web, target: Path) -> None:
    urls = [closed_address(), web.put("/gone", status=404), web.put("/moved", location=web.put("/a", CONTENT))]
    download(urls, target, RIGHT)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("elsewhere", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:,a"])
def test_nothing_but_the_web_is_redirected_to(web: Web, target: Path, elsewhere: str) -> None:
    with pytest.raises(WeightsError, match=r"(redirects to|Redirection to) .* not (safe|allowed)"):
        download([web.put("/moved", location=elsewhere)], target, QUICK)
    assert left(target) == []


def test_an_encrypted_address_leads_to_no_open_one() -> None:
    request, answer = urllib.request.Request("https://example.org/a"), io.BytesIO()
    with pytest.raises(Exception, match=r"redirects to 'http://example\.org/a', which is not safe"):
        _WebRedirects().redirect_request(request, answer, 302, "Found", {}, "http://example.org/a")
    assert answer.closed


def test_redirections_end(web: Web, target: Path) -> None:
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1 answers 302"):
        download([web.put("/round", location=f"{web.root}/round")], target, QUICK)


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://example.org/a", "example.org/a", "https://", "http://[", ""]
)
def test_nothing_but_the_web_is_asked(target: Path, url: str) -> None:
    with pytest.raises(SettingsError, match=r"it must begin with https:// or http://"):
        download([url], target)
    assert not target.parent.exists()


def test_a_hash_that_is_none_is_refused_before_anything_is_asked(web: Web, target: Path) -> None:
    with pytest.raises(SettingsError, match="the SHA-256 is 'abc'; it must be 64 digits from 0 to f"):
        download([web.put("/a", CONTENT)], target, replace(QUICK, sha256="abc"))
    assert web.requests == []


def test_every_reason_is_told_in_one_sentence(web: Web, target: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        download([closed_address(), web.put("/gone", status=404), web.put("/broken", status=503)], target, QUICK)
    message = str(caught.value)
    assert "127.0.0.1 cannot be reached (Connection refused)" in message
    assert "127.0.0.1 answers 404 Not Found, 127.0.0.1 answers 503 Service Unavailable;" in message
    assert message.endswith("; check connection and address, or use another") and "\n" not in message
    assert left(target) == []


def test_an_unknown_host_is_told(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(WeightsError, match=r"nowhere\.invalid cannot be reached \(Name or service not known\)"):
        download(["http://nowhere.invalid/a"], target, QUICK)


def test_an_impossible_host_is_told(target: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be reached"):
        download([f"http://{'a' * 64}.invalid/a"], target, QUICK)


def test_a_silent_server_is_given_up(web: Web, target: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot be reached \(it stayed silent\)"):
        download([web.put("/a", CONTENT, stalls=True)], target, replace(QUICK, timeout_s=0.1))


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_file_that_is_too_large_is_refused(web: Web, target: Path, tells_length: bool) -> None:
    with pytest.raises(WeightsError, match=r"more than the allowed 10239"):
        download(
            [web.put("/a", CONTENT, tells_length=tells_length)], target, replace(QUICK, max_bytes=len(CONTENT) - 1)
        )
    assert left(target) == []


def test_a_file_of_another_size_is_not_loaded(web: Web, target: Path) -> None:
    with pytest.raises(WeightsError, match=r"has another file \(of 10240 bytes instead of 10\)"):
        download([web.put("/a", CONTENT)], target, replace(QUICK, size_bytes=10))
    assert left(target) == []


def test_a_full_disk_is_told_before_anything_is_written(
    web: Web, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(2**40, 2**40, 5_000_000))
    with pytest.raises(OutputError, match=r"0 MB are needed in .*new folder, but its disk has 5 MB left; make room"):
        download([web.put("/a", CONTENT)], target, QUICK)
    assert left(target) == []


def test_a_damaged_note_begins_anew(web: Web, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("a.pt.part").write_bytes(b"x" * 100)
    for note in ("{", json.dumps({"url": "a"}), "[]"):
        target.with_name("a.pt.part.json").write_text(note)
        download([web.put("/a", CONTENT)], target, QUICK)
        assert target.read_bytes() == CONTENT
