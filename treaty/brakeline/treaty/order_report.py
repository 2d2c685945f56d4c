"""What became of one order, site by site: latencies, compute that leaked, who was not heard, what the books show.

What it is: figures computed from the facts of the logs that were read. What it is not: judgement. The rules say what is
a breach (:mod:`brakeline.treaty.reconcile.braking`); here stands what parties ask next: how fast, how much, who. Pure.

*Quorum*, from which everything is counted, is per site the later of the start of the effective period and the first
receipt of the order: by any log that was read, or by the site's own node, as it says (``seen_at``). Instants of sites
are by their clocks, those of logs by theirs; a treaty's ``skew_ms`` says how far they may be apart.

*Leaked* FLOP are those booked in the order's scope from quorum on and beyond what the order leaves, notice or not,
until it expires or is lifted. Books are per period, and lines may state no FLOP, so the figure is a pair: at least (the
period in which quorum fell left out, unknown FLOP as none) and at most (that period whole, unknown FLOP as chip time x
peak). Of a slow order there leaks the share of the FLOP that the excess is of the chip time in scope, weighted by peak.

*The bound* is N x peak x utilisation x time: all the site's chips at their dense peak, times the utilisation of those
that the order's scope used, in the best of the ``LOOK_BACK`` periods before the one in which quorum fell (1 where it
used none in any), times the time from quorum until compute ceased, as the site says. A step that was under way at
quorum is booked when it ends, so that it may add what the treaty's ``stop_ms`` holds, the longest that a step may take
to stop. A site that leaked more than both did not stop when it says, or sped up before it did; of one that leaked more
than the bound and no more than both, nothing is said.

All figures are integers or exact ratios. Source: docs/spec/report.md, "The report of an order".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from brakeline.treaty.bookshelf import Books, Work
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.orders import in_force, names_site, share
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.reconcile.braking import (
    binding_period,
    by_class,
    exceeding,
    hidden,
    in_scope,
    known_flop,
    noticed_at,
    passed_before,
)
from brakeline.treaty.reconcile.logs import Logs, OpenedLogs
from brakeline.treaty.replay import Acknowledged, Facts
from brakeline.treaty.statements import Acknowledgement, Order, StoppedWorkload

LOOK_BACK = 8
"""Periods before quorum in which the busiest one says how fast a site was."""


class Kept(StrEnum):
    """What the books of a site show of an order that binds it, over the periods due so far."""

    KEPT = "kept"
    BROKEN = "broken"
    OPEN = "open"
    NOT_BOUND = "not bound"


@dataclass(frozen=True, slots=True)
class Range:
    """A figure that is known to lie between two, both included."""

    at_least: int
    at_most: int

    @classmethod
    def total(cls, items: Iterable[Range]) -> Range:
        """Return the sum, end by end."""
        found = list(items)
        return cls(sum(item.at_least for item in found), sum(item.at_most for item in found))


class Bound(NamedTuple):
    """N x peak x utilisation x time: what may have been computed before a site ceased.

    Attributes:
        capacity_flop_per_s: N x peak, rounded up.
        utilisation: share of it that the scope used.
        time_ms: from quorum until compute ceased.
        flop: their product, rounded up.
        step_flop: what a step that was under way at quorum may add, rounded up.
    """

    capacity_flop_per_s: int
    utilisation: Fraction
    time_ms: int
    flop: int
    step_flop: int


class Stopped(NamedTuple):
    """One workload as the site's newest word has it: instants in Unix ms, None where it does not say."""

    workload: str
    step: int
    agreed_at: int | None
    ceased_at: int | None
    durable_at: int | None
    freeze: str | None
    resumed: str | None


class Latencies(NamedTuple):
    """Milliseconds from quorum, 0 for what came before it, None for what is not said; the slowest of its workloads."""

    seen: int | None
    agreed: int | None
    ceased: int | None
    durable: int | None


