"""``brake-breach`` and ``unacknowledged-order``: who stopped when the parties pressed the brake, and who said so?

**brake-breach** sees: books, not superseded by a correction, of a period in which an order binds the site, with more in
its scope than the order leaves: under a pause any chip time or FLOP; under a slow order, for some class of chip, more
chip time than the ceiling's share of what the books hold of that class. An order binds from the first period that
starts at or after max(start of its effective period, the instant from which f + 1 logs hold it) + ``notice_ms``, until
it expires or is lifted. A run comes into the scope "above a line" with the first period that starts at or after the end
of the period in which its lineage passed + ``report_ms`` + ``notice_ms``: then its books must have shown it, and
everybody had notice. Every order is judged by itself: who breaks two has two findings. One finding per order, site and
period (slow: and class).
Cannot see: compute that was not booked, or booked under an activity out of scope (energy evidence is for that); FLOP
beyond what the booked chip time could do (``peak-exceeded``); what was booked and then corrected away, which the docket
keeps and evidence has to contradict. Exercises never bind.
Sealed: books with an opaque line are not judged under a slow order, whose ceiling is a share of all chip time; under a
pause the lines that can be read are. Every opaque line may be in scope, and is counted as unverifiable
(``line-sealed``); so are, under a pause, lines in scope without chip time whose FLOP are sealed (``flop-sealed``). Over
:class:`~brakeline.treaty.reconcile.logs.OpenedLogs` all of it reads as it was opened.
Figures: ``binding_period`` (the first), ``chip_ms``, ``flop`` (the largest over the versions of the books; unknown FLOP
count as none); of a slow order ``class``, and ``chip_ms``, ``ceiling_chip_ms`` of the version that is furthest above.

**unacknowledged-order** sees: a site that an order in force names, whose acknowledgement f + 1 logs did not have by
max(start of the effective period, the instant from which f + 1 logs hold the order) + ``notice_ms`` +
``acknowledge_ms``. An order that is no longer in force at that deadline needs none. Exercises are acknowledged too.
Cannot see: whether the site stopped (its books show that). Figures: ``due_ms``, ``logs``, ``needed``.
Source of both: docs/spec/orders.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from brakeline.treaty.bookshelf import Books, Work
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.names import lab_of
from brakeline.treaty.orders import covers, in_force, names_site, share
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.reconcile.logs import Logs, Timing
from brakeline.treaty.rules.board import Unverifiable, make, tally
from brakeline.treaty.statements import Order
from brakeline.treaty.succession import Reign

RULE = "brake-breach"


def breaches(logs: Logs) -> Iterator[Finding]:
    """Yield the findings of ``brake-breach``."""
    terms = logs.document.rule(RULE)
    if terms is None:
        return
    for digest, order, first, site, period in _bound(logs):
        for cited, figures in exceeding(logs, order, site, period):
            figures = {"binding_period": first, **figures}
            yield make(terms, site, period=period, statements=[digest, *cited], figures=figures)


def sealed_from_breaches(logs: Logs, reign: Reign) -> Counter[Unverifiable]:
    """Return what ``brake-breach`` could not judge in *reign*, because it is sealed: how many lines, once an order."""
    found: Counter[Unverifiable] = Counter()
    if logs.document.rule(RULE) is not None:
        for _, order, _, site, period in _bound(logs):
            if period in reign:
                for why, lines in hidden(logs, order, site, period).items():
                    found[Unverifiable(RULE, site, why)] += lines
    return found


def _bound(logs: Logs) -> Iterator[tuple[str, Order, int, str, int]]:
    """Yield every order, from when it binds, and each (site, period) that it binds for which there are books."""
    for digest, order in logs.orders.items():
        first = binding_period(logs, digest)
        if order.kind == "resume" or order.exercise or first is None:
            continue
        for site, period in _booked(logs, order, first):
            if digest in in_force(logs.orders, period):
                yield digest, order, first, site, period


def binding_period(logs: Logs, digest: str) -> int | None:
    """Return the first period in which the order *digest* can be broken; None while f + 1 logs do not hold it."""
    noticed = noticed_at(logs, digest, logs.orders[digest])
    return None if noticed is None else logs.document.grid.first_from(noticed)


def _booked(logs: Logs, order: Order, first: int) -> list[tuple[str, int]]:
    """Return the (site, period) in the scope of *order* from period *first* on for which there are books, sorted."""
    named = {site for facts in logs.parts for site in facts.books.sites}
    sites = sorted(site for site in named if names_site(order, site, logs.document))
    found: list[tuple[str, int]] = []
    for site in sites:
        periods = {period for facts in logs.parts for period in facts.books.periods(site, first)}
        found += [(site, period) for period in sorted(periods) if period < order.expiry_period]
    return found


class Excess(NamedTuple):
    """Versions of a site's books that show more than an order leaves, and the figures of a finding about it."""

    cited: list[str]
    figures: dict[str, object]


