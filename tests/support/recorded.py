"""Requests of a node as the bytes that went over the wire: recorded between a node and a verifier, played back later.

What it is for: a node of the version before is served by today's verifier. A file of ``tests/recorded/`` holds, for one
version, the signed treaty and every request of a small world in the order of their answers, with what became of each.
Keys are the cast's, made from names, so that a verifier of any later version can be set up to answer.

    {"calls": [{"method": "SubmitBatch", "outcomes": ["taken", ...], "request": base64}, ...],
     "format": "brakeline/recorded/v1", "treaty": the DSSE envelope as JSON text, "version": "0.1.0"}

An outcome of a submission is ``taken`` (receipt or pending), or the code of the problem; of a receipt asked for the
same; of a status ``answered``; of a stream (``Watch``) ``streamed``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
from brakeline.v1 import verifier_pb2 as pb

FOLDER = Path(__file__).resolve().parents[1] / "recorded"
FORMAT = "brakeline/recorded/v1"
SERVICE = "/brakeline.v1.Verifier/"
TAKEN = "taken"


@dataclass(frozen=True)
class Call:
    """One request: method, bytes, and what became of what was in it."""

    method: str
    request: bytes
    outcomes: tuple[str, ...]


@dataclass
class Recording:
    """All requests of one node."""

    version: str
    treaty: bytes
    calls: list[Call] = field(default_factory=list[Call])

    def write(self, path: Path) -> None:
        """Write the file."""
        calls = [
            {"method": c.method, "outcomes": c.outcomes, "request": base64.b64encode(c.request).decode()}
            for c in self.calls
        ]
        value = {"calls": calls, "format": FORMAT, "treaty": self.treaty.decode(), "version": self.version}
        path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Read such a file."""
        value = json.loads(path.read_text(encoding="utf-8"))
        assert value["format"] == FORMAT
        calls = [Call(c["method"], base64.b64decode(c["request"]), tuple(c["outcomes"])) for c in value["calls"]]
        return cls(value["version"], value["treaty"].encode(), calls)


def outcomes(method: str, answer: bytes) -> tuple[str, ...]:
    """Return what an answer says became of the request."""
    if method == "SubmitBatch":
        results = pb.SubmitBatchResponse.FromString(answer).results
        lacking = ["disclosure-refused" for item in results if item.HasField("disclosure")]
        return (*(_outcome(item) for item in results), *lacking)
    if method == "GetReceipt":
        return (_outcome(pb.GetReceiptResponse.FromString(answer)),)
    return ("answered" if pb.GetStatusResponse.FromString(answer).origin else "no origin",)


def _outcome(item: pb.SubmitResult | pb.GetReceiptResponse) -> str:
    which = item.WhichOneof("outcome")
    if which in ("receipt", "pending"):
        return TAKEN
    problem = getattr(item, str(which)) if which else pb.Problem(code="none")
    return str(problem.code)


class Recorder(grpc.GenericRpcHandler):
    """Passes every call on, byte for byte, to a verifier behind *channel*, and keeps what was asked."""

    def __init__(self, channel: grpc.aio.Channel, recording: Recording) -> None:
        self._channel, self._recording = channel, recording

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a method (as :class:`grpc.GenericRpcHandler`)."""
        name: str = cast("Any", handler_call_details).method
        method = name.removeprefix(SERVICE)
        if method == "Watch":
            return grpc.unary_stream_rpc_method_handler(self._stream(name))
        return grpc.unary_unary_rpc_method_handler(self._unary(name, method))

    def _unary(self, name: str, method: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def handle(request: bytes, context: Any) -> bytes:
            answer = await ask(self._channel, name, request)
            self._recording.calls.append(Call(method, request, outcomes(method, answer)))
            return answer

        return handle

    def _stream(self, name: str) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
        async def handle(request: bytes, context: Any) -> AsyncIterator[bytes]:
            self._recording.calls.append(Call("Watch", request, ("streamed",)))
            async for event in events(self._channel, name, request):
                yield event

        return handle


async def ask(channel: grpc.aio.Channel, name: str, request: bytes) -> bytes:
    """Make a unary call in bytes: what is given is sent, what comes is returned."""
    method: Any = channel.unary_unary(name, request_serializer=bytes, response_deserializer=bytes)
    answer: bytes = await method(request, timeout=30)
    return answer


async def events(channel: grpc.aio.Channel, name: str, request: bytes) -> AsyncGenerator[bytes]:
    """Open a stream in bytes, and end it when the caller has enough."""
    method: Any = channel.unary_stream(name, request_serializer=bytes, response_deserializer=bytes)
    stream = method(request)
    try:
        async for event in stream:
            yield event
    finally:
        stream.cancel()


@asynccontextmanager
async def recording_at(recorder: Recorder, credentials: grpc.ServerCredentials) -> AsyncGenerator[str]:
    """Serve *recorder* on loopback until the block ends; yields its address."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((recorder,))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=0)


async def replay(recording: Recording, channel: grpc.aio.Channel) -> list[tuple[Call, tuple[str, ...]]]:
    """Send every request again, in order; return each with what became of it now. Of a stream one event is read."""
    found: list[tuple[Call, tuple[str, ...]]] = []
    for call in recording.calls:
        if call.method == "Watch":
            stream = events(channel, SERVICE + call.method, call.request)
            first = await anext(stream, None)
            await stream.aclose()
            found.append((call, ("streamed" if first else "silent",)))
        else:
            answer = await ask(channel, SERVICE + call.method, call.request)
            found.append((call, outcomes(call.method, answer)))
    return found
