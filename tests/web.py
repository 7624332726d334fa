"""A web server on this machine that does what real ones do to large downloads: cut, stall, redirect, ignore Range."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Page:
    """What the server does when it is asked for one path."""

    content: bytes = b""
    status: int = 200
    location: str | None = None  # where it redirects to
    cuts: list[int] = field(default_factory=list)  # for each of the first answers, the bytes after which it breaks off
    obeys_ranges: bool = True
    tells_length: bool = True
    tag: str | None = '"first"'
    stalls: bool = False  # stays silent instead of answering
    pauses: bool = False  # in the middle, until it is released


class Web:
    """Pages by path, the address of each, and the Range of each request so far (None: all)."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.released = threading.Event()

    def put(self, path: str, content: bytes = b"", **behaviour: Any) -> str:
        """Serve a page; returns its address."""
        self.pages[path] = Page(content, **behaviour)
        return f"{self.root}{path}"

    @property
    def ranges(self) -> list[str | None]:
        """The Range of each request."""
        return [asked for _, asked in self.requests]


@contextmanager
def serving() -> Iterator[Web]:
    """Serve on a free port of this machine while the block runs."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    web = Web(f"http://127.0.0.1:{server.server_port}")
    server.web = web  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        web.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        web: Web = self.server.web  # type: ignore[attr-defined]
        asked = self.headers.get("Range")
        web.requests.append((self.path, asked))
        page = web.pages.get(self.path, Page(status=404))
        if page.stalls:
            web.released.wait(10)
            return
        if page.location is not None:
            self.send_response(302)
            self.send_header("Location", page.location)
            self.end_headers()
            return
        self._answer(page, self._start(page, asked))

    def _start(self, page: Page, asked: str | None) -> int | None:
        """Return the first byte to send; None for the whole page as if nothing special was asked."""
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        condition = self.headers.get("If-Range")
        if match is None or not page.obeys_ranges or (condition is not None and condition != page.tag):
            return None
        return int(match[1])

    def _answer(self, page: Page, start: int | None) -> None:
        if start is not None and start >= len(page.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(page.content)}")
            self.end_headers()
            return
        self.send_response(page.status if start is None else 206)
        body = page.content[start or 0 :]
        if page.tells_length:
            self.send_header("Content-Length", str(len(body)))
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(page.content) - 1}/{len(page.content)}")
        if page.tag is not None:
            self.send_header("ETag", page.tag)
        self.end_headers()
        if page.cuts:
            body = body[: page.cuts.pop(0)]
        middle = len(body) // 2 if page.pauses else len(body)
        self.wfile.write(body[:middle])
        if page.pauses:
            self.server.web.released.wait(10)  # type: ignore[attr-defined]
            self.wfile.write(body[middle:])

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""
