"""Getting what is signed to one verifier, and its receipt back. One :class:`Sender` each; none waits for another.

The outbox in the journal owns what is still to do; this module owns nothing that a crash could lose. Batches go by
``SubmitBatch`` under a deadline; failures are retried by stamina with jittered backoff, or when the verifier says
(``RetryInfo``); for what is pending, ``GetReceipt`` asks again. ``not yet`` stays open; ``refused`` is final.

A receipt is believed only after :func:`brakeline.ledger.proof.verify_receipt` has checked it, offline, under the
witness policy of the pinned treaty, and only when the entry it proves carries the statement we sent. It is then kept as
``receipts/<verifier>/<sequence>-<digest>.tlog-proof``, a file that anyone can check without us. One that does not hold
is kept as well, the newest of each statement, under ``receipts/<verifier>/refused/``: where its log's key signed it, it
is evidence. A verifier that lies about receipts therefore delays itself, and nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import grpc
import stamina
import structlog
from brakeline.ledger.entry import Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.proof import verify_receipt
from brakeline.node import wire
from brakeline.node.journal import Delivery, Journal, Outgoing
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.terms import VerifierTerms
from brakeline.v1 import verifier_pb2_grpc as rpc
from nacl.public import PublicKey, SealedBox

MAX_ITEMS = 512
MAX_BYTES = 3 * 1024 * 1024 - 64 * 1024
"""A batch of at most 3 MiB (proto/brakeline/v1/verifier.proto), framing left room for."""
CALL_S = 10.0
"""Deadline of one call."""
WAIT_MAX_S = 3.0
"""Longest pause between two attempts, unless the verifier asks for a longer one."""
SUFFIX = ".tlog-proof"
"""Of a receipt's file, ``<sequence>-<digest>.tlog-proof``."""

REFUSED = "refused"
"""Folder, within a verifier's, of receipts that do not hold; their names end so too, lest they are taken for proofs."""

_log = structlog.get_logger(__name__)


class ReceiptError(BrakelineError):
    """A verifier's receipt does not prove what it should (code ``receipt-*``, or those of the ledger)."""


class _Open(Exception):
    """Something is still pending or not yet taken: ask again after a pause."""


