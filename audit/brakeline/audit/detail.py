"""What the report's page shows beyond the verdict: books by site, runs and descent, orders, how each log kept up.

What it is: sums over the facts of the logs that were read, made once, bounded in size however large the logs are. What
it is not: judgement; no finding rests on anything here. Where books of a period have several versions, the one with the
most chip time counts, among those that no correction took back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from brakeline.audit.look import Look
from brakeline.treaty.bookshelf import Work
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.names import lab_of
from brakeline.treaty.order_report import OrderReport
from brakeline.treaty.order_report import report as order_report
from brakeline.treaty.parts import Activity
from brakeline.treaty.reconcile.logs import Logs
from brakeline.treaty.reconcile.reporting import due_periods
from brakeline.treaty.replay import Facts

BUCKETS = 40
"""Columns of a chart at most; beyond, several periods share one."""
ORDERS = 12
"""Orders that are reported in full, the ones that took effect last."""
GAPS = 8
"""Runs of missing periods that are named, a site."""
SAMPLE = 20_000
"""Statements, by digest, over which the delay of a log is measured."""

Span = tuple[int, int]
"""First and last period, both included."""


class Column(NamedTuple):
    """Chip-milliseconds by activity in the periods *first* to *last*."""

    first: int
    last: int
    chip_ms: Mapping[Activity, int]


@dataclass(slots=True)
class SiteBooks:
    """The books of one site.

    Attributes:
        site: its name, "" for all sites together.
        booked: periods with books.
        versions: statements beyond one a period (corrections, or two truths).
        missing: runs of due periods without books, the first ``GAPS`` of them.
        missing_periods: how many periods that is in all.
        chip_ms: by activity.
        flop: the sum of what lines state.
        unstated_ms: chip time of work whose lines state no FLOP.
        columns: for a chart.
    """

    site: str
    booked: int = 0
    versions: int = 0
    missing: tuple[Span, ...] = ()
    missing_periods: int = 0
    chip_ms: Counter[Activity] = field(default_factory=Counter[Activity])
    flop: int = 0
    unstated_ms: int = 0
    columns: tuple[Column, ...] = ()

    @property
    def total_ms(self) -> int:
        """Chip-milliseconds in the books."""
        return sum(self.chip_ms.values())


@dataclass(slots=True)
class RunBooks:
    """One training run, all its names together, and what it descends from.

    Attributes:
        lab, workload: whose, and the first of its names.
        names: all of them.
        parents: (lab, workload) of runs that it descends from directly.
        strangers: models that it takes and no books name as made.
        periods: first and last with work of it, None where the counted books have none.
        chip_ms, flop: booked; a lower bound where lines state no FLOP.
        sites: how many.
        passed: thresholds that its lineage has passed -> in which period.
    """

    lab: str
    workload: str
    names: tuple[str, ...]
    parents: tuple[tuple[str, str], ...]
    strangers: int
    periods: Span | None = None
    chip_ms: int = 0
    flop: int = 0
    sites: int = 0
    passed: dict[str, int] = field(default_factory=dict[str, int])


class KeepingUp(NamedTuple):
    """How one log of the treaty kept up with the others.

    Attributes:
        origin, party: whose.
        read: whether a copy of it was read.
        later_ms: median of how much later than the first log it had a statement; None where it shares none.
        latest_ms: the most of that.
        compared: over how many statements.
    """

    origin: str
    party: str
    read: bool
    later_ms: int | None = None
    latest_ms: int | None = None
    compared: int = 0


@dataclass(frozen=True, slots=True)
class Detail:
    """All of it. ``orders``: those that took effect last, of ``orders_known``; ``sites`` in order of name."""

    document: TreatyDocument
    sites: tuple[SiteBooks, ...]
    together: SiteBooks
    runs: tuple[RunBooks, ...]
    orders: tuple[OrderReport, ...]
    orders_known: int
    logs: tuple[KeepingUp, ...]


def detail_of(look: Look) -> Detail:
    """Return the detail of an audit."""
    return gather_detail(look.document, look.parts, look.findings, look.report.as_of_ms or 0)


def gather_detail(
    document: TreatyDocument, parts: Sequence[Facts], findings: Sequence[Finding], as_of_ms: int
) -> Detail:
    """Return the detail of the logs *parts*, at most one an origin, as of *as_of_ms* (Unix ms)."""
    logs = Logs(document, parts)
    counted = _Counted(logs, as_of_ms)
    newest = sorted(logs.orders.items(), key=lambda item: (item[1].effective_period, item[0]))[-ORDERS:]
    reports = (order_report(document, parts, digest, findings, as_of_ms) for digest, _ in newest)
    return Detail(
        document=document,
        sites=tuple(counted.sites[site] for site in sorted(counted.sites)),
        together=counted.together,
        runs=tuple(_runs(logs, counted)),
        orders=tuple(item for item in reports if item is not None),
        orders_known=len(logs.orders),
        logs=tuple(_keeping_up(logs)),
    )


class _Counted:
    """The books added up, by site, by column and by workload, in one walk."""

    def __init__(self, logs: Logs, as_of_ms: int) -> None:
        self.sites = {site: SiteBooks(site) for site in logs.owing}
        self.together = SiteBooks("")
        self.work: defaultdict[tuple[str, str], _Worked] = defaultdict(_Worked)
        keys = sorted({key for facts in logs.parts for key in facts.books})
        periods = [period for _, period in keys]
        self._first = min(periods, default=0)
        self._width = max(1, -(-(max(periods, default=0) - self._first + 1) // BUCKETS))
        self._columns: defaultdict[tuple[str, int], Counter[Activity]] = defaultdict(Counter[Activity])
        for site, period in keys:
            self._add(logs, site, period)
        self._missing(logs, as_of_ms)
        last = (max(periods, default=self._first - 1) - self._first) // self._width
        for books in (*self.sites.values(), self.together):
            books.columns = tuple(self._column(books.site, at) for at in range(last + 1))

    def _add(self, logs: Logs, site: str, period: int) -> None:
        books = self.sites.setdefault(site, SiteBooks(site))
        versions = logs.counted(site, period)
        books.versions += len(logs.versions(site, period)) - 1
        if not versions:
            return
        books.booked += 1
        chosen = max(versions.values(), key=lambda item: (sum(work.total_ms for work in item.work), item.digest))
        for work in chosen.work:
            self._work(books, work, period)

    def _work(self, books: SiteBooks, work: Work, period: int) -> None:
        at = (period - self._first) // self._width
        for sums, name in ((books, books.site), (self.together, "")):
            sums.chip_ms[work.activity] += work.total_ms
            sums.flop += work.flop or 0
            if work.flop is None and work.activity not in _REST:
                sums.unstated_ms += work.total_ms
            self._columns[name, at][work.activity] += work.total_ms
        if work.activity not in _REST:
            self.work[lab_of(books.site), work.workload].add(books.site, period, work)

    def _column(self, site: str, at: int) -> Column:
        first = self._first + at * self._width
        return Column(first, first + self._width - 1, self._columns.get((site, at), Counter[Activity]()))

    def _missing(self, logs: Logs, as_of_ms: int) -> None:
        for due in due_periods(logs, as_of_ms):
            if logs.counted(due.site, due.period):
                continue
            books = self.sites[due.site]
            books.missing_periods += 1
            if books.missing and books.missing[-1][1] == due.period - 1:
                books.missing = (*books.missing[:-1], (books.missing[-1][0], due.period))
            elif len(books.missing) < GAPS:
                books.missing = (*books.missing, (due.period, due.period))


_REST = frozenset({Activity.IDLE, Activity.MAINTENANCE, Activity.UNATTRIBUTED})


@dataclass(slots=True)
class _Worked:
    """What was booked to one workload name of a lab."""

    first: int = 2**62
    last: int = -1
    chip_ms: int = 0
    flop: int = 0
    sites: set[str] = field(default_factory=set[str])

    def add(self, site: str, period: int, work: Work) -> None:
        self.first, self.last = min(self.first, period), max(self.last, period)
        self.chip_ms += work.total_ms
        self.flop += work.flop or 0
        self.sites.add(site)


def _runs(logs: Logs, counted: _Counted) -> Iterator[RunBooks]:
    """Yield the runs by lab and name; what several logs show of one is put together."""
    runs: dict[tuple[str, str], RunBooks] = {}
    for facts in logs.parts:
        for item in facts.lineages:
            run = runs.setdefault((item.lab, item.workload), RunBooks(item.lab, item.workload, (), (), item.strangers))
            run.names = tuple(sorted({*run.names, *item.names}))
            run.parents = tuple(sorted({*run.parents, *item.parents}))
            run.strangers = min(run.strangers, item.strangers)
    for _, run in sorted(runs.items()):
        works = [counted.work[run.lab, name] for name in run.names if (run.lab, name) in counted.work]
        if works:
            run.periods = (min(item.first for item in works), max(item.last for item in works))
        run.chip_ms = sum(item.chip_ms for item in works)
        run.flop = sum(item.flop for item in works)
        run.sites = len({site for item in works for site in item.sites})
        for threshold, passed in logs.passed.items():
            since = [passed[run.lab, name] for name in run.names if (run.lab, name) in passed]
            if since:
                run.passed[threshold] = min(since)
        if run.chip_ms or run.parents:
            yield run


def _keeping_up(logs: Logs) -> Iterator[KeepingUp]:
    parts = {facts.origin: facts for facts in logs.parts}
    most = max((len(facts.arrivals) for facts in logs.parts), default=0)
    step = -(-most // SAMPLE) or 1
    first: dict[bytes, int] = {}
    shared: Counter[bytes] = Counter()
    for facts in logs.parts:
        for digest, arrival in facts.arrivals.items():
            if int.from_bytes(digest[:8]) % step == 0:
                first[digest] = min(first.get(digest, arrival.at_ms), arrival.at_ms)
                shared[digest] += 1
    for verifier in sorted(logs.document.verifiers, key=lambda item: item.origin):
        mine = parts.get(verifier.origin)
        came = ((mine and mine.arrivals.get(digest), at) for digest, at in sorted(first.items()) if shared[digest] > 1)
        later = sorted(arrival.at_ms - at for arrival, at in came if arrival)
        median, most_ms = (later[(len(later) - 1) // 2], later[-1]) if later else (None, None)
        yield KeepingUp(verifier.origin, verifier.party, mine is not None, median, most_ms, len(later))
