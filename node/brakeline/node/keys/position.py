"""May this node sign? A node restored from an old image must not; this module finds out before the first signature.

*In doubt* is a position that the record of what was signed last (:mod:`brakeline.node.keys.guard`) does not bear out:
there is no record, it is older than the journal, or the configuration asks for doubt at every start. Then all verifiers
are asked which statements of this site end its chain in their logs (``GetStatus``), and nothing is signed until every
one of them has answered, and none has named a statement that the journal does not hold. One that lags behind is no
contradiction. One that lies can keep a node in doubt and no more: the way out is another key (``brakeline node
takeover``), as it is when the record is *ahead* of the journal, which nothing else explains than a restored image.

A node in doubt meters, keeps what it meters, and passes orders on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import grpc
import structlog
from brakeline.ledger.errors import BrakelineError
from brakeline.node import wire
from brakeline.node.journal import Journal
from brakeline.node.keys.guard import FRESH, Guard, LastSigned
from brakeline.node.site import Site
from brakeline.treaty.terms import VerifierTerms
from brakeline.v1 import verifier_pb2_grpc as rpc

AWAITING = "awaiting-enrolment"
"""A key waits for its enrolment: ``brakeline node key install``."""
UNRECORDED, OLD, ASKED = "position-unrecorded", "position-record-old", "position-asked"
"""No record; a record that is older than the journal; doubt by configuration: the verifiers can settle these."""
BEHIND = "position-behind"
"""The record is ahead of the journal: no answer helps, the key must be replaced."""
_SETTLED_BY_ASKING = frozenset({UNRECORDED, OLD, ASKED})
_ASK_S, _AGAIN_S = 5.0, 1.0
_log = structlog.get_logger(__name__)


def signed_up_to(journal: Journal) -> LastSigned:
    """Return the newest statement of the chain that was signed and put into the outbox."""
    unsigned = journal.unsigned()
    sequence = unsigned[0].sequence if unsigned else journal.head()[0]
    return LastSigned(sequence - 1, journal.digest_at(sequence - 1)) if sequence else FRESH


def doubt(journal: Journal, guard: Guard | None, keyid: str, *, always: bool = False) -> str:
    """Return why the key *keyid* may not sign where *journal* stands, empty where it may (``guard-damaged``)."""
    if journal.recall(AWAITING) is not None:
        return AWAITING
    last = None if guard is None else guard.last(keyid)
    if last is None:
        return UNRECORDED
    if last != FRESH and journal.digest_at(last.sequence) != last.digest:
        return BEHIND
    if last.sequence < signed_up_to(journal).sequence:
        return OLD
    return ASKED if always else ""


class Inquiry:
    """Asks all verifiers about one site's position, and lets it sign when they have answered alike."""

    def __init__(self, site: Site, moved: Callable[[], None]) -> None:
        """Nothing is asked where the site's position is not in doubt; *moved* is called when it may sign."""
        self._site, self._moved = site, moved
        self._missing = {verifier.name for verifier in site.document.verifiers}

    @property
    def open(self) -> bool:
        """Whether the verifiers' answers are awaited."""
        return self._site.held in _SETTLED_BY_ASKING

    def answer(self, verifier: str, heads: Iterable[tuple[int, str]]) -> None:
        """Take what a verifier's log ends the site's chain with: (sequence, digest) of each leaf.

        Raises:
            GuardError: ``guard-*``: the record cannot be brought up to date.
        """
        if not self.open:
            return
        journal = self._site.journal
        unknown = [head for head in heads if journal.digest_at(head[0]) != head[1]]
        if unknown:
            self._missing.add(verifier)
            sequence, digest = max(unknown)
            _log.error(
                BEHIND,
                verifier=verifier,
                sequence=sequence,
                digest=digest,
                journal=journal.head()[0] - 1,
                fix="this node's journal is old, or the verifier lies; replace the key: brakeline node takeover",
            )
            return
        self._missing.discard(verifier)
        _log.info("position-confirmed-by", verifier=verifier, missing=sorted(self._missing))
        if not self._missing:
            self._site.release()
            _log.info("position-confirmed", sequence=signed_up_to(journal).sequence)
            self._moved()


class PositionAsker:
    """Asks one verifier until the site may sign."""

    def __init__(self, verifier: VerifierTerms, channel: grpc.aio.Channel, inquiry: Inquiry, site: str) -> None:
        """Bring what it answers about *site* to *inquiry*."""
        self._verifier, self._inquiry, self._site = verifier, inquiry, site
        self._stub = rpc.VerifierStub(channel)

    async def run(self) -> None:
        """Ask now and then; returns when nothing is in doubt any more."""
        while self._inquiry.open:
            try:
                response = await self._stub.GetStatus(wire.to_status(self._site), timeout=_ASK_S)
                heads = wire.from_heads(response, self._verifier.origin, self._site)
            except grpc.aio.AioRpcError as error:
                _log.info("verifier-call-failed", verifier=self._verifier.name, reason=wire.reason(error))
            except BrakelineError as error:
                _log.warning("verifier-answer-not-believed", verifier=self._verifier.name, **error.as_dict())
            else:
                self._inquiry.answer(self._verifier.name, heads)
            await asyncio.sleep(_AGAIN_S)
