"""A web server on loopback for tests in browsers: files with byte ranges, as media elements need them, and an inbox."""

from __future__ import annotations

import json
import queue
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)$")
_TYPES: Final = {"html": "text/html; charset=utf-8", "mp4": "video/mp4", "json": "application/json"}


class MediaServer(ThreadingHTTPServer):
    """Serves `files` by their path; what a page posts lands in `reports`, parsed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.reports: queue.Queue[Any] = queue.Queue()

    def url(self, path: str) -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A player that seeks drops the connections that it no longer needs; anything else is told."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: MediaServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        if content is None:
            self._answer(HTTPStatus.NOT_FOUND, b"")
            return
        asked = self.headers.get("Range")
        if asked is None:
            self._answer(HTTPStatus.OK, content)
            return
        part = byte_range(asked, len(content))
        if part is None:
            self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", f"bytes */{len(content)}")
        else:
            shown = f"bytes {part.start}-{part.stop - 1}/{len(content)}"
            self._answer(HTTPStatus.PARTIAL_CONTENT, content[part.start : part.stop], shown)

    def do_POST(self) -> None:
        report = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(HTTPStatus.NO_CONTENT, b"")
        self.server.reports.put(json.loads(report))

    def _answer(self, status: HTTPStatus, body: bytes, content_range: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", _TYPES.get(self.path.rpartition(".")[2], "application/octet-stream"))
        if content_range is not None:
            self.send_header("Content-Range", content_range)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the base class
        """Nothing: hundreds of ranges say little."""


def byte_range(asked: str, length: int) -> range | None:
    """The bytes that a `Range` header means (RFC 9110, 14.1.2), or None where there are none."""
    match = _RANGE.match(asked.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        part = range(max(0, length - int(last)), length)
    else:
        part = range(int(first), min(length, int(last) + 1 if last else length))
    return part or None


@contextmanager
def serving() -> Iterator[MediaServer]:
    """A server that runs on a thread of its own, on a free port."""
    with MediaServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
