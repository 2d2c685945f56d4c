"""The one writer: gathers batches, commits them as a group, beats the heart, hands signed checkpoints on.

One asyncio task decides *when* to commit; one thread does it (admission, judging, full sync, read-back, signature), so
that the event loop keeps answering while the disk works. Nothing else writes. Time enters twice, and both are seams:
the event loop's clock spaces commits, ``now_ms`` (inside :class:`~brakeline.verifier.state.LogState`) stamps entries.

A commit that fails acknowledges nothing: every batch in it is answered UNAVAILABLE, the state is reloaded from the log
before the next write, and the writer tries again. Where it fails by a mistake of this program, which some statement
brings out, every statement of it is committed by itself: the one that does it is refused, also when it comes again, and
keeps nobody else waiting; no log holds what no verifier can judge. Where no statement is to blame, the writer ends.
While the clock is outside the bracket of its witnesses (:mod:`~brakeline.verifier.clock`) nothing is committed,
heartbeats neither, and every batch is answered UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol, TypeAlias, TypeVar

import structlog
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.logbody import Heartbeat
from brakeline.verifier.errors import CallError, Status
from brakeline.verifier.intake import Outcome, Submission
from brakeline.verifier.metrics import Metrics
from brakeline.verifier.publish import Signed

log = structlog.get_logger(__name__)

_T = TypeVar("_T")
_RETRY_FIRST = 0.2
_RETRY_MOST = 5.0
_CLOCK_POLL = 0.1
_LEAVING = "this verifier is shutting down"


Announced: TypeAlias = Envelope | bytes
"""What ``Watch`` streams: an order or a treaty version, or the body of a challenge."""
MOST_BREAKING = 256
"""Envelopes, at most 64 KiB each, remembered because a commit of them alone broke."""
RECENT_CHALLENGES = 16_384
"""Challenges that a watcher who was away can still be told; what is older it reads from the log."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What one group commit did: outcomes by batch, the signed checkpoint, and what ``Watch`` streams of it."""

    outcomes: list[list[Outcome]]
    signed: Signed
    announced: list[tuple[int, Announced]]
    findings: int


class Commits(Protocol):
    """What the writer writes through. Blocking; called from one thread only."""

    def commit(self, batches: Sequence[Sequence[Submission]], heartbeat: Heartbeat | None) -> Committed:
        """Admit, append durably, judge when a heartbeat is due, sign. All or nothing."""
        ...

    def restore(self) -> None:
        """Bring back what the log holds, after a commit that failed."""
        ...


@dataclass(slots=True)
class _Job:
    submissions: Sequence[Submission]
    done: asyncio.Future[list[Outcome]]


class Feed:
    """Orders and treaty versions of this log, its newest challenges, and a way to wait for more."""

    def __init__(self, items: Sequence[tuple[int, Announced]] = ()) -> None:
        """Start with what the log holds, in order of index."""
        self._lasting: list[tuple[int, Announced]] = []
        self._passing: deque[tuple[int, Announced]] = deque(maxlen=RECENT_CHALLENGES)
        self._next = 0
        self._take(items)
        self._ended = False
        self._changed = asyncio.Condition()

    def _take(self, items: Sequence[tuple[int, Announced]]) -> None:
        for index, item in items:
            (self._passing if isinstance(item, bytes) else self._lasting).append((index, item))
            self._next = index + 1

    async def extend(self, items: Sequence[tuple[int, Announced]]) -> None:
        """Append, and wake every stream."""
        if items:
            async with self._changed:
                self._take(items)
                self._changed.notify_all()

    async def end(self) -> None:
        """Say that nothing more will come: whoever waits, or asks from now on, is told so."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def since(self, first: int) -> Sequence[tuple[int, Announced]]:
        """Return the items from log index *first* on, in order; waits until there is one.

        Raises:
            CallError: ``not-serving`` (UNAVAILABLE): this verifier is shutting down.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self._next > first)
            if self._ended:
                raise _unavailable("not-serving", _LEAVING, "")
            lasting = self._lasting[bisect_left(self._lasting, first, key=itemgetter(0)) :]
            passing = [item for item in self._passing if item[0] >= first]
            return sorted([*lasting, *passing], key=itemgetter(0))


