"""This verifier's clock, held against its witnesses': may it date an entry now?

What it is: the test behind "a verifier whose clock leaves the bracket stops appending" (docs/spec/rules.md,
``backdating``). What it is not: a way to set the clock (that is NTP's), or to learn the true time.

*What is compared.* A witness dates every cosignature it gives by its own clock, in whole seconds, and signs the date.
Between the asking and the answer our monotonic clock ran from ``asked`` to ``answered``; so the witness's clock minus
our monotonic clock was then between ``1000 c - answered`` and ``1000 c + 1000 - asked``. A slow witness only widens its
own interval. Between two answers the monotonic clock carries it on, its rate trusted to one part in a thousand, so that
a wall clock that jumps is seen at once, before anything is dated by it. Our own witness has our own clock and does not
count.

*Which of the n - 1 times decides.* f witnesses may lie, and any may be silent. No average is safe, and neither is the
median: with f peers down, the f liars are half of those who answered. What is safe, however many answer, is the
(f + 1)-th from either end. The clock is called *behind* when even the (f + 1)-th latest of the peers' clocks is, at its
earliest, ahead of us by more than the skew; *ahead* when even the (f + 1)-th earliest is, at its latest, behind us by
more than that. Either way f + 1 peers say so, one of them honest: the treaty says that honest clocks are not further
apart than the skew, so the fault is here. f liars cannot stop an honest verifier; f + 1 of them are more than the
treaty allows. And it is the statistic that an audit uses (:mod:`brakeline.treaty.bracket`): whoever would be accused by
the cosignatures that just came in stops before it embeds them in a heartbeat.

*What is held against them* is not the wall clock but the instant that the next entry would get, which is never before
the last one's. A log that was dated ahead therefore waits until time has caught up with it.

Fewer than f + 1 peers known prove nothing. After a start nothing is dated until so many are known: a machine whose
clock is wrong after a reboot is the likeliest case of all. Later, silence of the peers lets the intervals widen until
they exclude nothing, and does not stop a verifier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import structlog
from brakeline.ledger.vkey import VKey
from brakeline.treaty.bracket import bracket
from brakeline.verifier.errors import CallError, Status
from brakeline.verifier.metrics import Metrics

log = structlog.get_logger(__name__)

_DRIFT = 1_000
"""One millisecond of doubt for so many since a witness answered: NTP turns a clock by at most half of that."""
_RETRY_MS = 2_000
_POLL = 0.05


class Reading(NamedTuple):
    """A witness's clock minus our monotonic clock, at its least and at its most (ms), when that clock stood at *at*."""

    least: int
    most: int
    at: int


