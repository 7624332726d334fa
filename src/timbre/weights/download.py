"""Getting large files from the web: resumed after a cut, from several mirrors, in place only when whole and right."""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from timbre import __version__
from timbre.errors import SettingsError, WeightsError
from timbre.weights.digest import sha256_of
from timbre.weights.restricted import MAX_FILE_BYTES
from timbre.weights.storage import require_space

_BLOCK_BYTES = 1 << 18
_SCHEMES = ("https", "http")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_PARTIAL, _BEYOND_THE_END = 206, 416

OnProgress = Callable[[int, "int | None"], None]
"""Called with the bytes that are there and those there will be, None where the server does not tell."""


@dataclass(frozen=True)
class Wanted:
    """What is to come, and how much patience there is."""

    sha256: str | None = None
    size_bytes: int | None = None
    max_bytes: int = MAX_FILE_BYTES
    timeout_s: float = 30.0  # of silence
    attempts: int = 5  # from one address, as long as each brings something


def download(
    urls: Sequence[str], target: Path, wanted: Wanted | None = None, on_progress: OnProgress | None = None
) -> None:
    """Download a file from the first of `urls` that works to `target`, in a folder that is made.

    The bytes gather in NAME.part, from which a later call goes on where the server still has the same file, or where
    the hash will tell. Only a whole file of the wanted hash and size is renamed to `target`. Raises SettingsError for
    an address that is neither http nor https or a hash that is none, OutputError where the disk is full, and
    WeightsError with the reason of each address where all failed.
    """
    wanted = wanted or Wanted()
    check_request(urls, wanted.sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    transfer = _Transfer(_Part(target), wanted, on_progress)
    reasons = []
    for url in urls:
        try:
            transfer.get_right(url)
        except _MirrorError as failure:
            reasons.append(f"{urlsplit(url).hostname} {failure}")
        else:
            transfer.part.finish()
            return
    once_more = "and run the command again, which goes on where it stopped" if transfer.part.size else "or use another"
    raise WeightsError(
        f"{target.name!r} could not be downloaded: {', '.join(reasons)}; check connection and address, {once_more}"
    )


def check_request(urls: Sequence[str], sha256: str | None) -> None:
    """Raise SettingsError for an address that is neither http nor https, and for a hash that is none."""
    for url in urls:
        _check_address(url)
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise SettingsError(f"the SHA-256 is {sha256!r}; it must be 64 digits from 0 to f")


class _MirrorError(Exception):
    """Why one address did not give the file; the sentence goes on after the name of the host."""


class _CutError(_MirrorError):
    """The connection ended early: another attempt may go on."""


@dataclass(frozen=True)
class _Source:
    """Where the bytes of a part are from."""

    url: str
    validator: str | None  # what the server promises to know the file by


class _Part:
    """The file NAME.part, and beside it in NAME.part.json where it is from."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def source(self) -> _Source | None:
        """Return where it is from; None where that is not known."""
        try:
            return _Source(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def open(self, source: _Source, offset: int) -> IO[bytes]:
        """Open it for writing on from `offset`, or anew from 0."""
        self._note.write_text(json.dumps(asdict(source)), encoding="utf-8")
        return self.path.open("ab" if offset else "wb")

    def discard(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Rename it to what it is."""
        os.replace(self.path, self.target)
        self._note.unlink(missing_ok=True)


class _WebRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections within the web only, and never from an encrypted address to an open one."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in _SCHEMES or (urlsplit(req.full_url).scheme, scheme) == ("https", "http"):
            fp.close()
            raise _MirrorError(f"redirects to {newurl!r}, which is not safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows nothing but the web; the usual one also opens files."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _WebRedirects(),
    ):
        opener.add_handler(handler)
    return opener


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"the address is {url!r}; it must begin with https:// or http:// and name a host")


