"""A verifier's lines to the others: who cosigns its checkpoints, and whose logs it mirrors.

Both follow from the version of the treaty that governs. When another begins, the lines are taken down and opened anew
to whom it names, under its quorums; the log goes on meanwhile, and what was signed last is offered to the new
witnesses. Nothing here is durable: a process that ends in between opens the new lines at its next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import structlog
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.logbody import Mirrored
from brakeline.verifier.peers import Peers
from brakeline.verifier.publish import Publisher, Signed

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""How often it is looked whether another version governs, at the most."""


class Ends(NamedTuple):
    """The two ends of the lines: what goes out, and what is read."""

    publisher: Publisher
    peers: Peers


class Lines:
    """Publisher and peers of the version that governs; one task runs :meth:`run`."""

    def __init__(
        self,
        governing: Callable[[], TreatyDocument],
        follow: Callable[[TreatyDocument], None],
        connect: Callable[[TreatyDocument], Ends],
        look_s: float = LOOK_S,
    ) -> None:
        """Open the lines of the version that governs now.

        Args:
            governing: returns the version that governs at this moment.
            follow: told of another version, before its lines are opened.
            connect: makes both ends for a version.
            look_s: how often to ask *governing*.
        """
        self._governing, self._follow, self._connect = governing, follow, connect
        self._look_s = min(look_s, LOOK_S)
        self._document = governing()
        self._ends = connect(self._document)
        self._newest: Signed | None = None
        self._reading = asyncio.Event()

    def offer(self, signed: Signed) -> None:
        """Have a newly signed checkpoint cosigned and published."""
        self._newest = signed
        self._ends.publisher.offer(signed)

    def refresh(self) -> None:
        """Have the witnesses asked again about what was offered last."""
        self._ends.publisher.refresh()

    def read(self) -> None:
        """Begin to mirror the peers: this log takes statements from now on."""
        self._reading.set()

    def mirrored(self) -> tuple[Mirrored, ...]:
        """Return, sorted by origin, each peer's newest checkpoint whose log is stored here in full."""
        return self._ends.peers.mirrored()

    async def run(self) -> None:
        """Keep the lines open until cancelled, or until one of their tasks fails: then fail as it did."""
        while True:
            opened = asyncio.create_task(self._open())
            try:
                document = await self._another(opened)
            finally:
                opened.cancel()
                await asyncio.gather(opened, return_exceptions=True)
            log.warning("verifiers-of-version", version=document.version, treaty=document.digest)
            old, self._document = self._ends, document
            self._follow(document)
            self._ends = self._connect(document)
            if self._newest is not None:
                self._ends.publisher.offer(self._newest)
            await asyncio.to_thread(old.peers.close)

    def close(self) -> None:
        """Close all connections. Blocking; :meth:`run` must have ended."""
        self._ends.peers.close()

    async def _open(self) -> None:
        publishing, reading = asyncio.create_task(self._ends.publisher.run()), asyncio.create_task(self._read())
        try:
            await asyncio.gather(publishing, reading)
        finally:
            publishing.cancel()
            reading.cancel()
            await asyncio.gather(publishing, reading, return_exceptions=True)

    async def _read(self) -> None:
        await self._reading.wait()
        await asyncio.gather(*self._ends.peers.runs())

    async def _another(self, opened: asyncio.Task[None]) -> TreatyDocument:
        """Return the version that governs, once it is not the one whose lines these are; fail as *opened* does."""
        while (document := self._governing()).digest == self._document.digest:
            await asyncio.wait({opened}, timeout=self._look_s)
            if opened.done():
                opened.result()
        return document
