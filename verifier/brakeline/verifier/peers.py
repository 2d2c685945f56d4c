"""The other verifiers' logs: mirror their tiles, verify them, take over the statements this log lacks.

Each peer is polled on its own. What a round found and stored in full (tiles, bundles, checkpoint) is what the next
heartbeat embeds: by that this verifier stakes its name on having read it. Treaty and statement entries then go through
the same admission as a client's, with the peer's origin and index as source. A statement that is *not yet* admissible
(future-dated, say) is kept in mind by its index and tried again each round; one that is *refused* should not stand in
an honest log, and is counted.

Order between logs does not matter; order within an author's chain comes with the peer's own order.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
from brakeline.ledger.entry import Entry, Kind, peer_source
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.policy import Policy
from brakeline.ledger.vkey import VKey
from brakeline.treaty.admission import NotYet, Refused
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.logbody import Mirrored
from brakeline.verifier.errors import CallError
from brakeline.verifier.intake import Held, Outcome, Submission
from brakeline.verifier.metrics import Metrics
from brakeline.verifier.mirrors import MirrorCopy

log = structlog.get_logger(__name__)

_T = TypeVar("_T")
_BATCH = 256
_MOST_WAITING = 4_096
_BACKOFF_MOST = 5.0

Submit = Callable[[Sequence[Submission]], Awaitable[list[Outcome]]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another verifier's log: its address, where its mirror stands here, its key, and the policy on its checkpoints."""

    origin: str
    url: str
    directory: Path
    log_key: VKey
    policy: Policy


class Peers:
    """Follows all peers; one task each."""

    def __init__(self, peers: Iterable[Peer], *, submit: Submit, poll_s: float, metrics: Metrics) -> None:
        """Take statements over through *submit*, looking at each peer every *poll_s* seconds."""
        held = list(peers)
        self._threads = ThreadPoolExecutor(max(1, len(held)), "mirror")
        self._followers = [_Follower(peer, submit, metrics, self._threads) for peer in held]
        self._poll_s = poll_s

    def mirrored(self) -> tuple[Mirrored, ...]:
        """Return, sorted by origin, each peer's newest checkpoint whose log is stored here in full."""
        held = [
            Mirrored(origin=follower.peer.origin, checkpoint=follower.checkpoint)
            for follower in self._followers
            if follower.checkpoint
        ]
        return tuple(sorted(held, key=lambda item: item.origin))

    def runs(self) -> list[Coroutine[None, None, None]]:
        """Return the coroutines that follow the peers until cancelled."""
        return [self._run(follower) for follower in self._followers]

    def close(self) -> None:
        """Wait for looks in progress and close all connections. Blocking."""
        self._threads.shutdown(wait=True)
        for follower in self._followers:
            follower.close()

    async def _run(self, follower: _Follower) -> None:
        wait = self._poll_s
        while True:
            try:
                await follower.round()
                wait = self._poll_s
            except (BrakelineError, OSError) as error:
                follower.failed(error)
                wait = min(max(wait * 2, self._poll_s), max(_BACKOFF_MOST, self._poll_s))
            await asyncio.sleep(wait * random.uniform(0.75, 1.25))  # noqa: S311  jitter, no secret


class _Follower:
    """One peer: its mirror, how far its statements were looked at, and those to look at again."""

    def __init__(self, peer: Peer, submit: Submit, metrics: Metrics, threads: ThreadPoolExecutor) -> None:
        self.peer = peer
        self._threads = threads
        self.checkpoint = ""
        self._copy: MirrorCopy | None = None
        self._submit = submit
        self._metrics = metrics
        self._next = 0
        self._waiting: list[int] = []
        self._error = ""

    async def round(self) -> None:
        """Mirror what is new, then take over what is lacking."""
        copy = await self._thread(self._open)
        failure: BrakelineError | OSError | None = None
        try:
            await self._thread(copy.update)
            self._error = ""
        except (BrakelineError, OSError) as error:
            failure = error
        # What is held is embedded and taken over even while the peer is down.
        if copy.note:
            self.checkpoint = copy.note.decode("utf-8")
        self._metrics.mirrored.labels(self.peer.origin).set(copy.size)
        await self._take_over(copy)
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Close the connections to the peer."""
        if self._copy is not None:
            self._copy.close()

    def _open(self) -> MirrorCopy:
        if self._copy is None:
            peer = self.peer
            self._copy = MirrorCopy(peer.url, peer.directory, peer.log_key, peer.policy)
        return self._copy

    async def _thread(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def failed(self, error: BrakelineError | OSError) -> None:
        """Count a failed round; log it when it is news."""
        self._metrics.peer_failures.labels(self.peer.origin).inc()
        news = error.code if isinstance(error, CallError) else str(error)  # ours: its figures change with every look
        if news != self._error:
            self._error = news
            log.warning("peer-failed", peer=self.peer.origin, error=str(error))

    async def _take_over(self, copy: MirrorCopy) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _BATCH):
            indices = waiting[start : start + _BATCH]
            entries = [
                entry for index in indices for entry in await self._thread(partial(copy.entries, index, index + 1))
            ]
            await self._offer(entries, waiting[start:])
        while self._next < copy.size and len(self._waiting) < _MOST_WAITING:
            stop = min(self._next + _BATCH, copy.size)
            entries = await self._thread(partial(copy.entries, self._next, stop))
            await self._offer(entries, [])
            self._next = stop

    async def _offer(self, entries: Sequence[Entry], untried: Sequence[int]) -> None:
        """Submit one batch; on an error of our own log keep *untried* in mind and let the round fail."""
        submissions: list[Submission] = []
        indices: list[int] = []
        for entry in entries:
            if entry.kind not in (Kind.TREATY, Kind.STATEMENT):
                continue
            try:
                envelope = Envelope.from_body(entry.body)
            except BrakelineError as error:
                self._inadmissible(entry.index, error.code)
                continue
            submissions.append(Submission(envelope, peer_source(self.peer.origin, entry.index), from_peer=True))
            indices.append(entry.index)
        try:
            outcomes = await self._submit(submissions)
        except CallError:
            self._waiting += untried
            raise
        for index, outcome in zip(indices, outcomes, strict=True):
            match outcome:
                case Held():
                    if not outcome.known:
                        self._metrics.taken_over.labels(self.peer.origin).inc()
                case NotYet():
                    self._waiting.append(index)
                case Refused():
                    self._inadmissible(index, outcome.code)

    def _inadmissible(self, index: int, code: str) -> None:
        log.warning("peer-logged-inadmissible", peer=self.peer.origin, index=index, code=code)
