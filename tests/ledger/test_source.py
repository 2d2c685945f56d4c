"""Sources: a directory, or a real HTTP server that misbehaves on request."""

from __future__ import annotations

import contextlib
import gzip
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
from brakeline.ledger.errors import SourceError
from brakeline.ledger.reader import LogReader
from brakeline.ledger.source import DirectorySource, HttpSource, open_source, opened, read_checkpoint, read_ref
from brakeline.ledger.tiles import TileRef

from tests.ledger.logs import KEY, exported

SIZE = 300


class Handler(BaseHTTPRequestHandler):
    """Serves a log, and some paths badly."""

    log: Path
    stopping: Event

    def do_GET(self) -> None:
        path = self.path.removeprefix("/log/")
        match path:
            case "moved":
                self.answer(302, b"", ("Location", "/log/checkpoint"))
            case "broken":
                self.answer(500, b"")
            case "cut":
                self.answer(200, b"half", ("Content-Length", "8"))
            case "bomb":
                self.answer(200, gzip.compress(bytes(5_000_000)), ("Content-Encoding", "gzip"))
            case "trickle":
                with contextlib.suppress(OSError):  # the reader goes away
                    self.answer(200, b"", ("Content-Length", "1000000"))
                    while not self.stopping.wait(0.005):
                        self.wfile.write(b".")
            case "garbled":
                self.answer(200, b"this is not gzip", ("Content-Encoding", "gzip"))
            case "packed":
                self.answer(200, gzip.compress(b"content"), ("Content-Encoding", "gzip"))
            case _:
                file = self.log / path
                if file.is_file():
                    self.answer(200, file.read_bytes())
                else:
                    self.answer(404, b"nothing here")

    def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        sent = dict(headers)
        sent.setdefault("Content-Length", str(len(body)))
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it
        """Say nothing."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("source"), SIZE)


@pytest.fixture(scope="module")
def url(log: Path) -> Iterator[str]:
    stopping = Event()
    handler = type("LogHandler", (Handler,), {"log": log, "stopping": stopping})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/log"
        stopping.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def http(url: str) -> Iterator[HttpSource]:
    source = HttpSource(url, httpx.Client(trust_env=False))
    yield source
    source.close()


def refusal(source: HttpSource, path: str, limit: int = 1_000) -> str:
    with pytest.raises(SourceError) as caught:
        source.read(path, limit)
    return caught.value.code


def test_a_log_reads_the_same_over_http_and_from_a_directory(http: HttpSource, log: Path) -> None:
    here = [entry.encode() for entry in LogReader(DirectorySource(log), KEY).entries()]
    there = [entry.encode() for entry in LogReader(http, KEY).entries()]
    assert there == here
    assert len(here) == SIZE


def test_a_trailing_slash_of_the_address_does_not_matter(url: str) -> None:
    with opened(f"{url}/") as source:
        assert source.name == url
        assert read_checkpoint(source).startswith(KEY.name.encode())


def test_what_is_not_there_is_none(http: HttpSource, log: Path) -> None:
    assert http.read("nothing", 10) is None
    assert DirectorySource(log).read("nothing", 10) is None
    assert DirectorySource(log).read("tile", 10) is None
    assert DirectorySource(log).read("checkpoint/below", 10) is None


@pytest.mark.parametrize("path", ["moved", "broken", "cut", "garbled"])
def test_answers_that_are_no_resource_are_unreachable(http: HttpSource, path: str) -> None:
    assert refusal(http, path) == "source-unreachable"


def test_a_server_that_trickles_bytes_is_left(url: str) -> None:
    source = HttpSource(url, httpx.Client(trust_env=False), deadline_s=0.05)
    with pytest.raises(SourceError, match=r"source-unreachable.*no whole answer within 0\.05 s"):
        source.read("trickle", 1_000_000)
    source.close()


def test_content_encodings_are_undone_and_bounded(http: HttpSource) -> None:
    assert http.read("packed", 7) == b"content"
    assert refusal(http, "packed", 6) == "source-too-large"
    assert refusal(http, "bomb", 100_000) == "source-too-large"


def test_more_bytes_than_asked_for_are_refused(http: HttpSource, log: Path) -> None:
    data = (log / "checkpoint").read_bytes()
    for source in (http, DirectorySource(log)):
        assert source.read("checkpoint", len(data)) == data
        with pytest.raises(SourceError, match="source-too-large"):
            source.read("checkpoint", len(data) - 1)


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        source = HttpSource(f"http://127.0.0.1:{unused.getsockname()[1]}", httpx.Client(trust_env=False))
        assert refusal(source, "checkpoint") == "source-unreachable"
        source.close()


@pytest.mark.parametrize("text", ["http://[::1", "https://exa mple\x00/", "ftp://log.example", "no/such/directory"])
def test_what_is_neither_address_nor_directory_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="source-unreachable"):
        open_source(text)


def test_a_directory_is_opened_and_closed(log: Path) -> None:
    with opened(str(log)) as source:
        assert source.name == str(log)
        assert isinstance(source, DirectorySource)


def test_a_file_that_cannot_be_read_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").symlink_to("checkpoint")
    with pytest.raises(SourceError, match="source-unreachable"):
        DirectorySource(tmp_path).read("checkpoint", 10)


def test_a_copy_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="source-no-checkpoint"):
        read_checkpoint(DirectorySource(tmp_path))


def test_a_partial_tile_that_is_gone_is_cut_from_the_full_one(http: HttpSource, log: Path) -> None:
    hashes = (log / "tile/0/000").read_bytes()
    bundle = (log / "tile/entries/000").read_bytes()
    for source in (http, DirectorySource(log)):
        assert read_ref(source, TileRef(0, 0, 3)) == hashes[:96]
        part = read_ref(source, TileRef(None, 0, 2))
        assert bundle.startswith(part)
        first = 2 + int.from_bytes(part[:2], "big")
        assert len(part) == first + 2 + int.from_bytes(part[first : first + 2], "big")
        with pytest.raises(SourceError, match="source-missing-tile"):
            read_ref(source, TileRef(0, 7, 3))