class Booked(NamedTuple):
    """What the books of one period show of the order's scope; of several versions, the one with the most chip time.

    Attributes:
        used: share of the site's chip time, weighted by peak.
        flop: in scope; between what is stated and, for lines that state none, chip time x peak.
        leaked: of it, beyond what the order leaves.
        logs: how many of the logs read have books of the period.
        sealed: lines that keep from view whether the order was kept; opaque ones are in no other figure here.
    """

    period: int
    used: Fraction
    flop: Range
    leaked: Range
    logs: int
    sealed: int = 0


@dataclass(frozen=True, slots=True)
class SiteReport:
    """What became of the order at one site in its scope.

    Attributes:
        site: its name.
        quorum_ms: from when latencies and leaks are counted; None while no log read has the order.
        seen_at, stopped_at: of its first acknowledgement, None while none was heard.
        heard_ms: when f + 1 logs had the acknowledgement, None while fewer have it.
        latencies: the four.
        workloads: by name and step.
        kept: what its books show from the binding period on.
        kept_until: the last period up to which, without a gap, f + 1 logs hold books that keep to the order; None
            where there is none. With the heartbeats after it this is the proof of having stopped.
        leaked: FLOP.
        bound: None while the site has not said when it ceased, or where its books of that time have opaque lines.
        periods: the books, by period, from LOOK_BACK periods before quorum on.
        findings: digests of the findings about the site that rest on this order.
    """

    site: str
    quorum_ms: int | None
    seen_at: int | None
    stopped_at: int | None
    heard_ms: int | None
    latencies: Latencies
    workloads: tuple[Stopped, ...]
    kept: Kept
    kept_until: int | None
    leaked: Range
    bound: Bound | None
    periods: tuple[Booked, ...]
    findings: tuple[str, ...]

    @property
    def within_bound(self) -> bool | None:
        """Whether the books can be true with the instants that the site gives.

        None where it gives none, and where only a step that was under way would explain them.
        """
        if self.bound is None or self.bound.flop < self.leaked.at_least <= self.bound.flop + self.bound.step_flop:
            return None
        return self.leaked.at_least <= self.bound.flop


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What became of an order.

    Attributes:
        digest, order: which.
        first_ms: when the first of the logs read had it; None where none has it.
        held_ms: since when f + 1 of the logs read hold it, None while fewer do.
        due_ms: when acknowledgements are due, None while f + 1 logs do not hold it.
        binding: the first period in which it can be broken.
        until: the first period in which it is no longer in force.
        lifted_by: digests of the orders that lift it by ``as_of_ms``.
        as_of_ms: up to when (Unix ms) it was looked at.
        sites: every enrolled site in its scope, by name.
        findings: those that rest on this order, gravest first.
    """

    digest: str
    order: Order
    first_ms: int | None
    held_ms: int | None
    due_ms: int | None
    binding: int | None
    until: int
    lifted_by: tuple[str, ...]
    as_of_ms: int
    sites: tuple[SiteReport, ...]
    findings: tuple[Finding, ...]

    @property
    def not_heard(self) -> tuple[str, ...]:
        """The sites of which no log read has an acknowledgement."""
        return tuple(site.site for site in self.sites if site.seen_at is None)

    @property
    def stopped(self) -> tuple[str, ...]:
        """The sites whose books show that they keep to the order."""
        return tuple(site.site for site in self.sites if site.kept is Kept.KEPT)

    @property
    def leaked(self) -> Range:
        """FLOP that leaked at all sites."""
        return Range.total(site.leaked for site in self.sites)

    @property
    def bound_flop(self) -> int | None:
        """The bounds of all sites together; None while one of them has not said when it ceased."""
        bounds = [site.bound for site in self.sites]
        return None if None in bounds else sum(bound.flop for bound in bounds if bound is not None)


def report(
    document: TreatyDocument, parts: Sequence[Facts], digest: str, findings: Iterable[Finding], as_of_ms: int
) -> OrderReport | None:
    """Return what became of the order *digest*; None where no log read has it.

    Args:
        document: the pinned treaty.
        parts: the facts of each log read, at most one an origin; sealed books read as they were opened.
        digest: the order's statement digest.
        findings: those that stand (:func:`brakeline.treaty.verdict.verdict`), gravest first, and those over values that
            were opened.
        as_of_ms: periods that have not ended by then are not looked at (Unix ms).
    """
    logs = OpenedLogs(document, parts)
    order = logs.orders.get(digest)
    if order is None:
        return None
    cited = tuple(item for item in findings if digest in item.statements)
    noticed = noticed_at(logs, digest, order)
    now = document.grid.period_of(InstantMs(max(0, as_of_ms)))
    lifting = {
        name: other.effective_period
        for name, other in logs.orders.items()
        if digest in other.lifts and (order.exercise or not other.exercise)
    }
    until = min([order.expiry_period, *lifting.values()])
    sites = [site for site, first in sorted(logs.enrolled.items()) if first < until]
    author = _Author(logs, digest, order, until, as_of_ms, cited)
    return OrderReport(
        digest=digest,
        order=order,
        first_ms=author.first_ms,
        held_ms=logs.held_since(digest),
        due_ms=None if noticed is None else noticed.after(document.deadlines.acknowledge_ms).value,
        binding=binding_period(logs, digest),
        until=until,
        lifted_by=tuple(sorted(name for name, period in lifting.items() if period <= now)),
        as_of_ms=as_of_ms,
        sites=tuple(author.site(site) for site in sites if names_site(order, site, document)),
        findings=cited,
    )


class _Author:
    """Writes the reports of the sites of one order."""

    def __init__(
        self, logs: Logs, digest: str, order: Order, until: int, as_of_ms: int, findings: Sequence[Finding]
    ) -> None:
        self._logs, self._digest, self._order, self._until, self._as_of_ms = logs, digest, order, until, as_of_ms
        self._document = logs.document
        self._grid = logs.document.grid
        self._findings = findings
        self._peaks = {item.name: item.peak_flop_per_s.value for item in logs.document.chip_classes}
        self._lifting = [name for name, other in logs.orders.items() if digest in other.lifts]
        self.binding = binding_period(logs, digest)
        arrivals = [facts.arrivals.get(bytes.fromhex(digest)) for facts in logs.parts]
        self.first_ms = min((arrival.at_ms for arrival in arrivals if arrival is not None), default=None)

    def site(self, site: str) -> SiteReport:
        """Return the report of one site."""
        said = self._words(site, self._digest)
        first = said[0] if said else None
        quorum = self._quorum(first)
        workloads = self._workloads(site, said)
        began = self._order.effective_period if quorum is None else self._grid.period_of(InstantMs(quorum))
        periods = tuple(self._activities(site, began, quorum))
        kept, kept_until = self._kept(site)
        came = sorted(at for at in self._logs.acknowledged(site, self._digest) if at is not None)
        enough = self._logs.enough
        return SiteReport(
            site=site,
            quorum_ms=quorum,
            seen_at=None if first is None else first.seen_at.value,
            stopped_at=None if first is None else first.stopped_at.value,
            heard_ms=came[enough - 1] if len(came) >= enough else None,
            latencies=_latencies(quorum, first, workloads),
            workloads=workloads,
            kept=kept,
            kept_until=kept_until,
            leaked=Range.total(item.leaked for item in periods),
            bound=None if first is None or quorum is None else self._bound(site, quorum, first, workloads),
            periods=periods,
            findings=tuple(item.digest for item in self._findings if item.about == site),
        )

    # -- what the site says ------------------------------------------------------------------------------------------

    def _words(self, site: str, order: str) -> list[Acknowledgement]:
        """Return a site's acknowledgements of an order, each once, by its chain."""
        heard: dict[str, Acknowledged] = {
            item.digest: item for facts in self._logs.parts for item in facts.acknowledged.get((site, order), ())
        }
        return [item.said for item in sorted(heard.values(), key=lambda item: (item.said.sequence, item.digest))]

    def _quorum(self, said: Acknowledgement | None) -> int | None:
        receipts = [at for at in (self.first_ms, None if said is None else said.seen_at.value) if at is not None]
        begun = self._grid.start_of(self._order.effective_period).value
        return max(begun, min(receipts)) if receipts else None

    def _workloads(self, site: str, said: Sequence[Acknowledgement]) -> tuple[Stopped, ...]:
        """Return each workload as the newest acknowledgement that names it has it, with what it went on from."""
        newest: dict[str, list[StoppedWorkload]] = {}
        for item in said:
            for workload in {work.workload for work in item.workloads}:
                newest[workload] = [work for work in item.workloads if work.workload == workload]
        resumed = {
            work.workload: work.resumed
            for name in self._lifting
            for item in self._words(site, name)
            for work in item.workloads
            if work.resumed is not None
        }
        found = [_stopped(work, resumed.get(workload)) for workload, works in newest.items() for work in works]
        return tuple(sorted(found, key=lambda item: (item.workload, item.step)))

    # -- what its books show -----------------------------------------------------------------------------------------

    def _kept(self, site: str) -> tuple[Kept, int | None]:
        """Return what the books show from the binding period on, and up to where f + 1 logs hold books that keep."""
        binds = self._order.kind != "resume" and not self._order.exercise
        if not binds or self.binding is None or self.binding >= self._until:
            return Kept.NOT_BOUND, None
        kept_until: int | None = None
        gap = False
        for period in range(max(self.binding, self._logs.enrolled[site]), min(self._until, self._ended())):
            held = sum(1 for facts in self._logs.parts if facts.books.arrivals(site, period))
            if any(True for _ in exceeding(self._logs, self._order, site, period)):
                return Kept.BROKEN, kept_until
            shut = bool(hidden(self._logs, self._order, site, period))
            if held >= self._logs.enough and not gap and not shut:
                kept_until = period
            elif held < self._logs.enough or shut:
                due = self._grid.end_of(period).after(self._document.deadlines.report_ms)
                gap = True
                if due.value < self._as_of_ms:
                    return Kept.OPEN, kept_until
        return (Kept.OPEN if kept_until is None else Kept.KEPT), kept_until

    def _ended(self) -> int:
        """Return the first period that had not ended when it was looked."""
        return self._grid.period_of(InstantMs(max(0, self._as_of_ms)))

    def _activities(self, site: str, began: int, quorum: int | None) -> Iterator[Booked]:
        """Yield what the books of each period show, from LOOK_BACK before *began* on."""
        booked = {period for facts in self._logs.parts for period in facts.books.periods(site, began - LOOK_BACK)}
        for period in sorted(p for p in booked if began - LOOK_BACK <= p < max(self._until, began) + LOOK_BACK):
            versions = self._logs.counted(site, period).values()
            if not versions:  # all were withdrawn
                continue
            above = self._above(site, period)
            scoped = [(books, in_scope(books, self._order, above)) for books in versions]
            books, scope = max(scoped, key=lambda item: (sum(w.total_ms for w in item[1]), item[0].digest))
            flop = self._flop(scope)
            counts = quorum is not None and began <= period < self._until and self._order.kind != "resume"
            leaks = counts and not self._order.exercise and self._digest in in_force(self._logs.orders, period)
            partial = quorum is not None and period == began and quorum > self._grid.start_of(period).value
            yield Booked(
                period=period,
                used=_part(self._weight(scope), self._weight(books.work)),
                flop=flop,
                leaked=self._leaked(books, scope, flop, partial) if leaks else Range(0, 0),
                logs=sum(1 for facts in self._logs.parts if facts.books.arrivals(site, period)),
                sealed=sum(hidden(self._logs, self._order, site, period).values()),
            )

    def _leaked(self, books: Books, scope: Sequence[Work], flop: Range, partial: bool) -> Range:
        """Return how much of *flop* is beyond what the order leaves."""
        used, held, part = by_class(scope), by_class(books.work), share(self._order)
        excess = {name: ms - int(held[name] * part) for name, ms in used.items() if ms > int(held[name] * part)}
        weight = self._weight(scope)
        beyond = _part(sum(ms * self._peaks.get(name, 0) for name, ms in excess.items()), weight) if weight else None
        if beyond is None:  # nothing with a peak: all of it, where anything exceeds
            beyond = Fraction(1 if excess or part == 0 else 0)
        unsure = bool(books.opaque) and part != 0  # the ceiling is a share of chip time that is not all known
        least = 0 if partial or unsure else int(flop.at_least * beyond)
        return Range(least, -int(-flop.at_most * beyond // 1))

    def _bound(self, site: str, quorum: int, said: Acknowledgement, workloads: Sequence[Stopped]) -> Bound | None:
        """Return the bound; None where lines of the books that it is reckoned from are opaque."""
        ceased = max([said.stopped_at.value, *(item.ceased_at for item in workloads if item.ceased_at is not None)])
        period = self._grid.period_of(InstantMs(quorum))
        near = range(max(0, period - LOOK_BACK), period + 1)
        reckoned = [books for at in near for books in self._logs.counted(site, at).values()]
        if any(books.opaque for books in reckoned):
            return None
        capacity = max((self._weight(books.work) for books in reckoned), default=0)
        utilisation = min(Fraction(1), max(self._utilisations(site, period), default=Fraction(1)))
        time_ms = max(0, ceased - quorum)
        length = self._grid.period.value
        rate = Fraction(capacity, 1000 * length) * utilisation  # FLOP a millisecond
        step = rate * self._document.deadlines.stop_ms.value
        return Bound(-(-capacity // length), utilisation, time_ms, -int(-rate * time_ms // 1), -int(-step // 1))

    def _utilisations(self, site: str, period: int) -> Iterator[Fraction]:
        """Yield how much of the peak of the chips that it used the scope reached, in the periods before *period*."""
        for earlier in range(max(0, period - LOOK_BACK), period):
            for books in self._logs.counted(site, earlier).values():
                scope = in_scope(books, self._order, self._above(site, earlier))
                used = self._weight(scope)
                if used:
                    yield Fraction(self._flop(scope).at_most * 1000, used)

    def _above(self, site: str, period: int) -> Mapping[str, set[str]]:
        return passed_before(self._logs, site, period) if self._order.scope.above is not None else {}

    def _flop(self, works: Sequence[Work]) -> Range:
        unknown = self._weight(work for work in works if work.flop is None)
        known = known_flop(works)
        return Range(known, known - (-unknown // 1000))

    def _weight(self, works: Iterable[Work]) -> int:
        """Return the thousandths of FLOP that the chip time of *works* is worth at the dense peak."""
        return sum(ms * self._peaks.get(name, 0) for work in works for name, ms in work.chip_ms)


def _stopped(work: StoppedWorkload, resumed: str | None) -> Stopped:
    return Stopped(
        work.workload,
        work.step,
        None if work.agreed_at is None else work.agreed_at.value,
        None if work.ceased_at is None else work.ceased_at.value,
        None if work.durable_at is None else work.durable_at.value,
        work.freeze,
        resumed if work.resumed is None else work.resumed,
    )


def _latencies(quorum: int | None, said: Acknowledgement | None, workloads: Sequence[Stopped]) -> Latencies:
    if quorum is None or said is None:
        return Latencies(None, None, None, None)

    def slowest(instants: Iterable[int | None]) -> int | None:
        known = [at for at in instants if at is not None]
        return max(0, max(known) - quorum) if known else None

    ceased = [item.ceased_at for item in workloads] if workloads else [said.stopped_at.value]
    return Latencies(
        seen=slowest([said.seen_at.value]),
        agreed=slowest(item.agreed_at for item in workloads),
        ceased=slowest(ceased),
        durable=slowest(item.durable_at for item in workloads),
    )


def _part(a: int, b: int) -> Fraction:
    return Fraction(a, b) if b else Fraction(0)
