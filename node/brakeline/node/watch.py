"""Listening to one verifier for orders and challenges. Of orders it is only a messenger: one counts when signed.

Every event goes to ``see`` as an envelope; :meth:`brakeline.node.brake.Brake.see` runs the treaty's admission on it (m
of n parties, against the pinned treaty). So a verifier that lies, repeats, or says nothing changes nothing, as long as
one other passes the order on. A challenge is the verifier's own (:mod:`brakeline.node.opening`).
"""

from __future__ import annotations

from collections.abc import Callable

import grpc
import stamina
import structlog
from brakeline.ledger.errors import BrakelineError
from brakeline.node import wire
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.terms import VerifierTerms
from brakeline.v1 import verifier_pb2_grpc as rpc

WAIT_MAX_S = 3.0
_log = structlog.get_logger(__name__)


class _Ended(Exception):
    """The stream came to an end: open it again after a pause."""


class Watcher:
    """Keeps a ``Watch`` stream open to one verifier."""

    def __init__(
        self,
        verifier: VerifierTerms,
        channel: grpc.aio.Channel,
        see: Callable[[Envelope, str], object],
        challenged: Callable[[bytes, str], object],
    ) -> None:
        """Pass each envelope to *see*, each challenge's body to *challenged*, with the verifier's name."""
        self._verifier, self._see, self._challenged = verifier, see, challenged
        self._stub = rpc.VerifierStub(channel)
        self._next = 0

    async def run(self) -> None:
        """Listen; never returns, never fails."""
        async for attempt in stamina.retry_context(
            on=self._pause, attempts=None, timeout=None, wait_initial=0.1, wait_max=WAIT_MAX_S, wait_jitter=0.2
        ):
            with attempt:
                async for event in self._stub.Watch(wire.to_watch(self._next)):
                    index, item = wire.from_event(event)
                    if isinstance(item, bytes):
                        self._challenged(item, self._verifier.name)
                    else:
                        self._see(item, self._verifier.name)
                    self._next = max(self._next, index + 1)
                raise _Ended

    def _pause(self, error: Exception) -> bool | float:
        if isinstance(error, grpc.aio.AioRpcError):
            _log.info("watch-interrupted", verifier=self._verifier.name, reason=wire.reason(error))
            asked = wire.retry_after_s(error)
            return True if asked is None else asked
        if isinstance(error, BrakelineError):
            _log.warning("watch-not-believed", verifier=self._verifier.name, **error.as_dict())
            return True
        return isinstance(error, _Ended)