def exceeding(logs: Logs, order: Order, site: str, period: int) -> Iterator[Excess]:
    """Yield what the books of *site* in *period* show beyond what *order* leaves; nothing where it was kept."""
    none: Mapping[str, set[str]] = {}
    above = passed_before(logs, site, period) if order.scope.above is not None else none
    counted = logs.counted(site, period)
    scope = {name: [work for work in in_scope(books, order, above) if _shown(work)] for name, books in counted.items()}
    if order.kind == "pause":
        active = {name: done for name, done in scope.items() if done}
        if active:
            chip_ms = max(sum(work.total_ms for work in done) for done in active.values())
            yield Excess(list(active), {"chip_ms": chip_ms, "flop": max(map(known_flop, active.values()))})
        return
    part = share(order)
    over: dict[str, list[tuple[int, int, str]]] = {}
    for name, books in counted.items():
        if books.opaque:
            continue
        used, held = by_class(scope[name]), by_class(books.work)
        for chip_class, chip_ms in used.items():
            ceiling = held[chip_class] * part.numerator // part.denominator
            if chip_ms > ceiling:
                over.setdefault(chip_class, []).append((chip_ms - ceiling, ceiling, name))
    for chip_class, found in sorted(over.items()):
        excess, ceiling, _ = max(found)
        cited = sorted(name for _, _, name in found)
        flop = max(known_flop(scope[name]) for name in cited)
        times = {"chip_ms": excess + ceiling, "ceiling_chip_ms": ceiling}
        yield Excess(cited, {"class": chip_class, **times, "flop": flop})


def hidden(logs: Logs, order: Order, site: str, period: int) -> Counter[str]:
    """Return how many lines of the books of *site* in *period* keep from view whether *order* was kept, by reason."""
    none: Mapping[str, set[str]] = {}
    above = passed_before(logs, site, period) if order.scope.above is not None else none
    found: Counter[str] = Counter()
    for books in logs.counted(site, period).values():
        found["line-sealed"] += books.opaque
        if order.kind == "pause":
            found["flop-sealed"] += sum(not _shown(work) for work in in_scope(books, order, above))
    return +found


def _shown(work: Work) -> bool:
    """Whether a line shows chip time or FLOP; one that does not has FLOP that are sealed (:class:`Work`)."""
    return bool(work.total_ms or work.flop)


def passed_before(logs: Logs, site: str, period: int) -> Mapping[str, set[str]]:
    """Return, by workload of the lab of *site*, the thresholds that count as passed in *period*."""
    grid, times, lab = logs.document.grid, logs.document.deadlines, lab_of(site)
    found: dict[str, set[str]] = {}
    for threshold, passed in logs.passed.items():
        for (owner, workload), passage in passed.items():
            known = grid.end_of(passage).after(times.report_ms).after(times.notice_ms)
            if owner == lab and grid.first_from(known) <= period:
                found.setdefault(workload, set()).add(threshold)
    return found


def in_scope(books: Books, order: Order, above: Mapping[str, set[str]]) -> list[Work]:
    """Return the lines of *books* that *order* covers; *above* as :func:`passed_before` returns it."""
    nothing: set[str] = set()
    return [work for work in books.work if covers(order, work.activity, above.get(work.workload, nothing))]


def by_class(works: Iterable[Work]) -> Mapping[str, int]:
    """Return the chip-milliseconds of *works* by class of chip."""
    return tally(time for work in works for time in work.chip_ms)


def known_flop(works: Iterable[Work]) -> int:
    """Return the FLOP that *works* state; what states none counts as none."""
    return sum(work.flop or 0 for work in works)


def unacknowledged(logs: Logs, as_of_ms: int, reign: Reign | None = None) -> Iterator[Finding]:
    """Yield the findings of ``unacknowledged-order``, of acknowledgements due in *reign*."""
    terms = logs.document.rule("unacknowledged-order")
    for digest, site, due_ms in acknowledgements_due(logs, as_of_ms, reign):
        came = logs.acknowledged(site, digest)
        if terms is not None and logs.timing(came, due_ms) is Timing.TOO_LATE:
            held = sum(1 for arrival in came if arrival is not None)
            figures = {"due_ms": due_ms, "logs": held, "needed": logs.enough}
            yield make(terms, site, statements=[digest], figures=figures)


def acknowledgements_due(logs: Logs, as_of_ms: int, reign: Reign | None = None) -> Iterator[tuple[str, str, int]]:
    """Yield (order digest, site, deadline in ms) for every acknowledgement due before *as_of_ms*, and in *reign*."""
    document = logs.document
    for digest, order in logs.orders.items():
        noticed = noticed_at(logs, digest, order)
        if noticed is None:
            continue
        due = noticed.after(document.deadlines.acknowledge_ms)
        period = document.grid.period_of(due)
        if due.value >= as_of_ms or digest not in in_force(logs.orders, period):
            continue
        if reign is not None and period not in reign:
            continue
        asked = document.grid.first_from(noticed)
        for site, first in sorted(logs.enrolled.items()):
            if first <= asked and names_site(order, site, document):
                yield digest, site, due.value


def noticed_at(logs: Logs, digest: str, order: Order) -> InstantMs | None:
    """Return the instant at which the notice of an order is over; None while fewer than f + 1 logs hold it."""
    held = logs.held_since(digest)
    if held is None:
        return None
    return InstantMs(max(_start(logs.document, order), held)).after(logs.document.deadlines.notice_ms)


def _start(document: TreatyDocument, order: Order) -> int:
    return document.grid.start_of(order.effective_period).value
