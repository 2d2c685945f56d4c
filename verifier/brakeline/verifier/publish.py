"""From a signed checkpoint to a published one: cosignatures of a quorum, each verified before it is kept.

Readers and receipts see only published checkpoints. The publisher takes the newest checkpoint the log has signed, asks
all witnesses in parallel (its own included), verifies each answer, and publishes once the treaty's witness policy is
satisfied. Below quorum it publishes nothing new and keeps trying with whatever is newest; readers then see the old
checkpoint grow stale, which is the honest picture. Every cosignature also tells a witness's time, which the
:mod:`~brakeline.verifier.clock` is shown. A fresh log asks about the empty tree for that alone: it is never published.

The outside world is :class:`WitnessClient` and :data:`Proofs`; time is the event loop's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from brakeline.ledger.checkpoint import add_signatures, open_checkpoint
from brakeline.ledger.errors import BrakelineError, LedgerError
from brakeline.ledger.note import NoteSignature
from brakeline.ledger.policy import Policy
from brakeline.ledger.vkey import VKey
from brakeline.verifier.clock import ClockGuard
from brakeline.verifier.metrics import Metrics
from brakeline.verifier.witness import TYPE_SIZE, Answer, Request, render_request

log = structlog.get_logger(__name__)

Proofs = Callable[[int, int], Awaitable[Sequence[bytes]]]
"""(old size, new size) -> consistency proof, from this log's own tree."""

_BACKOFF_FIRST = 0.2
_BACKOFF_MOST = 3.0


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint that this log has signed and persisted.

    Attributes:
        size: of the tree.
        note: signed by the log; cosigned, too, once it is published.
        newest_ms: ``received_at_ms`` of the newest entry below it, 0 for the empty tree.
    """

    size: int
    note: bytes
    newest_ms: int


class WitnessClient(Protocol):
    """A way to one witness. ``add`` raises ``OSError`` when there is no answer, and may be cancelled."""

    @property
    def key(self) -> VKey:
        """The witness's verifier key, from the treaty."""
        ...

    async def add(self, body: bytes) -> Answer:
        """Send one ``add-checkpoint`` request."""
        ...


