"""Weeks of outages in a virtual time: the node's own senders, outbox and journal, against logs kept in memory.

Time is the event loop's: :class:`VirtualTime` never waits, it goes to the next instant at which something is due. The
network is the seam that a sender takes, a channel: :class:`Line` brings a request to :class:`SimVerifier`, whose log is
real (admission, entries, tree, checkpoints that the cast's witnesses cosign), and whose conduct is scripted.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import grpc
from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from brakeline.ledger.entry import Entry, Kind, first_previous
from brakeline.ledger.merkle import Frontier, inclusion_proof
from brakeline.ledger.proof import Receipt
from brakeline.node import wire
from brakeline.treaty.admission import Admitted, NotYet, admit
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.register import Register
from brakeline.v1 import verifier_pb2 as pb

from tests.support import cast as people

_T = TypeVar("_T")
SLOW_S = 15.0
"""How long a slow verifier takes for a call: longer than any caller waits."""


class _NoWait(selectors.SelectSelector):
    """Looks whether anything has happened, and lets the clock jump to the next timer when nothing has."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            raise RuntimeError("nothing will ever happen: every task waits for another")
        if not found and timeout is not None and timeout > 0:
            self.now += timeout
        return found


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop whose clock is the timers'."""

    def __init__(self, start_ms: int) -> None:
        self._jumping = _NoWait()
        super().__init__(self._jumping)
        self._start_ms = start_ms

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._jumping.now

    def now_ms(self) -> int:
        """Unix ms."""
        return self._start_ms + round(self._jumping.now * 1000)


def run(loop: VirtualTime, work: Coroutine[Any, Any, _T]) -> _T:
    """Run *work* to its end in virtual time."""
    try:
        return loop.run_until_complete(work)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _failed(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="scripted")


LIES = ("other", "forged", "unseen", "garbage")
"""Receipts of another statement; with a root that the log's key did not sign; seen by no witness; no receipt at all."""


@dataclass
class SimVerifier:
    """A verifier's log in memory. ``conduct``: up, down, slow, or one of :data:`LIES`."""

    name: str
    document: TreatyDocument
    now_ms: Callable[[], int]
    conduct: Callable[[], str]
    entries: list[Entry] = field(default_factory=list[Entry])
    calls: int = 0
    largest: int = 0

    def __post_init__(self) -> None:
        self.register, self._frontier = Register(self.document), Frontier()
        self._hashes: dict[tuple[int, int], bytes] = {}
        self._index: dict[str, int] = {}

    async def answer(self, method: str, request: Any, timeout: float) -> object:
        """Answer a call, or fail as the network would."""
        self.calls += 1
        self.largest = max(self.largest, request.ByteSize())
        if self.conduct() == "down":
            await asyncio.sleep(0.05)
            raise _failed(grpc.StatusCode.UNAVAILABLE)
        answer = self._submit(request) if method == "SubmitBatch" else self._receipt_again(request)
        if self.conduct() == "slow":  # the work is done, and nobody waits for it
            await asyncio.sleep(min(timeout, SLOW_S))
            if timeout < SLOW_S:
                raise _failed(grpc.StatusCode.DEADLINE_EXCEEDED)
        return answer

    def _submit(self, request: pb.SubmitBatchRequest) -> pb.SubmitBatchResponse:
        results: list[pb.SubmitResult | str] = []
        for item in request.attestations:
            envelope = wire.from_attestation(item)
            outcome = admit(self.register, envelope, now_ms=self.now_ms())
            if isinstance(outcome, Admitted):
                if not outcome.known:
                    self._append(envelope.to_body(), outcome)
                results.append(envelope.digest)
            else:
                problem = pb.Problem(code=str(outcome.code), message=outcome.message)
                later = isinstance(outcome, NotYet)
                results.append(pb.SubmitResult(not_yet=problem) if later else pb.SubmitResult(refused=problem))
        note = self._note()
        return pb.SubmitBatchResponse(
            results=[
                r if isinstance(r, pb.SubmitResult) else pb.SubmitResult(receipt=self._receipt(r, note))
                for r in results
            ]
        )

    def _receipt_again(self, request: pb.GetReceiptRequest) -> pb.GetReceiptResponse:
        return pb.GetReceiptResponse(receipt=self._receipt(request.digest, self._note()))

    def _append(self, body: bytes, outcome: Admitted) -> None:
        previous = self.entries[-1].digest if self.entries else first_previous(self.name)
        entry = Entry(len(self.entries), previous, self.now_ms(), Kind.STATEMENT, b"client", body)
        self.register.record(outcome.statement, entry.index)
        self._index[outcome.statement.digest] = entry.index
        self.entries.append(entry)
        for level, index, value in self._frontier.append(entry.leaf_hash):
            self._hashes[level, index] = value

    def _note(self) -> bytes:
        root = bytes(32) if self.conduct() == "forged" else self._frontier.root()
        checkpoint = Checkpoint(self.name, len(self.entries), root)
        note = sign_checkpoint(checkpoint, people.vkey(self.name, "log"), people.signer(self.name, "log"))
        if self.conduct() == "unseen":
            return note
        who = [(people.vkey(name, "witness"), people.signer(name, "witness")) for name in people.VERIFIERS]
        return add_signatures(note, [cosign(note, key, signer, self.now_ms() // 1000) for key, signer in who])

    def _receipt(self, digest: str, note: bytes) -> bytes:
        if self.conduct() == "garbage":
            return b"thank you\n"
        index = 0 if self.conduct() == "other" else self._index[digest]
        proof = inclusion_proof(index, len(self.entries), lambda level, at: self._hashes[level, at])
        return Receipt(index, self.entries[index].encode(), tuple(proof), note).render()


class Line:
    """The part of a channel that a generated stub uses."""

    def __init__(self, verifier: SimVerifier) -> None:
        self._verifier = verifier

    def unary_unary(self, path: str, *_: object, **__: object) -> Callable[..., Coroutine[Any, Any, object]]:
        """Return a call by its path."""

        async def call(request: object, timeout: float) -> object:
            return await self._verifier.answer(path.rsplit("/", 1)[1], request, timeout)

        return call

    def unary_stream(self, *_: object, **__: object) -> None:
        """Return nothing: no stream is opened here."""

    def channel(self) -> grpc.aio.Channel:
        """Return itself, as a sender takes it."""
        return cast("grpc.aio.Channel", self)


@dataclass(frozen=True)
class Spell:
    """From one day to another (fractions of a day since the beginning), these verifiers behave like this."""

    begin: float
    end: float
    conduct: Mapping[int, str]


def scripted(spells: tuple[Spell, ...], number: int, elapsed_s: Callable[[], float]) -> Callable[[], str]:
    """Return the conduct of verifier *number* as a function of nothing: the clock says which spell it is."""

    def conduct() -> str:
        day = elapsed_s() / 86_400
        now = next((s for s in spells if s.begin <= day < s.end and number in s.conduct), None)
        return "up" if now is None else now.conduct[number]

    return conduct
