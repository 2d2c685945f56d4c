"""All logs together, round after round: look, judge, tell what is new or gone, write evidence, remember."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from brakeline.audit.evidence.bundle import Bundle, write_bundles
from brakeline.audit.opinions import GrowingFolder
from brakeline.audit.replay import gather, weigh, with_amendments
from brakeline.audit.report import AuditReport, LogState
from brakeline.audit.watch.alarms import Alarm, Event, Level, Memory, finding_key
from brakeline.audit.watch.follow import Follower, Progress
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.findings import Finding
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.sentences import sentence
from brakeline.treaty.succession import Succession

_COUNT = re.compile(r"(?<![\w.-])\d+(?![\w.-])")
"""A number by itself: how many grows while the same thing is open; digits of names tell things apart."""
COPIES = "copies"
EVIDENCE = "evidence"


class Watch:
    """A watch over several logs of one treaty, with its state in one folder.

    Attributes:
        followers: one a source, in the order given.
        report: of the newest round.
        standing: the alarms of the newest round.
    """

    def __init__(
        self,
        sources: Sequence[str],
        treaty: Succession,
        state: Path,
        now_ms: Callable[[], int],
        disclosures: Path | None = None,
    ) -> None:
        """Watch *sources* under *treaty*, as far as it is pinned; *now_ms* is the watcher's clock (Unix ms).

        *disclosures*: a folder into which what opens sealed statements may come at any time.

        Raises:
            BrakelineError: ``watch-state``, ``disclosures-unreadable``.
        """
        self._given = None if disclosures is None else GrowingFolder(disclosures)
        self._pin, self._treaty = treaty.newest.digest, treaty
        self._state = state
        self._now_ms = now_ms
        self._memory = Memory(state, treaty.root.digest)
        self.followers = [Follower(source, treaty, state / COPIES, now_ms(), self._given) for source in sources]
        self.report: AuditReport | None = None
        self.standing: list[Alarm] = []

    def round(self, tell: Callable[[Event], None], progress: Progress | None = None) -> None:
        """Look at every log once, judge all, and *tell* what is new or gone; then remember it."""
        unread = self._look_at_given()
        for follower in self.followers:
            follower.look(self._now_ms(), progress, self._treaty)
        now_ms = self._now_ms()
        copies = [follower.replayed for follower in self.followers]
        self._treaty = with_amendments(self._treaty, copies)
        self.report, judged = weigh(copies, self._treaty.root, self._pin, as_of_ms=now_ms)
        keyed = {finding_key(x.rule, x.about, x.period, x.figures): x for x in judged.findings}
        self.standing = [
            *_of_findings(keyed),
            *_of_opened(judged.opened),
            *_of_logs(self.followers, self._quiet_ms, now_ms),
            *_open(self.report),
            *unread,
        ]
        events = self._memory.compare(self.standing, now_ms)
        bundles: list[Bundle] = [follower.fork for follower in self.followers if follower.fork is not None]
        fresh = [keyed[event.key] for event in events if event.event == "raised" and event.key in keyed]
        for lost in gather(fresh, copies, self._treaty, bundles):
            tell(Event(now_ms, "raised", "open", Level.WARNING.value, "evidence", lost.sentence(), ""))
        write_bundles(bundles, self._state / EVIDENCE)
        for event in events:
            tell(event)
        self._memory.remember(events)

    def _look_at_given(self) -> list[Alarm]:
        """See which disclosures have come; a folder that is gone is told, and ends no watch."""
        try:
            if self._given is not None:
                self._given.look()
        except BrakelineError as error:
            return [Alarm(f"open|{error.code}", "open", Level.WARNING, "", str(error))]
        return []

    @property
    def _quiet_ms(self) -> int:
        """How long a log may stay silent, or not grow: a heartbeat, a checkpoint, and the skew of clocks."""
        times = self._treaty.last(self._treaty.root.grid.period_of(InstantMs(self._now_ms()))).deadlines
        return times.heartbeat_ms.value + times.checkpoint_ms.value + times.skew_ms.value


@contextmanager
def locked(state: Path) -> Generator[None]:
    """Hold the folder *state* (made if absent) for one watch.

    Raises:
        BrakelineError: ``watch-locked``.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BrakelineError(
                code="watch-locked",
                message=f"another watch uses {state}",
                expected="one watch a state folder",
                fix="give another --state folder, or end the other watch",
            ) from None
        yield


def _of_findings(keyed: dict[str, Finding]) -> Iterator[Alarm]:
    for key, finding in keyed.items():
        yield Alarm(key, "finding", Level.ALARM, finding.about, sentence(finding))


def _of_opened(opened: Sequence[Finding]) -> Iterator[Alarm]:
    """Yield what the rules find over values that were opened to this watch, and that stands in no log."""
    for finding in opened:
        key = finding_key(finding.rule, finding.about, finding.period, finding.figures)
        text = f"{sentence(finding)} Over sealed values that were opened to this watch: in public nobody sees it."
        yield Alarm(f"opened|{key}", "opened", Level.ALARM, finding.about, text)


def _of_logs(followers: Sequence[Follower], quiet_ms: int, now_ms: int) -> Iterator[Alarm]:
    """Yield what is wrong with single logs, as the watcher sees it by its own clock."""
    for follower in followers:
        name = ascii(follower.source)[1:-1]
        report, problem = follower.replayed.copy.report, follower.problem
        about = report.origin or follower.source
        if report.divergence is not None:
            level = Level.ALARM if report.state is LogState.MISCONDUCT else Level.WARNING
            text = report.divergence.sentence()
            yield Alarm(f"divergence|{name}|{report.divergence.code}", "divergence", level, about, text)
        if follower.fork is not None or (problem is not None and problem.code == "log-forked"):
            text = f"{about} has signed two histories: it showed one, and now shows another"
            yield Alarm(f"fork|{name}", "fork", Level.ALARM, about, text)
        elif problem is not None and now_ms - follower.answered_ms <= quiet_ms:
            yield Alarm(f"unreadable|{name}|{problem.code}", "unreadable", Level.WARNING, about, problem.sentence())
        if now_ms - follower.answered_ms > quiet_ms:
            text = f"{about} has not answered for longer than the treaty lets a log be silent ({quiet_ms} ms)"
            yield Alarm(f"silent|{name}", "silent", Level.ALARM, about, text)
        elif now_ms - follower.grown_ms > quiet_ms:
            text = f"{about} answers and has shown no new entry for longer than the treaty allows ({quiet_ms} ms)"
            yield Alarm(f"not-growing|{name}", "not-growing", Level.ALARM, about, text)


def _open(report: AuditReport) -> Iterator[Alarm]:
    """Yield what could not be checked; silence and staleness have been told by the watcher's own clock."""
    for problem in report.unchecked:
        if problem.code != "log-stale":
            key = f"open|{problem.code}|{_COUNT.sub('#', ascii(problem.message)[1:-1])}"
            yield Alarm(key, "open", Level.WARNING, "", problem.sentence())