class Publication:
    """The newest published checkpoint, and a way to wait for the next. Lives on the event loop."""

    def __init__(self) -> None:
        """Start with nothing published."""
        self.current: Signed | None = None
        self._changed = asyncio.Condition()

    @property
    def size(self) -> int:
        """Entries under the published checkpoint."""
        return 0 if self.current is None else self.current.size

    async def publish(self, signed: Signed) -> None:
        """Replace the published checkpoint by a larger (or better cosigned) one and wake who waits."""
        async with self._changed:
            if signed.size >= self.size:
                self.current = signed
            self._changed.notify_all()

    async def wait_for(self, size: int, timeout: float) -> Signed | None:
        """Return what is published once it covers *size* entries, or whatever is after *timeout* seconds."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: self.size >= size)
        except TimeoutError:
            pass
        return self.current


class Asked:
    """One witness as seen from here: the size it remembers, and whether it answered last time."""

    def __init__(self, client: WitnessClient, clock: ClockGuard, metrics: Metrics) -> None:
        """Know nothing yet of what the witness remembers."""
        self.client = client
        self._clock = clock
        self.size = 0
        self.prompt = True
        self._metrics = metrics

    async def cosign(self, signed: Signed, log_key: VKey, proofs: Proofs, timeout: float) -> NoteSignature | None:
        """Return the verified cosignature of *signed*, or None. Never raises but when cancelled."""
        name = self.client.key.name
        try:
            async with asyncio.timeout(timeout):
                found = await self._attempt(signed, log_key, proofs)
        except (OSError, TimeoutError, LedgerError) as error:
            log.info("witness-no-answer", witness=name, error=str(error) or type(error).__name__)
            found = None
        self.prompt = found is not None
        self._metrics.cosignatures.labels(name, "cosigned" if found else "failed").inc()
        return found

    async def _attempt(self, signed: Signed, log_key: VKey, proofs: Proofs) -> NoteSignature | None:
        for _ in range(2):
            if self.size > signed.size:
                break
            proof = await proofs(self.size, signed.size)
            asked = self._clock.ticks()
            answer = await self.client.add(render_request(Request(self.size, tuple(proof), signed.note)))
            answered = self._clock.ticks()
            if answer.status == 200:
                self.size = signed.size
                line, time_s = _cosignature(signed.note, answer.body, log_key, self.client.key)
                self._clock.observe(self.client.key, time_s, asked, answered)
                return line
            if answer.status != 409 or not answer.content_type.startswith(TYPE_SIZE):
                log.warning(
                    "witness-refused", witness=self.client.key.name, status=answer.status, body=answer.body[:200]
                )
                return None
            self.size = _parse_size(answer.body)
        log.error("witness-remembers-more", witness=self.client.key.name, remembered=self.size, ours=signed.size)
        self.size = 0
        return None


class Publisher:
    """Gathers cosignatures for the newest signed checkpoint and publishes it; one task runs :meth:`run`."""

    def __init__(
        self,
        *,
        log_key: VKey,
        policy: Policy,
        witnesses: Sequence[WitnessClient],
        proofs: Proofs,
        publication: Publication,
        store: Callable[[Signed], Awaitable[None]],
        clock: ClockGuard,
        metrics: Metrics,
        timeout: float,
        grace: float,
    ) -> None:
        """Publish under *policy*; *store* keeps a published note durably before it is shown; times in seconds.

        *clock* is shown the witnesses' times.
        """
        self._log_key = log_key
        self._policy = policy
        self._asked = [Asked(client, clock, metrics) for client in witnesses]
        self._proofs = proofs
        self._publication = publication
        self._store = store
        self._timeout = timeout
        self._grace = grace
        self._newest: Signed | None = None
        self._offered = asyncio.Event()

    def offer(self, signed: Signed) -> None:
        """Take a newly signed checkpoint; an older one still waiting is superseded."""
        if self._newest is None or signed.size >= self._newest.size:
            self._newest = signed
            self._offered.set()

    def refresh(self) -> None:
        """Have the witnesses asked again about what was offered last."""
        if self._newest is not None:
            self._offered.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        wait = _BACKOFF_FIRST
        while True:
            await self._offered.wait()
            self._offered.clear()
            signed = self._newest
            if signed is None:
                continue
            if await self._round(signed):
                wait = _BACKOFF_FIRST
                continue
            log.warning("below-quorum", size=signed.size, published=self._publication.size)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  jitter, no secret
            wait = min(wait * 2, _BACKOFF_MOST)
            self._offered.set()

    async def _round(self, signed: Signed) -> bool:
        """Ask every witness once; publish and return True when the policy is satisfied."""
        tasks = {
            asyncio.create_task(a.cosign(signed, self._log_key, self._proofs, self._timeout)): a for a in self._asked
        }
        gathered: list[tuple[VKey, NoteSignature]] = []
        waiting = set(tasks)
        deadline: float | None = None
        loop = asyncio.get_running_loop()
        try:
            while waiting:
                left = None if deadline is None else max(0.0, deadline - loop.time())
                done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                gathered += [(tasks[t].client.key, s) for t in done if (s := t.result()) is not None]
                if deadline is None and self._policy.satisfied([key for key, _ in gathered]):
                    deadline = loop.time() + self._grace
                late = deadline is not None and loop.time() >= deadline
                if deadline is not None and (late or not any(tasks[t].prompt for t in waiting)):
                    break
        finally:
            await _stop(waiting, tasks)
        if deadline is None:
            return False
        if not signed.size:
            return True
        note = add_signatures(signed.note, [signature for _, signature in gathered])
        published = Signed(signed.size, note, signed.newest_ms)
        try:
            await self._store(published)
        except BrakelineError as error:
            log.error("published-not-stored", error=str(error))
            return False
        await self._publication.publish(published)
        return True


async def _stop(
    waiting: set[asyncio.Task[NoteSignature | None]], tasks: dict[asyncio.Task[NoteSignature | None], Asked]
) -> None:
    for task in waiting:
        tasks[task].prompt = False
        task.cancel()
    if waiting:
        await asyncio.wait(waiting)


def _cosignature(note: bytes, answer: bytes, log_key: VKey, witness: VKey) -> tuple[NoteSignature, int]:
    """Return the witness's verified cosignature in *answer* and its time (s); lines of unknown keys are ignored."""
    opened = open_checkpoint(note + answer, log_key, [witness])
    if not opened.cosignatures.get(witness):  # nor may its time be zero
        raise OSError("a witness answered 200 without a dated cosignature of its own")
    lines = (line for line in opened.note.signatures if (line.name, line.id) == (witness.name, witness.id))
    return max(lines, key=lambda line: line.signature[:8]), opened.cosignatures[witness]


def _parse_size(body: bytes) -> int:
    text = body.removesuffix(b"\n")
    if not text.isdigit() or len(text) > 19 or (text[0:1] == b"0" and text != b"0"):
        raise OSError(f"a witness answered 409 with a body that is no size: {body[:40]!r}")
    return int(text)
