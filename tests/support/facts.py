"""Logs of the tests' treaty as facts, without bytes or signatures: the test says what arrives where and when.

For rules over several logs, where only contents and instants matter; :mod:`tests.support.worlds` has whole logs.
"""

from __future__ import annotations

from collections.abc import Sequence

from brakeline.ledger.entry import Kind
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.oversight import Correction
from brakeline.treaty.replay import Facts, gather
from brakeline.treaty.statements import Acknowledgement, Order, Statement, UsageLine, encode_statement, parse_statement
from brakeline.treaty.verdict import Verdict, verdict

from tests.support import cast
from tests.support.cast import Author, line

DOC = cast.document()
TIMES = DOC.deadlines
FULL = cast.CHIPS * cast.PERIOD
DAY = 86_400_000


def end_of(period: int) -> int:
    return DOC.grid.end_of(period).value


def start_of(period: int) -> int:
    return DOC.grid.start_of(period).value


def due(period: int) -> int:
    return end_of(period) + TIMES.report_ms.value


class Logs:
    """Four logs of the tests' treaty as facts; the test says what arrives where and when."""

    def __init__(self, document: TreatyDocument = DOC) -> None:
        self.document = document
        self.parts = [Facts(verifier.origin) for verifier in document.verifiers]
        self._judges = [LogJudge(document) for _ in self.parts]
        self._index = 0

    def bring(self, statement: Statement, *at: int | None) -> None:
        """Let *statement* arrive at each log at the given instants (one instant: at all of them; None: never)."""
        instants = at * len(self.parts) if len(at) == 1 else at
        self._index += 1
        for facts, judge, instant in zip(self.parts, self._judges, instants, strict=True):
            if instant is not None:
                gather(facts, self.document, statement, instant, self._index)
                judge.add(self._index, Kind.STATEMENT, statement)
                facts.newest_ms = max(facts.newest_ms, instant)
                facts.passed, facts.unverifiable = judge.passed(), judge.unverifiable()

    def read_until(self, *instants: int) -> None:
        """Say up to when each log was read (one instant: all of them)."""
        for facts, instant in zip(self.parts, instants * (len(self.parts) // len(instants)), strict=True):
            facts.newest_ms = instant

    def verdict(self, as_of: int | None = None, read: Sequence[int] = (0, 1, 2, 3)) -> Verdict:
        parts = [self.parts[number] for number in read]
        return verdict(self.document, parts, as_of_ms=max(f.newest_ms for f in parts) if as_of is None else as_of)

    def found(self, as_of: int | None = None, read: Sequence[int] = (0, 1, 2, 3)) -> list[Finding]:
        return list(self.verdict(as_of, read).findings)


def say(predicate: Order | Acknowledgement | Correction) -> Statement:
    return parse_statement(encode_statement(predicate))


class Site:
    """One enrolled site with an inventory, in every log from the start."""

    def __init__(self, logs: Logs, name: str = cast.SITE, enrolled: int = 0, holding: int | None = None) -> None:
        self.logs = logs
        self.author = Author(name, logs.document)
        lab = Author(name.partition("/")[0], logs.document)
        logs.bring(cast.read(lab.enrol(name, period=enrolled)), cast.START)
        self.inventory = self.author.hold(period=max(0, enrolled if holding is None else holding))
        if holding is None or holding >= 0:
            logs.bring(cast.read(self.inventory), cast.START)

    def books(self, period: int, training: int = 0, activity: str = "training", **more: str) -> Statement:
        """Return the books of *period*: *training* chip-ms of *activity*, the rest idle."""
        return self.book(period, *((line(activity, training, **more),) if training else ()))

    def book(self, period: int, *lines: UsageLine) -> Statement:
        """Return the books of *period* with *lines*, of class cpu-core, the rest idle."""
        rest = FULL - sum(time.value.value for item in lines for time in item.chip_ms)
        idle = (line("idle", rest),) if rest else ()
        return cast.read(self.author.use(period, self.inventory.digest, (*lines, *idle)))

    def correct(self, books: Statement, period: int) -> Statement:
        """Return a correction that takes *books* back."""
        members = {"corrects": books.digest, "period": period, "reason": "a slip"}
        return say(Correction.model_validate({**self.author.position(), **members}))

    def acknowledge(self, order: Statement, at: int) -> Statement:
        return say(
            Acknowledgement.model_validate(
                {
                    **self.author.position(),
                    "order": order.digest,
                    "seen_at": at,
                    "stopped_at": at,
                    "workloads": (),
                }
            )
        )
