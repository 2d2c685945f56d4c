"""``brakeline ledger serve``: a copy of a log over real HTTP, for honest readers and for others."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from brakeline.ledger.commands import app
from brakeline.ledger.errors import NoteError, SourceError
from brakeline.ledger.export import export, write_file
from brakeline.ledger.mirror import Mirror
from brakeline.ledger.reader import LogReader
from brakeline.ledger.serve import LogServer
from brakeline.ledger.source import HttpSource
from brakeline.ledger.tiles import TileRef, bundles, decode_bundle, tree_tiles
from typer.testing import CliRunner

from tests.ledger.logs import KEY, TIME, candidates, exported, filled

SIZE = 600


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("copy"), SIZE)


@contextmanager
def serving(directory: Path, **options: float) -> Iterator[LogServer]:
    limits = {"request_s": 15.0, "max_connections": 16, **options}
    server = LogServer(directory, request_s=limits["request_s"], max_connections=int(limits["max_connections"]))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


@contextmanager
def client(server: LogServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as http:
        yield http


def connected(server: LogServer, timeout: float = 20) -> socket.socket:
    return socket.create_connection((str(server.server_address[0]), server.server_address[1]), timeout)


def raw(server: LogServer, request: bytes) -> bytes:
    """What comes back for these very bytes, until the server hangs up."""
    with connected(server) as connection:
        connection.sendall(request)
        answer = bytearray()
        while piece := connection.recv(65_536):
            answer += piece
        return bytes(answer)


def test_everything_of_the_layout_is_served_byte_for_byte_and_says_how_long_it_keeps(copy: Path) -> None:
    with serving(copy) as server, client(server) as http:
        checkpoint = http.get("/checkpoint")
        assert checkpoint.content == (copy / "checkpoint").read_bytes()
        assert checkpoint.headers["Cache-Control"] == "no-store"
        assert checkpoint.headers["Content-Type"] == "text/plain; charset=utf-8"
        for ref in [*bundles(SIZE), *tree_tiles(SIZE)]:
            answer = http.get(f"/{ref.path}")
            assert answer.content == (copy / ref.path).read_bytes()
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert answer.headers["Content-Type"] == "application/octet-stream"


def test_bundles_are_compressed_for_who_asks_and_tiles_of_hashes_never(copy: Path) -> None:
    with serving(copy) as server, client(server) as http:
        for accept, packed in (("gzip", True), ("br, GZIP;q=0.5", True), ("identity", False), ("gzip;q=0", False)):
            answer = http.get("/tile/entries/000", headers={"Accept-Encoding": accept})
            assert (answer.headers.get("Content-Encoding") == "gzip") == packed
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert len(decode_bundle(answer.content, 256)) == 256
        assert "Content-Encoding" not in http.get("/tile/0/000").headers


def test_a_head_request_gets_the_headers_alone(copy: Path) -> None:
    with serving(copy) as server, client(server) as http:
        for path in ("/checkpoint", "/tile/0/000", "/tile/0/999"):
            head, got = http.head(path), http.get(path)
            assert (head.status_code, head.content) == (got.status_code, b"")
            for name in ("Content-Length", "Cache-Control", "Content-Type"):
                assert head.headers[name] == got.headers[name]


def test_a_partial_tile_that_is_gone_is_cut_from_the_full_one(copy: Path) -> None:
    with serving(copy) as server, client(server) as http:
        assert http.get("/tile/0/000.p/7").content == (copy / "tile/0/000").read_bytes()[: 7 * 32]
        assert len(decode_bundle(http.get("/tile/entries/001.p/9").content, 9)) == 9
        assert http.get("/tile/0/002.p/89").status_code == 404  # more than this log has


def test_a_copy_is_mirrored_and_replayed_from_it(copy: Path, tmp_path: Path) -> None:
    with serving(copy) as server:
        source = HttpSource(server.url)
        mirror = Mirror(tmp_path / "mirror", KEY)
        assert mirror.update(source) == SIZE
        assert sum(1 for _ in LogReader(source, KEY).entries()) == SIZE
        source.close()


def test_a_copy_may_grow_while_it_is_served(tmp_path: Path) -> None:
    log = filled(tmp_path / "live", 10)
    assert log.note is not None
    export(log.store, log.note, tmp_path / "log")
    with serving(tmp_path / "log") as server, client(server) as http:
        before = http.get("/tile/0/000.p/10").content
        grown = log.append(candidates(290, 10), TIME)
        export(log.store, grown.note, tmp_path / "log")
        assert http.get("/checkpoint").content == grown.note
        assert http.get("/tile/0/000").content[:320] == http.get("/tile/0/000.p/10").content == before
    log.close()


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/tile/",
        b"/tile",
        b"/tile/0",
        b"/tile/entries",
        b"/checkpoint/",
        b"/checkpoint?x=1",
        b"/Checkpoint",
        b"checkpoint",
        b"/secret",
        b"/tile/0/.000.new",
        b"/tile/0/000.p/256",
        b"/tile/0/000.p/0",
        b"/tile/0/x000/000",
        b"/tile/00/000",
        b"/tile/64/000",
        b"/tile/0/000/../000",
        b"/tile/0/../../secret",
        b"/../secret",
        b"/..%2fsecret",
        b"/%2e%2e/secret",
        b"/tile/0/%30%30%30",
        b"/tile/0/000\x00",
        b"/etc/passwd",
        b"http://127.0.0.1/checkpoint",
        b"/tile/entries/" + b"x999/" * 30 + b"999",
    ],
)
def test_nothing_else_can_be_asked_for(copy: Path, target: bytes, tmp_path: Path) -> None:
    (copy.parent / "secret").write_text("secret")
    (copy / "secret").write_text("secret")
    with serving(copy) as server:
        answer = raw(server, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] in (b"404", b"400")
    assert b"immutable" not in answer
    assert b"secret" not in answer


def test_a_link_that_leads_out_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    copy = exported(tmp_path, 3)
    outside = tmp_path / "outside"
    outside.write_bytes(bytes(64))
    (copy / "tile/0/000.p/2").symlink_to(outside)
    with serving(copy) as server, client(server) as http:
        assert http.get("/tile/0/000.p/2").status_code == 404
        assert http.get("/tile/0/000.p/3").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_only_reading_is_possible(copy: Path, method: str) -> None:
    with serving(copy) as server, client(server) as http:
        answer = http.request(method, "/checkpoint")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["tile/0/000", "tile/entries/001"])
def test_a_damaged_file_is_an_error_that_nobody_caches(tmp_path: Path, path: str) -> None:
    copy = exported(tmp_path, SIZE)
    write_file(copy / path, (copy / path).read_bytes()[:-1])
    with serving(copy) as server, client(server) as http:
        answer = http.get(f"/{path}")
        assert (answer.status_code, answer.headers["Cache-Control"]) == (500, "no-store")
        assert answer.text in ("tile-size\n", "tile-bundle\n")
        write_file(copy / path, bytes(17_000_000))
        assert http.get(f"/{path}").text == "source-too-large\n"


def test_a_directory_without_a_log_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="source-no-checkpoint"):
        LogServer(tmp_path)
    (tmp_path / "checkpoint").write_text("nothing\n")
    with pytest.raises(NoteError, match="note-malformed"):
        LogServer(tmp_path)


def test_an_address_that_is_taken_is_said_to_be(copy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SourceError, match="listen-http"):
        LogServer(copy, port=taken.getsockname()[1])


def test_a_request_that_trickles_in_is_dropped(copy: Path) -> None:
    with serving(copy, request_s=0.3) as server:
        with connected(server, 0.05) as connection:
            connection.sendall(b"GET /checkpoint HT")
            with pytest.raises(ConnectionError):
                trickle(connection)
        with client(server) as http:
            assert http.get("/checkpoint").status_code == 200


def trickle(connection: socket.socket) -> None:
    """Send a byte now and then until the other side hangs up."""
    while True:
        connection.sendall(b"T")
        with contextlib.suppress(TimeoutError):
            if not connection.recv(1):
                raise ConnectionError


def test_one_connection_too_many_is_told_to_come_back(copy: Path) -> None:
    with serving(copy, max_connections=2) as server:
        idle = [connected(server) for _ in range(2)]
        for connection in idle:
            connection.sendall(b"HEAD /checkpoint HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert raw(server, b"").startswith(b"HTTP/1.1 503 ")
        for connection in idle:
            connection.close()
        with client(server) as http:
            while http.get("/checkpoint").status_code == 503:
                pass
            assert http.get("/checkpoint").status_code == 200


def test_readers_at_once_all_get_their_bytes(copy: Path) -> None:
    refs = [*bundles(SIZE), *tree_tiles(SIZE)]
    wrong: list[TileRef] = []
    with serving(copy, max_connections=32) as server:

        def read() -> None:
            with client(server) as http:
                wrong.extend(ref for ref in refs if http.get(f"/{ref.path}").content != (copy / ref.path).read_bytes())

        readers = [threading.Thread(target=read) for _ in range(8)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    assert wrong == []


def test_the_command_says_where_it_serves_and_ends_on_sigterm(copy: Path) -> None:
    command = [sys.executable, "-c", "from brakeline.cli import main; main()", "ledger", "serve", str(copy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["ready"]["url"]
            with httpx.Client(base_url=url, trust_env=False) as http:  # stays connected, idle
                assert http.get("/checkpoint").content == (copy / "checkpoint").read_bytes()
                process.send_signal(signal.SIGTERM)
                rest = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, *rest) == (0, "", "")


def test_it_needs_no_extra() -> None:
    """Whoever installed the package alone can serve a log."""
    code = "import sys, brakeline.ledger.serve; print({'starlette', 'uvicorn', 'grpc'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_help_has_an_example() -> None:
    shown = CliRunner().invoke(app, ["serve", "--help"]).output
    assert "Example: brakeline ledger serve ./copy" in " ".join(shown.split())