class Writer:
    """The writer task and the thread it writes with."""

    def __init__(
        self,
        commits: Commits,
        *,
        heartbeat: Callable[[], Heartbeat],
        heartbeat_s: Callable[[], float],
        gather_s: float,
        most: int,
        on_commit: Callable[[Committed], None],
        trouble: Callable[[], CallError | None],
        feed: Feed,
        metrics: Metrics,
    ) -> None:
        """Write through *commits*; times in seconds.

        *heartbeat* returns the body of the next one, *heartbeat_s* how long after it another is due; *trouble* says why
        nothing may be dated now.
        """
        self._commits = commits
        self._heartbeat = heartbeat
        self._heartbeat_s = heartbeat_s
        self._gather_s = gather_s
        self._most = most
        self._on_commit = on_commit
        self._trouble = trouble
        self._feed = feed
        self._metrics = metrics
        self._jobs: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "writer")
        self._running = False
        self._breaking: OrderedDict[bytes, None] = OrderedDict()

    async def submit(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Return one outcome per submission, once all that was admitted is durable.

        Raises:
            CallError: ``not-serving`` before the log may be signed, ``clock-*`` while its clock is wrong,
                ``commit-failed``, ``commit-broke`` (all UNAVAILABLE).
        """
        if not self._running:
            raise _unavailable("not-serving", "this verifier does not sign its log yet (or no more)", "")
        if (trouble := self._trouble()) is not None:
            raise trouble
        if self._breaking and any(item.envelope.to_body() in self._breaking for item in submissions):
            raise _broke()
        if not submissions:
            return []
        job = _Job(submissions, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._arrived.set()
        return await job.done

    async def read(self, function: Callable[[], _T]) -> _T:
        """Run *function* in the writer's thread, where it sees no half-done commit."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def run(self) -> None:
        """Write until cancelled; then finish what is gathered, and refuse the rest."""
        loop = asyncio.get_running_loop()
        beat_at = loop.time()
        retry = _RETRY_FIRST
        self._running = True
        try:
            while True:
                await self._wait(beat_at - loop.time())
                beat = loop.time() >= beat_at
                jobs = self._take()
                if not jobs and not beat:
                    continue
                if (trouble := self._trouble()) is not None:
                    self._refuse(jobs, trouble)
                    await asyncio.sleep(_CLOCK_POLL)
                    continue
                if await self._commit(jobs, self._heartbeat() if beat else None):
                    beat_at = loop.time() + self._heartbeat_s() if beat else beat_at
                    retry = _RETRY_FIRST
                else:
                    await asyncio.sleep(retry)
                    retry = min(retry * 2, _RETRY_MOST)
        finally:
            self._running = False
            self._refuse(list(self._jobs), _unavailable("not-serving", _LEAVING, ""))
            self._jobs.clear()

    def close(self) -> None:
        """Wait for a commit in progress and end the thread."""
        self._thread.shutdown(wait=True)

    async def _wait(self, until_beat: float) -> None:
        """Wait for a batch (and then a little longer for others), or for the heartbeat."""
        if not self._jobs:
            self._arrived.clear()
            try:
                async with asyncio.timeout(max(0.0, until_beat)):
                    await self._arrived.wait()
            except TimeoutError:
                return
        if self._waiting() < self._most:
            await asyncio.sleep(self._gather_s)

    def _waiting(self) -> int:
        return sum(len(job.submissions) for job in self._jobs)

    def _take(self) -> list[_Job]:
        taken: list[_Job] = []
        count = 0
        while self._jobs and (not taken or count + len(self._jobs[0].submissions) <= self._most):
            job = self._jobs.popleft()
            count += len(job.submissions)
            taken.append(job)
        return taken

    async def _commit(self, jobs: list[_Job], heartbeat: Heartbeat | None) -> bool:
        loop = asyncio.get_running_loop()
        started = loop.time()
        batches = [job.submissions for job in jobs]
        work = loop.run_in_executor(self._thread, self._commits.commit, batches, heartbeat)
        try:
            committed = await asyncio.shield(work)
        except asyncio.CancelledError:
            await self._finish_cancelled(jobs, work)
            raise
        except CallError as error:  # the clock, which jumped after it was looked at: nothing was done
            self._refuse(jobs, error)
            return False
        except BrakelineError as error:
            self._failed(jobs, error)
            return False
        except Exception:
            log.exception("commit-broke", statements=sum(map(len, batches)), fix="report this: it is our mistake")
            self._metrics.commit_failures.inc()
            if not jobs:
                raise  # no statement is to blame: what cannot judge its own log must not go on
            await self._apart(jobs, alone=heartbeat is None and sum(map(len, batches)) == 1)
            return False
        finally:
            if work.done() and work.exception() is not None:
                self._refuse(jobs, _unavailable("commit-failed", "the log could not be written", ""))
        self._metrics.commits.observe(loop.time() - started)
        await self._answer(jobs, committed)
        return True

    async def _apart(self, jobs: list[_Job], *, alone: bool) -> None:
        """Commit what is in *jobs* statement by statement; one that was *alone* is refused from now on.

        It is to blame only where the log can still be read without it.
        """
        if alone:
            await self.read(self._commits.restore)
            # whole, signatures too: nobody keeps another's statement out by wrapping it so that it breaks something
            self._breaking[jobs[0].submissions[0].envelope.to_body()] = None
            while len(self._breaking) > MOST_BREAKING:
                self._breaking.popitem(last=False)
            self._refuse(jobs, _broke())
            return
        loop = asyncio.get_running_loop()
        for job in jobs:
            parts = [_Job([item], loop.create_future()) for item in job.submissions]
            for part in parts:
                await self._commit([part], None)
            answers = await asyncio.gather(*(part.done for part in parts), return_exceptions=True)
            errors = [item for item in answers if isinstance(item, BaseException)]
            if job.done.done():  # whoever asked has gone
                continue
            if errors:
                job.done.set_exception(errors[0])
            else:
                job.done.set_result([outcome for part in parts for outcome in part.done.result()])

    async def _finish_cancelled(self, jobs: list[_Job], work: asyncio.Future[Committed]) -> None:
        """SIGTERM in the middle of a commit: let it end, answer who waits for it."""
        try:
            await self._answer(jobs, await work)
        except CallError as error:
            self._refuse(jobs, error)
        except BrakelineError as error:
            self._failed(jobs, error)

    async def _answer(self, jobs: list[_Job], committed: Committed) -> None:
        self._metrics.entries.set(committed.signed.size)
        self._metrics.findings.inc(committed.findings)
        self._on_commit(committed)
        for job, outcomes in zip(jobs, committed.outcomes, strict=True):
            if not job.done.done():
                job.done.set_result(outcomes)
        await self._feed.extend(committed.announced)

    def _failed(self, jobs: list[_Job], error: BrakelineError) -> None:
        log.error("commit-failed", code=error.code, error=str(error))
        self._metrics.commit_failures.inc()
        self._refuse(
            jobs, _unavailable("commit-failed", "the log could not be written; nothing was acknowledged", error.code)
        )

    def _refuse(self, jobs: Sequence[_Job], error: CallError) -> None:
        for job in jobs:
            if not job.done.done():
                job.done.set_exception(error)


def _broke() -> CallError:
    return CallError(
        Status.UNAVAILABLE,
        code="commit-broke",
        message="this verifier cannot take in one of these statements, by a mistake of its own",
        expected="statements that it can judge",
        fix="send the others without it; report this to the verifier's operator, whose log says more",
        retry_after_ms=60_000,
    )


def _unavailable(code: str, message: str, found: str) -> CallError:
    return CallError(
        Status.UNAVAILABLE,
        code=code,
        message=message,
        expected="a log that takes entries",
        found=found,
        fix="retry with jittered backoff; submit to the other verifiers meanwhile",
        retry_after_ms=1_000,
    )
