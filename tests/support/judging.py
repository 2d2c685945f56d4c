"""What tests of rules share: statements of the cast's sites in, findings out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from brakeline.ledger.entry import Kind
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.statements import Statement, UsageLine

from tests.support import cast
from tests.support.cast import Author, line

FULL = cast.CHIPS * cast.PERIOD
"""Chip-milliseconds of a site in a period."""


def digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def judge_of(statements: Iterable[Envelope | Statement], document: TreatyDocument | None = None) -> LogJudge:
    judge = LogJudge(document or cast.document())
    for index, item in enumerate(statements, start=1):
        judge.add(index, Kind.STATEMENT, cast.read(item) if isinstance(item, Envelope) else item)
    return judge


def standing(statements: Iterable[Envelope | Statement], document: TreatyDocument | None = None) -> list[Finding]:
    return list(judge_of(statements, document).standing().values())


def site(name: str = cast.SITE) -> tuple[Author, Envelope]:
    author = Author(name, cast.document())
    return author, author.hold()


def books(
    author: Author, inventory: Envelope, period: int, *lines: UsageLine, advance: bool = True, rest: bool = True
) -> Envelope:
    """Books of *lines*; with *rest* an idle line makes them balance."""
    booked = sum(time.value.value for item in lines for time in item.chip_ms)
    idle = (line("idle", FULL - booked, workload="idle", joules="0"),) if rest and booked < FULL else ()
    return author.use(period, inventory.digest, (*lines, *idle), advance=advance)
