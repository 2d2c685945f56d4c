"""The desk: what happens to a call between the wire and the log. Implements :class:`brakeline.verifier.service.Desk`.

A receipt is handed out only under a *published* checkpoint, one that a quorum of witnesses has cosigned. A batch waits
for it for a while and is answered ``pending`` when it does not come; the statements are durable by then, and the same
bytes submitted again get their receipts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from brakeline.ledger.entry import client_source
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.admission import NotYet, Refused
from brakeline.treaty.disclosure import Disclosure
from brakeline.treaty.envelope import Envelope
from brakeline.verifier import wire
from brakeline.verifier.intake import Held, Outcome, Submission
from brakeline.verifier.loop import Announced, Feed, Writer
from brakeline.verifier.publish import Publication, Signed
from brakeline.verifier.vault import Vault
from brakeline.verifier.wire import Pending, ReceiptQuery, Result, StatusReport, Undisclosed


class Positions(Protocol):
    """What the desk asks of the log's state, in the writer's thread."""

    def find(self, digest: str, author: str, sequence: int) -> int | None:
        """Return the index of a statement this log holds."""
        ...

    def heads(self, author: str) -> list[tuple[int, str]]:
        """Return the leaves of an author's chain, (sequence, digest)."""
        ...


Receipts = Callable[[Sequence[int], Signed], list[bytes]]
"""(indices, published checkpoint) -> receipts. Blocking, from any thread."""


class VerifierDesk:
    """Answers calls from the writer, the publication and the log."""

    def __init__(
        self,
        *,
        origin: str,
        treaty: str,
        writer: Writer,
        positions: Positions,
        publication: Publication,
        receipts: Receipts,
        feed: Feed,
        wait_s: float,
        vault: Vault | None = None,
    ) -> None:
        """Serve the log *origin* under the treaty of digest *treaty*.

        *wait_s*: how long a batch waits for receipts; *vault*: opens disclosures, None where nobody discloses to us.
        """
        self._vault = vault
        self._origin = origin
        self._treaty = treaty
        self._writer = writer
        self._positions = positions
        self._publication = publication
        self._receipts = receipts
        self._feed = feed
        self._wait_s = wait_s

    async def submit(self, name: str, items: Sequence[Envelope | Refused], boxes: Sequence[bytes] = ()) -> list[Result]:
        """Take a batch of *name*, with *boxes* of disclosures beside it, and answer each item, in order."""
        source = client_source(name)
        told = [b""] * len(items) if not any(boxes) else boxes
        opened = await asyncio.to_thread(self._open, items, told) if any(told) else [None] * len(items)
        submissions = [
            Submission(item, source, disclosure=disclosure if isinstance(disclosure, Disclosure) else None)
            for item, disclosure in zip(items, opened, strict=True)
            if isinstance(item, Envelope)
        ]
        decided = iter(await self._writer.submit(submissions))
        outcomes: list[Outcome] = [next(decided) if isinstance(item, Envelope) else item for item in items]
        held = {outcome.index: outcome for outcome in outcomes if isinstance(outcome, Held)}
        receipts = await self._receipts_for(list(held), self._wait_s)
        return [
            Undisclosed(_result(outcome, receipts), disclosure)
            if isinstance(disclosure, Refused)
            else _result(outcome, receipts)
            for outcome, disclosure in zip(outcomes, opened, strict=True)
        ]

    def _open(self, items: Sequence[Envelope | Refused], boxes: Sequence[bytes]) -> list[Disclosure | Refused | None]:
        """Open what came beside each item: a disclosure that opens it, why there is none, None where none came."""
        return [
            self._open_one(item, box) if box and isinstance(item, Envelope) else None
            for item, box in zip(items, boxes, strict=True)
        ]

    def _open_one(self, item: Envelope, box: bytes) -> Disclosure | Refused:
        if self._vault is None:
            return Refused(
                "disclosure-no-key",
                "the treaty names no disclosure key of this verifier",
                fix="disclose to the verifiers that have one",
            )
        try:
            return self._vault.open(box, item.payload)
        except BrakelineError as error:
            return Refused(error.code, error.message, error.expected, error.found, error.fix)

    async def receipt(self, query: ReceiptQuery) -> bytes | Pending | NotYet:
        """Return a fresh receipt of a statement this log holds."""
        index = await self._writer.read(lambda: self._positions.find(query.digest, query.author, query.sequence))
        if index is None:
            return NotYet(
                "statement-unknown",
                "this log holds no such statement at this position",
                expected="the digest, author and sequence of a statement of this log",
                found=f"{query.digest} at {query.author or '(no author)'} #{query.sequence}",
                fix="give author and sequence of a statement that has them; else submit it",
            )
        receipts = await self._receipts_for([index], 0)
        return receipts.get(index) or Pending(query.digest)

    async def status(self, author: str) -> StatusReport:
        """Return where the log stands, and the chain heads of *author* unless it is empty."""
        heads = await self._writer.read(lambda: self._positions.heads(author)) if author else []
        current = self._publication.current
        return StatusReport(
            origin=self._origin,
            checkpoint=b"" if current is None else current.note,
            treaty=self._treaty,
            heads=tuple((author, sequence, digest) for sequence, digest in heads),
        )

    async def watch(self, first: int) -> AsyncIterator[tuple[int, Announced]]:
        """Yield orders, treaty versions and challenges from log index *first* on, until this verifier shuts down."""
        while True:
            for index, item in await self._feed.since(first):
                first = index + 1
                yield index, item

    async def _receipts_for(self, indices: list[int], wait_s: float) -> dict[int, bytes]:
        """Wait until the published checkpoint covers *indices*; return receipts of those it covers then."""
        if not indices:
            return {}
        current = await self._publication.wait_for(max(indices) + 1, wait_s)
        if current is None:
            return {}
        covered = [index for index in indices if index < current.size]
        return dict(zip(covered, await asyncio.to_thread(self._receipts, covered, current), strict=True))


def _result(outcome: Outcome, receipts: dict[int, bytes]) -> wire.Outcome:
    if isinstance(outcome, Held):
        return receipts.get(outcome.index) or Pending(outcome.digest)
    return outcome
