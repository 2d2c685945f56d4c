"""Serve an exported or mirrored log over HTTP: ``brakeline ledger serve``. Read-only, for anybody, trusted by nobody.

Source: https://c2sp.org/tlog-tiles. ``/checkpoint`` must never be cached; tiles and bundles of entries never change and
say so. Nothing else of the directory is served, and nothing is listed: a request path is the checkpoint's or it is read
as a tile's (:func:`~brakeline.ledger.tiles.parse_path`, canonical, so that nothing else can be spelt with it). Bytes
that are not a tile of the width asked for are an error, never a cached answer; whether they are the log's is for the
reader to verify, and for ``brakeline ledger fsck``.

The standard library's server, one thread a connection: a static directory needs no more, and whoever mirrors a log
needs no extra of this package for it (a verifier's own read side is its HTTP app, which also witnesses). What that
server leaves open is closed here: a request must arrive whole within a time, a slow reader is dropped, connections are
counted, no body is read. HTTPS and a cache belong to a reverse proxy before it.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from brakeline.ledger.checkpoint import Checkpoint
from brakeline.ledger.errors import LedgerError, SourceError
from brakeline.ledger.note import parse
from brakeline.ledger.source import CHECKPOINT, DirectorySource, read_checkpoint, read_ref
from brakeline.ledger.tiles import decode_bundle, decode_tile, parse_path

IMMUTABLE = "public, max-age=31536000, immutable"
NO_STORE = "no-store"
TYPE_TEXT = "text/plain; charset=utf-8"
TYPE_TILE = "application/octet-stream"
MAX_CONNECTIONS = 128
REQUEST_S = 15.0
"""A request line and its headers arrive within this time; an idle connection is closed after it."""
WRITE_S = 30.0
"""A reader takes each piece of an answer within this time."""
DRAIN_S = 5.0
"""How long answers under way may take to end after SIGTERM."""
_PIECE = 256 * 1024
COMPRESS_FROM = 1024
"""Bytes of a bundle from which on it is compressed for readers that take gzip."""
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n\r\n"
)


class LogDirectory(DirectorySource):
    """A log's directory, below which nothing else is reached, through links neither."""

    def __init__(self, directory: Path) -> None:
        """Read below *directory*.

        Raises:
            SourceError: ``source-no-checkpoint`` when there is no log; NoteError: its checkpoint is not one.
        """
        super().__init__(directory)
        self._root = directory.resolve()
        self.checkpoint()

    def read(self, path: str, limit: int) -> bytes | None:
        """Return the bytes of a regular file below the directory, or None."""
        real = (self._root / path).resolve()
        return super().read(path, limit) if real.is_relative_to(self._root) and real.is_file() else None

    def checkpoint(self) -> bytes:
        """Return the checkpoint note (SourceError, NoteError)."""
        note = read_checkpoint(self)
        Checkpoint.parse_text(parse(note).text)
        return note

    def tile(self, path: str) -> bytes:
        """Return the tile or bundle at *path*; a partial one that is gone is cut from the full one.

        Raises:
            TileError: ``tile-path``; ``tile-size``, ``tile-bundle``: the file is damaged.
            SourceError: ``source-missing-tile``, ``source-too-large``, ``source-unreachable``.
        """
        ref = parse_path(path)
        data = read_ref(self, ref)
        if ref.level is None:
            decode_bundle(data, ref.width)
        else:
            decode_tile(data, ref.width)
        return data


