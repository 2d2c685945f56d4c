"""The treaty's clause on silence: is this node cut off from the verifiers?

A node that hears nobody cannot know whether the parties have pressed the brake. Where the treaty says ``silence =
"stop"``, it stops training when for longer than ``deadlines.notice_ms`` it has heard fewer than f + 1 verifiers, so
no honest one for certain; with ``continue`` it goes on under the last orders it knows. *Heard* is an answer to
``GetStatus`` over mutual TLS, under the verifier's name: what it says is not believed. The instants are kept in the
journal, so that a restart hides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import grpc
from brakeline.node import wire
from brakeline.node.journal_brake import BrakeJournal
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.terms import VerifierTerms
from brakeline.v1 import verifier_pb2_grpc as rpc

ASKS = 8
"""How often a verifier is asked within the time that silence takes."""
SHORTEST_S, LONGEST_S = 0.2, 60.0


class Silence:
    """When each verifier was heard last."""

    def __init__(self, document: TreatyDocument, journal: BrakeJournal, now_ms: int) -> None:
        """Take up what the journal holds; a verifier that was never heard counts from the first start on."""
        self._journal = journal
        self._heard = journal.heard()
        self.follow(document, now_ms)

    def follow(self, document: TreatyDocument, now_ms: int) -> None:
        """Go by *document* from now on; a verifier that it names and nobody ever heard counts from now."""
        self._document = document
        for verifier in document.verifiers:
            if verifier.name not in self._heard:
                self.hear(verifier.name, now_ms)

    def hear(self, verifier: str, now_ms: int) -> None:
        """*verifier* has answered."""
        self._heard[verifier] = now_ms
        self._journal.hear(verifier, now_ms)

    def since(self) -> int:
        """Return the instant from which it is silent if nobody is heard any more (Unix ms)."""
        known = {verifier.name for verifier in self._document.verifiers}
        newest = sorted((at for name, at in self._heard.items() if name in known), reverse=True)
        return newest[self._document.quorum.liars] + self._document.deadlines.notice_ms.value

    def silent(self, now_ms: int) -> bool:
        """Say whether fewer than f + 1 verifiers were heard within the notice."""
        return now_ms > self.since()

    def due(self, now_ms: int) -> Iterator[int]:
        """Yield the instant at which it becomes silent, where that matters and is yet to come (Unix ms)."""
        if self._document.silence == "stop" and self.since() >= now_ms:
            yield self.since() + 1

    def interval_s(self) -> float:
        """Return how long to wait between two questions."""
        return min(LONGEST_S, max(SHORTEST_S, self._document.deadlines.notice_ms.value / 1000 / ASKS))


class Asker:
    """Asks one verifier, again and again, whether it is there."""

    def __init__(
        self, verifier: VerifierTerms, channel: grpc.aio.Channel, interval_s: float, heard: Callable[[str], None]
    ) -> None:
        """Tell *heard* the verifier's name whenever it answers."""
        self._verifier, self._interval_s, self._heard = verifier, interval_s, heard
        self._stub = rpc.VerifierStub(channel)

    async def run(self) -> None:
        """Ask; never returns, never fails."""
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                response = await self._stub.GetStatus(wire.to_status(), timeout=max(1.0, self._interval_s))
                if wire.origin_of(response) == self._verifier.name:
                    self._heard(self._verifier.name)
            await asyncio.sleep(self._interval_s)