@dataclass(frozen=True)
class _Transfer:
    """One download, whichever address it is tried from."""

    part: _Part
    wanted: Wanted
    on_progress: OnProgress | None

    def get_right(self, url: str) -> None:
        """Fill the part and check its hash; pieces from elsewhere are not blamed on this address."""
        resumed = self.part.size > 0
        self._get_whole(url)
        if self.wanted.sha256 is None:
            return
        found = sha256_of(self.part.path)
        if found == self.wanted.sha256.lower():
            return
        self.part.discard()
        if not resumed:
            raise _MirrorError(f"has another file (SHA-256 {found} instead of {self.wanted.sha256}), which was removed")
        self.get_right(url)

    def _get_whole(self, url: str) -> None:
        """Fill the part, going on after each cut."""
        for attempt in range(1, self.wanted.attempts + 1):
            before = self.part.size
            try:
                return self._get_on(url)
            except _CutError:
                if self.part.size <= before or attempt == self.wanted.attempts:
                    raise

    def _get_on(self, url: str) -> None:
        """Ask for what the part lacks, and write what comes."""
        offset, request = self._request(url)
        try:
            response = _opener().open(request, timeout=self.wanted.timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != _BEYOND_THE_END or not offset:
                raise _MirrorError(f"answers {error.code} {' '.join(str(error.reason).split())}") from error
            if _range_of(error.headers)[1] == offset:  # all was there but the renaming
                return
            self.part.discard()
            return self._get_on(url)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _CutError(f"cannot be reached ({_reason(error)})") from error
        with response:
            self._receive(response, url, offset)

    def _request(self, url: str) -> tuple[int, urllib.request.Request]:
        """Return where to go on, and the request for all that follows.

        The pieces must be of one file: either the hash tells in the end, or the server does by its validator.
        """
        headers = {"User-Agent": f"timbre/{__version__}", "Accept-Encoding": "identity"}
        offset, source = self.part.size, self.part.source()
        validator = source.validator if source is not None and source.url == url else None
        if offset == 0 or (validator is None and self.wanted.sha256 is None):
            return 0, urllib.request.Request(url, headers=headers)
        headers["Range"] = f"bytes={offset}-"
        if validator is not None:
            headers["If-Range"] = validator
        return offset, urllib.request.Request(url, headers=headers)

    def _receive(self, response: Any, url: str, offset: int) -> None:
        """Write the body of a response to the part, on from `offset` where the server obeys."""
        start, total = _range_of(response.headers) if response.status == _PARTIAL else (0, _length_of(response.headers))
        if start is None or start not in (0, offset):
            raise _MirrorError(f"answers with other bytes than those from {offset} on")
        self._check_total(total)
        total = self.wanted.size_bytes if total is None else total
        require_space(self.part.path.parent, 0 if total is None else total - start)
        done = start
        with self.part.open(_Source(url, _validator_of(response.headers)), start) as file:
            while done <= self.wanted.max_bytes and (block := _read(response)):
                file.write(block)
                done += len(block)
                if self.on_progress is not None:
                    self.on_progress(done, total)
        if done > self.wanted.max_bytes:
            self.part.discard()
            raise _MirrorError(f"sends more than the allowed {self.wanted.max_bytes} bytes")
        if total is not None and done < total:
            raise _CutError(f"broke off after {done} of {total} bytes")

    def _check_total(self, total: int | None) -> None:
        if total is not None and total > self.wanted.max_bytes:
            raise _MirrorError(f"has {total} bytes, more than the allowed {self.wanted.max_bytes}")
        if total is not None and self.wanted.size_bytes not in (None, total):
            raise _MirrorError(f"has another file (of {total} bytes instead of {self.wanted.size_bytes})")


def _read(response: Any) -> bytes:
    try:
        block: bytes = response.read1(_BLOCK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(f"broke off ({_reason(error)})") from error
    return block


def _range_of(headers: Any) -> tuple[int | None, int | None]:
    """Return the first byte and the total of a Content-Range; None for what is not told."""
    match = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    first, total = match.groups() if match else (None, None)
    return (int(first) if first else None), (int(total) if total not in (None, "*") else None)


def _length_of(headers: Any) -> int | None:
    with suppress(ValueError):
        return int(headers.get("Content-Length", ""))
    return None


def _validator_of(headers: Any) -> str | None:
    """Return what If-Range accepts: a strong entity tag, or the time of the last change."""
    tag: str | None = headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):
        return tag
    changed: str | None = headers.get("Last-Modified")
    return changed


def _reason(error: Exception) -> str:
    """Return what the system says of a failed connection."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return "it stayed silent"
    return str(getattr(inner, "strerror", None) or inner or type(inner).__name__)