class LogServer(socketserver.ThreadingTCPServer):
    """Serves one log's directory. :meth:`serve_forever` in one thread, :meth:`stop` from another."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self,
        directory: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        request_s: float = REQUEST_S,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """Bind *host*:*port* (0: a free port), with at most *max_connections*, each request within *request_s* seconds.

        Raises:
            SourceError: ``source-no-checkpoint``, ``listen-http`` (the address is taken, or not this machine's).
        """
        self.log = LogDirectory(directory)
        self.request_s = request_s
        self.stopping = False
        self._slots = threading.BoundedSemaphore(max_connections)
        self._capacity = max_connections
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise SourceError(
                code="listen-http",
                message="the address cannot be served on",
                expected="a free port of this machine",
                found=f"{host}:{port}: {error}",
                fix="stop what listens there, or choose another --host or --port (0 takes a free one)",
            ) from None

    @property
    def url(self) -> str:
        """The address it serves on."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def stop(self) -> None:
        """Take no more requests, let answers under way end, close."""
        self.stopping = True
        self.shutdown()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # idle ones end at once, the others after their answer
                    connection.shutdown(socket.SHUT_RD)
        deadline = time.monotonic() + DRAIN_S
        for _ in range(self._capacity):
            if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
                break
        self.server_close()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  socketserver's types
        """Take a connection while there is room for it; say so otherwise."""
        if self._slots.acquire(blocking=False):
            with self._lock:
                self._open.add(request)
            return True
        request.settimeout(0)
        with contextlib.suppress(OSError):  # it may not even take that
            request.send(_BUSY)
        return False

    def close_request(self, request: Any) -> None:
        """Give a connection's place back: socketserver calls this once for each, whatever happened."""
        with self._lock:
            if request in self._open:
                self._open.discard(request)
                self._slots.release()
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away or was too slow is no error; anything else is told on stderr."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: LogServer  # pyright: ignore[reportIncompatibleVariableOverride]  it is never served by another
    protocol_version = "HTTP/1.1"
    error_content_type = TYPE_TEXT
    error_message_format = "%(code)d %(message)s\n"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._incoming = _Incoming(self.connection)
        self.rfile = io.BufferedReader(self._incoming)

    def handle_one_request(self) -> None:
        self._incoming.deadline = time.monotonic() + self.server.request_s
        super().handle_one_request()
        if self.server.stopping:
            self.close_connection = True

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if self.command in ("GET", "HEAD"):
            return True
        self.close_connection = True  # a body that was announced is not read
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, TYPE_TEXT, NO_STORE, b"only GET and HEAD\n")
        return False

    def do_GET(self) -> None:
        self._answer(*self._find())

    def do_HEAD(self) -> None:
        self._answer(*self._find())

    def _find(self) -> tuple[HTTPStatus, str, str, bytes]:
        """Return status, content type, cache rule and bytes of what was asked for."""
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # nor is one that nobody asked for
        path = self.path.removeprefix("/") if self.path.startswith("/") else ""
        try:
            if path == CHECKPOINT:
                return HTTPStatus.OK, TYPE_TEXT, NO_STORE, self.server.log.checkpoint()
            return HTTPStatus.OK, TYPE_TILE, IMMUTABLE, self.server.log.tile(path)
        except LedgerError as error:
            if error.code in ("tile-path", "source-missing-tile", "source-no-checkpoint"):
                return HTTPStatus.NOT_FOUND, TYPE_TEXT, NO_STORE, b"not in this log\n"
            print(f"{self.path}: {error}", file=sys.stderr)
            return HTTPStatus.INTERNAL_SERVER_ERROR, TYPE_TEXT, NO_STORE, f"{error.code}\n".encode()

    def _answer(self, status: HTTPStatus, kind: str, cache: str, data: bytes) -> None:
        bundle = status is HTTPStatus.OK and self.path.startswith("/tile/entries/")
        packed = bundle and len(data) >= COMPRESS_FROM and takes_gzip(self.headers.get("Accept-Encoding", ""))
        if packed:
            data = gzip.compress(data, compresslevel=1, mtime=0)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", cache)
        self.send_header("X-Content-Type-Options", "nosniff")
        if bundle:
            self.send_header("Vary", "Accept-Encoding")
        if packed:
            self.send_header("Content-Encoding", "gzip")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(data)))
        self.connection.settimeout(WRITE_S)
        self.end_headers()
        if self.command != "HEAD":
            for start in range(0, len(data), _PIECE):
                self.wfile.write(data[start : start + _PIECE])

    def version_string(self) -> str:
        return "brakeline"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep no record of who reads what."""


class _Incoming(io.RawIOBase):
    """What a connection sends, up to a deadline: a socket's own timeout begins anew with every byte."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.deadline = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def takes_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header names gzip and does not rule it out."""
    for item in header.lower().split(","):
        coding, _, weight = item.replace(" ", "").partition(";")
        if coding == "gzip":
            return weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def run(server: LogServer, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; *on_ready* is told the address. In the main thread only: it handles signals."""
    ended = threading.Event()

    def end(_number: int, _frame: object) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    serving.start()
    on_ready(server.url)
    ended.wait()
    server.stop()
    serving.join()
