"""The gRPC service: SubmitBatch, Watch, GetReceipt, GetStatus, beside ``grpc.health.v1`` and reflection.

Handlers are thin: :mod:`brakeline.verifier.wire` reads and writes messages, :class:`Desk` does the work, and
:mod:`brakeline.verifier.guard` has checked identity, quota and deadline before a handler runs. What a client meets on
the transport: static mutual TLS, no compression, pings on idle connections, connections of limited age, and a port that
no second process can share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol, TypeAlias

import grpc
from brakeline.treaty.admission import NotYet, Refused
from brakeline.treaty.envelope import Envelope
from brakeline.v1 import verifier_pb2 as pb
from brakeline.v1 import verifier_pb2_grpc as pb_grpc
from brakeline.verifier import wire
from brakeline.verifier.config import Limits
from brakeline.verifier.errors import VerifierError
from brakeline.verifier.guard import Guard, caller
from brakeline.verifier.metrics import Metrics
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

SERVICE = pb.DESCRIPTOR.services_by_name["Verifier"].full_name
MAX_RECEIVE = 4 * 1024 * 1024
"""Transport bound of a message; above the 3 MiB of a batch, so that too large a batch gets its own code."""

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Desk(Protocol):
    """What the service needs of the verifier behind it."""

    async def submit(
        self, name: str, items: Sequence[Envelope | Refused], boxes: Sequence[bytes] = ()
    ) -> list[wire.Result]:
        """Take a batch of *name* and answer each item, in order."""
        ...

    async def receipt(self, query: wire.ReceiptQuery) -> bytes | wire.Pending | NotYet:
        """Return a fresh receipt of a statement this log holds."""
        ...

    async def status(self, author: str) -> wire.StatusReport:
        """Return where the log stands, and the chain heads of *author* unless it is empty."""
        ...

    def watch(self, first: int) -> AsyncIterator[tuple[int, Envelope | bytes]]:
        """Yield orders, treaty versions and recent challenges from log index *first* on.

        A challenge is the body of its entry. It ends when this verifier shuts down.
        """
        ...


# gRPC gives the names and the signatures below.
# ruff: noqa: N802, ARG002
class VerifierService(pb_grpc.VerifierServicer):
    """The four calls of ``brakeline.v1.Verifier``."""

    def __init__(self, desk: Desk, metrics: Metrics) -> None:
        """Serve *desk*."""
        self._desk = desk
        self._metrics = metrics

    async def SubmitBatch(self, request: pb.SubmitBatchRequest, context: _Context) -> pb.SubmitBatchResponse:
        """Take up to 512 attestations, at most 3 MiB."""
        results = await self._desk.submit(caller().name, wire.batch_from_proto(request), wire.boxes_from_proto(request))
        for result in results:
            self._metrics.results.labels(wire.outcome_of(result)).inc()
        return wire.batch_to_proto(results)

    async def GetReceipt(self, request: pb.GetReceiptRequest, context: _Context) -> pb.GetReceiptResponse:
        """Return a fresh receipt."""
        return wire.receipt_to_proto(await self._desk.receipt(wire.receipt_query(request)))

    async def GetStatus(self, request: pb.GetStatusRequest, context: _Context) -> pb.GetStatusResponse:
        """Return where the log stands."""
        return wire.status_to_proto(await self._desk.status(wire.status_author(request)))

    async def Watch(self, request: pb.WatchRequest, context: _Context) -> AsyncIterator[pb.WatchEvent]:
        """Stream orders and treaty versions. Each stream is an index into one shared list: a slow one costs nothing."""
        self._metrics.streams.inc()
        try:
            async for index, envelope in self._desk.watch(wire.watch_from(request)):
                yield wire.event_to_proto(index, envelope)
        finally:
            self._metrics.streams.dec()


class RpcServer:
    """The gRPC server of one verifier: bind, start, health, drain."""

    def __init__(
        self, desk: Desk, guard: Guard, credentials: grpc.ServerCredentials, limits: Limits, metrics: Metrics
    ) -> None:
        """Prepare a server; nothing is bound yet."""
        self._server = grpc.aio.server(
            interceptors=[guard], options=_options(limits), compression=grpc.Compression.NoCompression
        )
        self._credentials = credentials
        self._drain = limits.drain_ms / 1000
        pb_grpc.add_VerifierServicer_to_server(VerifierService(desk, metrics), self._server)
        self.health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self, address: str) -> int:
        """Bind *address* and serve; return the port that was bound (``listen-grpc`` when it cannot be)."""
        try:
            port = self._server.add_secure_port(address, self._credentials)
        except RuntimeError:
            port = 0
        if not port:
            raise VerifierError(
                code="listen-grpc",
                message="the gRPC address cannot be bound",
                expected="a free local address",
                found=address,
                fix="stop the other process, or set listen.grpc in verifier.toml",
            )
        await self._server.start()
        return port

    async def set_serving(self, serving: bool) -> None:
        """Tell health checks whether this verifier takes statements."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self.health.set(name, status)

    async def stop(self) -> None:
        """Stop taking calls and let those in flight finish; a stream that the desk has not ended is cut off then."""
        await self.health.enter_graceful_shutdown()
        await self._server.stop(self._drain)


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", MAX_RECEIVE),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.keepalive_time_ms", limits.keepalive_ms),
        ("grpc.keepalive_timeout_ms", limits.keepalive_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", min(limits.keepalive_ms, 10_000)),
        ("grpc.max_connection_age_ms", limits.connection_age_ms),
        ("grpc.max_connection_age_grace_ms", limits.drain_ms),
        ("grpc.max_connection_idle_ms", limits.connection_age_ms),
        ("grpc.server_handshake_timeout_ms", 5_000),
        ("grpc.max_concurrent_streams", 64),
    ]
