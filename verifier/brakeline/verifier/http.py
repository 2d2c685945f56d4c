"""The public side over plain HTTP: tlog-tiles for readers, ``/add-checkpoint`` for witnesses, metrics, liveness.

Source: https://c2sp.org/tlog-tiles. Tiles and bundles are immutable and say so to caches; ``/checkpoint`` must never
be cached. Only what the published checkpoint covers is served: a partial tile of any width up to it, so that a tile
once served never changes. Bundles of entries are compressed for readers that take gzip. Nothing here needs an
identity: what is public is public, and a checkpoint authenticates itself. TLS, where a treaty wants it, is a reverse
proxy's.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from brakeline.ledger.errors import BrakelineError, LedgerError
from brakeline.ledger.serve import COMPRESS_FROM, takes_gzip
from brakeline.verifier.config import split_address
from brakeline.verifier.errors import VerifierError
from brakeline.verifier.metrics import CONTENT_TYPE as METRICS_TYPE
from brakeline.verifier.metrics import Metrics
from brakeline.verifier.publish import Publication
from brakeline.verifier.witness import MAX_REQUEST, TYPE_TEXT, Answer, Witness
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
NO_STORE = {"Cache-Control": "no-store"}
TYPE_TILE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Pages:
    """What the HTTP side shows.

    Attributes:
        tile: (path below the prefix, published size) -> bytes, or None when the published tree has no such tile.
            Blocking; LedgerError for a path that is no tile path.
        origins: returns SHA-256 hex of an origin -> origin, of the logs this verifier witnesses now.
        trouble: why this verifier takes no statements now, empty when it does.
    """

    publication: Publication
    tile: Callable[[str, int], bytes | None]
    witness: Witness
    origins: Callable[[], Mapping[str, str]]
    metrics: Metrics
    trouble: Callable[[], str]


def origin_hashes(origins: list[str]) -> dict[str, str]:
    """Return the map from SHA-256 hex to origin, as tlog-witness' monitor retrieval names logs."""
    return {hashlib.sha256(origin.encode()).hexdigest(): origin for origin in origins}


def make_app(pages: Pages) -> Starlette:
    """Return the ASGI application over *pages*."""

    async def checkpoint(_: Request) -> Response:
        current = pages.publication.current
        if current is None:
            return _text(503, "no checkpoint is published yet; retry", {"Retry-After": "1"})
        return Response(current.note, media_type=TYPE_TEXT, headers=NO_STORE)

    async def tile(request: Request) -> Response:
        path = f"tile/{request.path_params['path']}"
        try:
            data = await asyncio.to_thread(pages.tile, path, pages.publication.size)
        except LedgerError as error:
            return _text(404, str(error))
        if data is None:
            return _text(404, "not in the published tree")
        if not path.startswith("tile/entries/"):
            return Response(data, media_type=TYPE_TILE, headers=IMMUTABLE)
        headers = {**IMMUTABLE, "Vary": "Accept-Encoding"}
        if len(data) >= COMPRESS_FROM and takes_gzip(request.headers.get("accept-encoding", "")):
            data = await asyncio.to_thread(gzip.compress, data, 1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return Response(data, media_type=TYPE_TILE, headers=headers)

    async def add_checkpoint(request: Request) -> Response:
        body = await _bounded(request)
        if body is None:
            return _text(400, f"a request is at most {MAX_REQUEST} bytes")
        try:
            answer = await asyncio.to_thread(pages.witness.add_checkpoint, body)
        except BrakelineError as error:
            answer = Answer(503, str(error).encode() + b"\n")
        pages.metrics.witnessed.labels(str(answer.status)).inc()
        return Response(answer.body, answer.status, headers={"Content-Type": answer.content_type, **NO_STORE})

    async def witnessed(request: Request) -> Response:
        origin = pages.origins().get(request.path_params["origin"])
        held = await asyncio.to_thread(pages.witness.remembers, origin) if origin else None
        if held is None:
            return _text(404, "this witness has cosigned no checkpoint of such a log")
        return Response(held.note, media_type=TYPE_TEXT, headers=NO_STORE)

    async def metrics(_: Request) -> Response:
        return Response(pages.metrics.render(), headers={"Content-Type": METRICS_TYPE, **NO_STORE})

    async def healthz(_: Request) -> Response:
        trouble = pages.trouble()
        return _text(503, trouble) if trouble else _text(200, "ok")

    return Starlette(
        routes=[
            Route("/checkpoint", checkpoint),
            Route("/tile/{path:path}", tile),
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/metrics", metrics),
            Route("/healthz", healthz),
            Route("/{origin:str}/checkpoint", witnessed),
        ],
        exception_handlers={ClientDisconnect: _gone},
    )


async def _gone(_: Request, __: Exception) -> Response:
    """Answer who hung up in the middle of a request: nobody reads it, and it is no error of this process."""
    return _text(400, "the request ended before its body did")


async def _bounded(request: Request) -> bytes | None:
    """Return the body, or None as soon as it is over the bound."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST:
            return None
    return bytes(body)


def _text(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, headers={**NO_STORE, **(headers or {})})


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: this process has one place that decides when to end."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone."""
        yield


class HttpServer:
    """An application on an address, on a socket bound here so that port 0 and a taken port are both seen."""

    def __init__(self, app: Starlette, address: str) -> None:
        """Prepare to serve *app* at *address*, ``host:port``; nothing is bound yet."""
        self._address = address
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                limit_concurrency=512,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=2,
                ws="none",
            )
        )
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = 0
        """The port that was bound, once started."""

    async def start(self) -> int:
        """Bind, serve, and return the port (``listen-http`` when it cannot be bound)."""
        host, port = split_address(self._address)
        try:
            self._socket = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            raise VerifierError(
                code="listen-http",
                message="the HTTP address cannot be bound",
                expected="a free local address",
                found=f"{self._address}: {error.strerror}",
                fix="stop the other process, or set listen.http in verifier.toml",
            ) from None
        self.port = int(self._socket.getsockname()[1])
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.005)
        return self.port

    async def stop(self) -> None:
        """End requests and close the socket."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        if self._socket is not None:
            self._socket.close()