class Sender:
    """Delivers the outbox to one verifier, for as long as it runs."""

    def __init__(
        self,
        verifier: VerifierTerms,
        channel: grpc.aio.Channel,
        journal: Journal,
        document: TreatyDocument,
        receipts: Path,
        wait_max_s: float = WAIT_MAX_S,
        boxes: Path | None = None,
    ) -> None:
        """Prepare; *receipts*: the folder of all receipts; *wait_max_s*: the longest pause between two attempts.

        *boxes*: a folder ``<verifier>/<digest>`` of disclosures that somebody else has encrypted; None: they are made
        of what the journal holds.
        """
        self._boxes = None if boxes is None else boxes / verifier.name
        self._wait_max_s = wait_max_s
        self.verifier = verifier
        self._stub = rpc.VerifierStub(channel)
        self._journal, self._document = journal, document
        self._folder = receipts / verifier.name
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver whatever the outbox holds, now and whenever it grows; never returns, never fails."""
        while True:
            await self.drain()
            await self._wake.wait()

    async def drain(self) -> None:
        """Deliver until nothing is left that this verifier might still take."""
        async for attempt in stamina.retry_context(
            on=self._pause, attempts=None, timeout=None, wait_initial=0.1, wait_max=self._wait_max_s, wait_jitter=0.2
        ):
            with attempt:
                self._wake.clear()
                await self._round()

    def _pause(self, error: Exception) -> bool | float:
        """Decide about the next attempt: always one, when the verifier asks for it or by jittered backoff."""
        if isinstance(error, grpc.aio.AioRpcError):
            _log.info("verifier-call-failed", verifier=self.verifier.name, reason=wire.reason(error))
            asked = wire.retry_after_s(error)
            return True if asked is None else asked
        if isinstance(error, BrakelineError):
            _log.warning("verifier-answer-not-believed", verifier=self.verifier.name, **error.as_dict())
            return True
        return isinstance(error, _Open)

    async def _round(self) -> None:
        items = self._journal.undelivered(self.verifier.name)
        fresh = [item for item in items if item.state is Delivery.OPEN]
        waiting = len(items) - len(fresh)
        for batch in _batches(fresh, self._more):
            boxes = [self._box(item.digest) for item in batch]
            request = wire.to_batch((Envelope.from_body(item.body) for item in batch), boxes)
            response = await self._stub.SubmitBatch(request, timeout=CALL_S)
            waiting += self._settle(zip(batch, wire.from_batch(response, len(batch)), strict=True))
            for place, why in wire.undisclosed(response):
                _log.error("disclosure-refused", verifier=self.verifier.name, digest=batch[place].digest, why=why)
        for item in items:
            if item.state is Delivery.PENDING:
                request_one = wire.to_receipt_request(item.digest, item.author, item.sequence)
                answer = await self._stub.GetReceipt(request_one, timeout=CALL_S)
                waiting -= 1 - self._settle([(item, wire.from_receipt_response(answer))])
        if waiting:
            raise _Open
        if len(items) == MAX_ITEMS:
            self._wake.set()

    def _more(self, item: Outgoing) -> int:
        """Return how many bytes travel beside an envelope."""
        if self._boxes is not None:
            return 200 + len(self._box(item.digest))
        return 200 + (len(self._journal.disclosure(item.digest)) if self.verifier.disclosure_key else 0)

    def _box(self, digest: str) -> bytes:
        """Return what opens the statement *digest*, sealed to this verifier; empty where there is nothing to tell."""
        if self._boxes is not None:
            path = self._boxes / digest
            return path.read_bytes() if path.exists() else b""
        return seal_to(self.verifier, self._journal.disclosure(digest))

    def _settle(self, results: Iterable[tuple[Outgoing, wire.Result]]) -> int:
        """Keep what the verifier said; return how many are still to come.

        Raises:
            BrakelineError: a receipt that does not hold; what was settled before it is kept.
        """
        notes: list[tuple[int, Delivery, str]] = []
        still = 0
        try:
            for item, result in results:
                match result:
                    case wire.GotReceipt():
                        notes.append((item.id, Delivery.RECEIVED, self._keep(item, result.data)))
                    case wire.GotPending():
                        notes.append((item.id, Delivery.PENDING, ""))
                        still += 1
                    case wire.GotProblem(final=True):
                        _log.error(
                            "statement-refused", verifier=self.verifier.name, digest=item.digest, why=result.text
                        )
                        notes.append((item.id, Delivery.REFUSED, result.text))
                    case wire.GotProblem():
                        notes.append((item.id, Delivery.OPEN, result.text))
                        still += 1
        finally:
            self._journal.delivered(self.verifier.name, notes)
        return still

    def _keep(self, item: Outgoing, data: bytes) -> str:
        try:
            return keep_receipt(self._folder.parent, self.verifier, item, data, self._document)
        except BrakelineError:
            _write(self._folder / REFUSED, f"{_file_name(item)}.{REFUSED}", data)
            raise


def seal_to(verifier: VerifierTerms, disclosure: bytes) -> bytes:
    """Return *disclosure* encrypted to the key of *verifier*; empty where there is nothing to tell, or no key."""
    key = verifier.disclosure_key
    return b"" if not disclosure or key is None else SealedBox(PublicKey(base64.b64decode(key))).encrypt(disclosure)


def keep_receipt(receipts: Path, verifier: VerifierTerms, item: Outgoing, data: bytes, document: TreatyDocument) -> str:
    """Verify a receipt and keep it below *receipts*, whole or not at all; return its path relative to that folder.

    Raises:
        ReceiptError, LedgerError: as :func:`check_receipt`; nothing is kept.
    """
    check_receipt(data, item.digest, verifier, document)
    name = _file_name(item)
    _write(receipts / verifier.name, name, data)
    return f"{verifier.name}/{name}"


def _file_name(item: Outgoing) -> str:
    return f"{item.sequence if item.sequence >= 0 else item.name}-{item.digest}{SUFFIX}"


def _write(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.part"
    with temporary.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    temporary.rename(folder / name)


def check_receipt(data: bytes, digest: str, verifier: VerifierTerms, document: TreatyDocument) -> None:
    """Verify that *data* proves the statement *digest* to stand in the log of *verifier*, under the treaty's policy.

    Raises:
        ReceiptError: ``receipt-other`` (it proves another entry).
        LedgerError: those of :func:`brakeline.ledger.proof.verify_receipt`.
    """
    entry = verify_receipt(data, verifier.log_key, document.witness_policy(verifier.origin)).entry
    found = Envelope.from_body(entry.body).digest if entry.kind in (Kind.TREATY, Kind.STATEMENT) else str(entry.kind)
    if found != digest:
        raise ReceiptError(
            code="receipt-other",
            message=f"{verifier.name} sent a receipt for something else",
            expected=digest,
            found=found,
            fix="keep the file: together with the statement it is evidence of this verifier's conduct",
        )


def _batches(items: list[Outgoing], more: Callable[[Outgoing], int]) -> Iterator[list[Outgoing]]:
    batch: list[Outgoing] = []
    size = 0
    for item in items:
        takes = len(item.body) + more(item)
        if batch and (len(batch) == MAX_ITEMS or size + takes > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += takes
    if batch:
        yield batch
