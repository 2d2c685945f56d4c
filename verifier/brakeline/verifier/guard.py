"""What stands before every RPC: identity, quota, deadline, and one way for errors to leave.

An interceptor wraps every handler, health and reflection included. Identity is checked per RPC (see
:mod:`brakeline.verifier.tls`); quotas are counted per certificate identity, because a global limit can be filled by
four slow streams; a call that fails leaves as ``google.rpc.Status`` with its stable code.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias, cast

import grpc
import structlog
from brakeline.ledger.errors import BrakelineError
from brakeline.verifier import wire
from brakeline.verifier.config import Limits
from brakeline.verifier.errors import CallError, Status
from brakeline.verifier.metrics import Metrics
from brakeline.verifier.tls import Identity, IdentityCheck
from grpc_status.rpc_status import to_status  # pyright: ignore[reportUnknownVariableType]  (the stub takes Any)

log = structlog.get_logger(__name__)

_CALLER: ContextVar[Identity] = ContextVar("caller")

# gRPC hands messages of every service through here, so these types cannot be narrower.
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def caller() -> Identity:
    """Return who makes the call that is being served."""
    return _CALLER.get()


class Quotas:
    """Calls and streams in flight, per identity."""

    def __init__(self, limits: Limits) -> None:
        """Count against *limits*."""
        self._limits = limits
        self._calls: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()

    @contextmanager
    def taken(self, identity: Identity, *, stream: bool) -> Generator[None]:
        """Hold one place for *identity* (``quota-calls``, ``quota-streams``: RESOURCE_EXHAUSTED)."""
        held, most = (self._streams, self._limits.streams) if stream else (self._calls, self._limits.calls)
        if held[identity.name] >= most:
            raise CallError(
                Status.RESOURCE_EXHAUSTED,
                code="quota-streams" if stream else "quota-calls",
                message=f"{identity.name} has too many {'streams open' if stream else 'calls in flight'}",
                expected=f"at most {most}",
                found=str(held[identity.name] + 1),
                fix="wait for one to end; batch instead of calling in parallel",
                retry_after_ms=500,
            )
        held[identity.name] += 1
        try:
            yield
        finally:
            held[identity.name] -= 1
            if not held[identity.name]:
                del held[identity.name]


class Guard(grpc.aio.ServerInterceptor):
    """Wraps every handler of the server."""

    def __init__(self, check: IdentityCheck, limits: Limits, metrics: Metrics) -> None:
        """Let in whom *check* identifies, within *limits*."""
        self._check = check
        self._quotas = Quotas(limits)
        self._longest = limits.call_ms / 1000
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Return the wrapped handler (None stays None: gRPC answers UNIMPLEMENTED)."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(method, handler.stream_stream), handler.request_deserializer, handler.response_serializer
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _unary(self, method: str, behaviour: object) -> Any:
        inner = cast("Callable[[Any, _Context], Awaitable[object]]", behaviour)

        async def call(request: object, context: _Context) -> object:
            with self._leaving(method) as failure:
                try:
                    identity = self._check.identify(context.auth_context())
                    with self._quotas.taken(identity, stream=False):
                        _CALLER.set(identity)
                        async with asyncio.timeout(self._longest):
                            return await inner(request, context)
                except (BrakelineError, TimeoutError) as error:
                    failure.append(error)
            await self._abort(context, method, failure[0])
            return None

        return call

    def _stream(self, method: str, behaviour: object) -> Any:
        inner = cast("Callable[[Any, _Context], object]", behaviour)

        async def call(request: object, context: _Context) -> None:
            with self._leaving(method) as failure:
                try:
                    identity = self._check.identify(context.auth_context())
                    with self._quotas.taken(identity, stream=True):
                        _CALLER.set(identity)
                        await _drive(inner(request, context), context)
                except (BrakelineError, TimeoutError) as error:
                    failure.append(error)
            if failure:
                await self._abort(context, method, failure[0])

        return call

    @contextmanager
    def _leaving(self, method: str) -> Generator[list[Exception]]:
        failure: list[Exception] = []
        yield failure
        if not failure:
            self._metrics.calls.labels(method, "ok").inc()

    async def _abort(self, context: _Context, method: str, error: Exception) -> None:
        status, wrapped, retry = _as_status(error)
        self._metrics.calls.labels(method, wrapped.code).inc()
        if status is grpc.StatusCode.INTERNAL:
            log.error("call-failed", method=method, code=wrapped.code, error=str(wrapped))
        rendered = to_status(wire.error_to_status(wrapped, status, retry))
        await context.abort(status, rendered.details, rendered.trailing_metadata)


def _as_status(error: Exception) -> tuple[grpc.StatusCode, BrakelineError, int]:
    if isinstance(error, CallError):
        return grpc.StatusCode[error.status.value], error, error.retry_after_ms
    if isinstance(error, BrakelineError):
        return grpc.StatusCode.INTERNAL, error, 0
    timeout = BrakelineError(
        code="call-deadline",
        message="the call took longer than this verifier lets calls take",
        expected="less",
        found="",
        fix="retry the same batch: what was appended is answered with its receipt",
    )
    return grpc.StatusCode.DEADLINE_EXCEEDED, timeout, 0


async def _drive(result: object, context: _Context) -> None:
    """Run a streaming handler, whether it yields its messages or writes them itself."""
    if not inspect.isasyncgen(result):
        await cast("Awaitable[object]", result)
        return
    messages = cast("AsyncIterator[object]", result)
    try:
        async for message in messages:
            await context.write(message)
    finally:
        await result.aclose()