class ClockGuard:
    """Whether entries may be dated now. :meth:`observe` on the event loop, the rest from any thread."""

    def __init__(
        self,
        *,
        peers: Sequence[VKey],
        liars: int,
        skew_ms: int,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        """Compare with the witnesses *peers* (not our own), *liars* of whom may lie.

        Args:
            peers: witness keys of the other verifiers.
            liars: the treaty's f.
            skew_ms: how far apart the treaty lets honest clocks be.
            now_ms: the wall clock, Unix ms.
            monotonic: seconds that never go back.
            metrics: where it is shown.
        """
        self._names = {key: key.name for key in peers}
        self._liars = liars
        self._skew_ms = skew_ms
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._metrics = metrics
        self._readings: Mapping[VKey, Reading] = {}
        self._last_ms = 0

    def follow(self, *, peers: Sequence[VKey], liars: int, skew_ms: int) -> None:
        """Compare with other witnesses from now on, as at the start; what those that stay have told is kept."""
        self._names = {key: key.name for key in peers}
        self._liars, self._skew_ms = liars, skew_ms
        self._readings = {key: reading for key, reading in self._readings.items() if key in self._names}

    def ticks(self) -> int:
        """Return the monotonic clock in milliseconds: what :meth:`observe` takes."""
        return int(self._monotonic() * 1000)

    def observe(self, witness: VKey, cosigned_s: int, asked: int, answered: int) -> None:
        """Take the time of a verified cosignature, asked for and answered at these :meth:`ticks`."""
        if witness not in self._names:
            return
        reading = Reading(cosigned_s * 1000 - answered - 1, cosigned_s * 1000 + 1000 - asked, answered)
        self._readings = {**self._readings, witness: reading}  # replaced, never changed: other threads read it
        ahead = self._now_ms() - self.ticks() - (reading.least + reading.most) // 2
        self._metrics.clock_ahead.labels(self._names[witness]).set(ahead)

    @property
    def known(self) -> bool:
        """Whether enough peers have told their time to tell ours is right (always, when there are not so many)."""
        return len(self._readings) > self._liars or len(self._names) <= self._liars

    def stamp(self, last_ms: int) -> int:
        """Return the instant an entry after one of *last_ms* gets now (Unix ms).

        Raises:
            CallError: ``clock-unknown``, ``clock-behind``, ``clock-ahead`` (UNAVAILABLE): nothing may be dated now.
        """
        self._last_ms = last_ms
        instant = max(self._now_ms(), last_ms)
        error = self._judge(instant)
        if error is not None:
            raise error
        return instant

    def trouble(self) -> CallError | None:
        """Return why nothing may be dated now, or None."""
        return self._judge(max(self._now_ms(), self._last_ms))

    async def right(self) -> None:
        """Return once entries may be dated."""
        while self.trouble() is not None:
            await asyncio.sleep(_POLL)

    def agrees(self, times_s: Iterable[int], newest_ms: int) -> bool:
        """Say whether an audit would let these cosignature times (s) pass in a heartbeat of now.

        Args:
            times_s: of the cosignatures on a checkpoint of our own log, our own witness's included.
            newest_ms: ``received_at_ms`` of the newest entry below that checkpoint.
        """
        bounds = bracket(times_s, self._liars, self._skew_ms)
        return bounds is None or (newest_ms <= bounds.no_later_ms and self._now_ms() >= bounds.no_earlier_ms)

    def _judge(self, instant: int) -> CallError | None:
        if not self.known:
            return _error(
                "clock-unknown",
                "this verifier has not yet compared its clock with enough of its witnesses",
                f"the time of {self._liars + 1} other verifiers",
                f"of {len(self._readings)}",
                "wait; see that the other verifiers can be reached",
            )
        readings = self._readings.values()
        if len(readings) <= self._liars:
            return None
        ticks = self.ticks()
        least = sorted(item.least + ticks - _doubt(item, ticks) for item in readings)
        most = sorted(item.most + ticks + _doubt(item, ticks) for item in readings)
        behind = least[-1 - self._liars] - instant
        ahead = instant - most[self._liars]
        off, code = max((behind, "clock-behind"), (ahead, "clock-ahead"))
        if off <= self._skew_ms:
            return None
        return _error(
            code,
            "the clock of this verifier is outside the bracket of its witnesses; it appends nothing",
            f"within {self._skew_ms} ms of all but {self._liars} of the other verifiers",
            f"{off} ms {code.removeprefix('clock-')} (the newest entry counts as now when it is later)",
            "the operator sets the clock (NTP); appending goes on by itself. Submit to the other verifiers meanwhile",
        )


class ClockWatch:
    """Looks at the guard every *poll_s* seconds: shows it, logs changes, has the witnesses asked again meanwhile."""

    def __init__(self, guard: ClockGuard, refresh: Callable[[], None], poll_s: float, metrics: Metrics) -> None:
        """Watch *guard*; *refresh* asks the witnesses for fresh cosignatures."""
        self._guard = guard
        self._refresh = refresh
        self._poll_s = poll_s
        self._metrics = metrics
        self._code = ""

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(self._poll_s)

    def look(self) -> None:
        """Look once."""
        trouble = self._guard.trouble()
        code = "" if trouble is None else trouble.code
        self._metrics.clock_stopped.set(bool(code))
        if trouble is not None:
            self._refresh()
        if code == self._code:
            return
        self._code = code
        if trouble is None:
            log.info("clock-agrees", note="appending")
        elif code == "clock-unknown":
            log.info(code, found=trouble.found, note="appending nothing until enough witnesses have answered")
        else:
            log.error(
                code, found=trouble.found, expected=trouble.expected, fix="LOOK AT THE CLOCK of this machine: NTP"
            )


def _doubt(reading: Reading, ticks: int) -> int:
    return (ticks - reading.at) // _DRIFT + 1


def _error(code: str, message: str, expected: str, found: str, fix: str) -> CallError:
    return CallError(
        Status.UNAVAILABLE,
        code=code,
        message=message,
        expected=expected,
        found=found,
        fix=fix,
        retry_after_ms=_RETRY_MS,
    )
