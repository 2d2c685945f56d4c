"""Books that may come too late: told while something can still be done, and again when it was too late.

On time are the books of a period when f + 1 logs appended them by its end plus the treaty's ``report_ms``. What the
node knows of that are verified receipts, so an alarm may be false (a receipt that is still on its way) and never
missing. It is raised when half of the reporting time is gone, once, and once more at the deadline.

What it is not: the finding ``late``, which the logs decide; nor the receipt quorum, which is larger than f + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from brakeline.treaty.quantities import InstantMs

if TYPE_CHECKING:
    from brakeline.node.journal import Journal
    from brakeline.treaty.document import TreatyDocument

MOST = 1000
"""Periods looked at, oldest first."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """Books that too few logs are known to hold.

    Attributes:
        period: which; ``digest``: of the statement, None while none is signed.
        logs: how many receipts are held; ``needed``: f + 1.
        deadline_ms: Unix ms; ``missed``: whether it is over.
    """

    period: int
    digest: str | None
    logs: int
    needed: int
    deadline_ms: int
    missed: bool


def due(document: TreatyDocument, journal: Journal, first: int | None, now_ms: int) -> list[Due]:
    """Return the books whose reporting time is half gone, or over, and that fewer than f + 1 logs are known to hold.

    *first*: the first period that the site owes, None when it owes none yet.
    """
    if first is None:
        return []
    needed, report = document.quorum.liars + 1, document.deadlines.report_ms.value
    lacking: list[tuple[int, str | None, int]] = [*journal.books_with_fewer(needed, MOST)]
    last = journal.last_period()
    over = document.grid.period_of(InstantMs(now_ms))
    begin = first if last is None else last + 1
    lacking += [(period, None, 0) for period in range(begin, min(over, begin + MOST))]
    found: list[Due] = []
    for period, digest, logs in lacking:
        deadline = document.grid.end_of(period).value + report
        if now_ms >= deadline - report // 2:
            found.append(Due(period, digest, logs, needed, deadline, now_ms > deadline))
    return found


class Alarm:
    """Tells of each of them once, and once more when it is missed."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told: set[tuple[int, bool]] = set()
        self.near = self.missed = 0

    def look(self, found: list[Due]) -> None:
        """Log what is new among *found*, and count."""
        now = {(item.period, item.missed) for item in found}
        for item in found:
            if (item.period, item.missed) not in self._told:
                tell = _log.error if item.missed else _log.warning
                tell(
                    "deadline-missed" if item.missed else "deadline-near",
                    period=item.period,
                    digest=item.digest,
                    logs=item.logs,
                    needed=item.needed,
                    deadline_ms=item.deadline_ms,
                    fix="brakeline node doctor: which verifiers answer, and may this node sign?",
                )
        self._told = now
        self.missed = sum(item.missed for item in found)
        self.near = len(found) - self.missed
