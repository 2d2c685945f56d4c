"""``brake-breach`` and ``unacknowledged-order``: who stopped when the parties pressed the brake, and who said so?

**brake-breach** sees: books of a period in which a pause binds the site, with chip time or FLOP in the order's scope.
An order binds from the first period that starts at or after max(start of its effective period, the instant from which
f + 1 logs hold it) + ``notice_ms``, until it expires or is lifted. One finding per order, site and period.
Cannot see: compute that was not booked, or booked under an activity out of scope (energy evidence is for that); how
much a slowed site may still do (orders of kind ``slow`` are not judged by this version). Exercises never bind.
Figures: ``binding_period`` (the first), ``chip_ms``, ``flop`` (the largest over the versions of the books).

**unacknowledged-order** sees: a site that an order in force names, whose acknowledgement f + 1 logs did not have by
max(start of the effective period, the instant from which f + 1 logs hold the order) + ``notice_ms`` +
``acknowledge_ms``. An order that is no longer in force at that deadline needs none. Exercises are acknowledged too.
Cannot see: whether the site stopped (its books show that). Figures: ``due_ms``, ``logs``, ``needed``.
Source of both: docs/spec/orders.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.orders import in_force, names_site
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.reconcile.logs import Logs, Timing
from brakeline.treaty.replay import Books
from brakeline.treaty.rules.board import make
from brakeline.treaty.statements import Order
from brakeline.treaty.terms import RuleTerms


def breaches(logs: Logs) -> Iterator[Finding]:
    """Yield the findings of ``brake-breach``."""
    terms = logs.document.rule("brake-breach")
    if terms is None:
        return
    for digest, order in logs.orders.items():
        noticed = noticed_at(logs, digest, order)
        if order.kind != "pause" or order.exercise or noticed is None:
            continue
        first = logs.document.grid.first_from(noticed)
        for site, period in _booked(logs, order, first):
            if digest in in_force(logs.orders, period):
                yield from _breach(logs, terms, digest, site, period, first)


def _booked(logs: Logs, order: Order, first: int) -> list[tuple[str, int]]:
    """Return the (site, period) in the scope of *order* from period *first* on for which there are books, sorted."""
    found = {key for facts in logs.parts for key in facts.books if first <= key[1] < order.expiry_period}
    return sorted(key for key in found if names_site(order, key[0], logs.document))


def _breach(logs: Logs, terms: RuleTerms, digest: str, site: str, period: int, first: int) -> Iterator[Finding]:
    order = logs.orders[digest]
    versions = {books.digest: books for facts in logs.parts for books in facts.books.get((site, period), ())}
    figures = {name: _in_scope(books, order) for name, books in versions.items()}
    active = {name: done for name, done in figures.items() if any(done)}
    if active:
        yield make(
            terms,
            site,
            period=period,
            statements=[digest, *active],
            figures={
                "binding_period": first,
                "chip_ms": max(chip_ms for chip_ms, _ in active.values()),
                "flop": max(flop for _, flop in active.values()),
            },
        )


def _in_scope(books: Books, order: Order) -> tuple[int, int]:
    """Return chip-ms and FLOP that *books* show in the activities of *order*."""
    done = [work for work in books.work if work.activity in order.scope.activities]
    return sum(work.chip_ms for work in done), sum(work.flop for work in done)


def unacknowledged(logs: Logs, as_of_ms: int) -> Iterator[Finding]:
    """Yield the findings of ``unacknowledged-order``."""
    terms = logs.document.rule("unacknowledged-order")
    for digest, site, due_ms in acknowledgements_due(logs, as_of_ms):
        came = [facts.acknowledged.get((site, digest)) for facts in logs.parts]
        if terms is not None and logs.timing(came, due_ms) is Timing.TOO_LATE:
            held = sum(1 for arrival in came if arrival is not None)
            figures = {"due_ms": due_ms, "logs": held, "needed": logs.enough}
            yield make(terms, site, statements=[digest], figures=figures)


def acknowledgements_due(logs: Logs, as_of_ms: int) -> Iterator[tuple[str, str, int]]:
    """Yield (order digest, site, deadline in ms) for every acknowledgement due before *as_of_ms*."""
    document = logs.document
    for digest, order in logs.orders.items():
        noticed = noticed_at(logs, digest, order)
        if noticed is None:
            continue
        due = noticed.after(document.deadlines.acknowledge_ms)
        if due.value >= as_of_ms or digest not in in_force(logs.orders, document.grid.period_of(due)):
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
