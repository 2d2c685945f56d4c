"""``missing-period`` and ``late``: were a site's books of every period in f + 1 logs by their deadline?

Sees: a period for which fewer than f + 1 logs had any version of the books by end + ``report_ms``, whoever brought
them: ``late`` when f + 1 logs have them by now, ``missing-period`` while fewer do. Fires only when it is certain: logs
that were not read, or that end before the deadline, count as if they had them.
Cannot see: why; periods before a site's first inventory takes effect.
Arithmetic: instants in Unix ms, integers. Figures: ``due_ms``; ``late`` also ``arrived_ms`` (when the f + 1st log had
them); ``logs`` that hold them, of ``needed``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from brakeline.treaty.findings import Finding
from brakeline.treaty.reconcile.logs import Logs, Timing
from brakeline.treaty.rules.board import make
from brakeline.treaty.succession import Reign


class Due(NamedTuple):
    """A period whose books are due, and whether they came in time."""

    site: str
    period: int
    due_ms: int
    timing: Timing


class Reported(NamedTuple):
    """What became of all periods that are due, in numbers; singly only those that came too late, or not at all.

    Attributes:
        periods: due.
        held: of which some log has books.
        unknown: of which the logs read do not decide whether they came in time.
        late: whose books fewer than f + 1 logs had in time, sites in order of name.
    """

    periods: int
    held: int
    unknown: int
    late: list[Due]


def together(parts: Iterable[Reported]) -> Reported:
    """Return the sum of what became of several stretches of periods."""
    periods = held = unknown = 0
    late: list[Due] = []
    for part in parts:
        periods, held, unknown = periods + part.periods, held + part.held, unknown + part.unknown
        late += part.late
    return Reported(periods, held, unknown, late)


def reported_by(logs: Logs, as_of_ms: int, reign: Reign | None = None) -> Reported:
    """Return what became of every period (of *reign*) whose deadline is before *as_of_ms*."""
    periods = held = unknown = 0
    late: list[Due] = []
    for item in due_periods(logs, as_of_ms):
        if reign is not None and item.period not in reign:
            continue
        periods += 1
        held += any(arrival is not None for arrival in logs.reported(item.site, item.period))
        unknown += item.timing is Timing.UNKNOWN
        if item.timing is Timing.TOO_LATE:
            late.append(item)
    return Reported(periods, held, unknown, late)


def due_periods(logs: Logs, as_of_ms: int) -> Iterator[Due]:
    """Yield every period of every site whose deadline is before *as_of_ms*, sites in order of name."""
    document = logs.document
    for site, first in logs.owing.items():
        period = first
        while (due := document.grid.end_of(period).after(document.deadlines.report_ms).value) < as_of_ms:
            yield Due(site, period, due, logs.timing(logs.reported(site, period), due))
            period += 1


def reporting(logs: Logs, due: Iterator[Due]) -> Iterator[Finding]:
    """Yield the findings of both rules over *due*."""
    missing, late = logs.document.rule("missing-period"), logs.document.rule("late")
    for item in due:
        if item.timing is not Timing.TOO_LATE:
            continue
        came = sorted(arrival for arrival in logs.reported(item.site, item.period) if arrival is not None)
        figures: dict[str, object] = {"due_ms": item.due_ms, "logs": len(came), "needed": logs.enough}
        terms = missing
        if len(came) >= logs.enough:
            terms, figures["arrived_ms"] = late, came[logs.enough - 1]
        if terms is not None:
            statements = logs.digests(item.site, item.period)
            yield make(terms, item.site, period=item.period, statements=statements, figures=figures)
