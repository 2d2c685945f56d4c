"""Orders with their latencies: who saw them, who stopped, how fast, how much leaked."""

from __future__ import annotations

from brakeline.audit.detail import Detail
from brakeline.audit.orders.text import cells, span
from brakeline.audit.page.parts import esc, many, number, section, table
from brakeline.audit.text import instant
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.order_report import Kept, OrderReport, SiteReport

SITES = 40
"""Sites of one order that are listed: those that break it and those not heard first."""


def orders(detail: Detail) -> str:
    """Return the section of orders."""
    if not detail.orders:
        return section("orders", "Orders", "<p>The logs read hold no order.</p>")
    left = detail.orders_known - len(detail.orders)
    cut = (
        f"<p>The {len(detail.orders)} that took effect last; {many(left, 'earlier order')} left out.</p>"
        if left
        else ""
    )
    said = (
        "<p class=soft>Quorum, from which latencies are counted in milliseconds: the order in force and first "
        "received, by a log or by the site's own node. Instants of sites are by their own clocks. "
        "Books show what was booked; compute that nobody booked is not in them. <code>brakeline audit order DIGEST "
        "...</code> has plots, bounds and every period.</p>"
    )
    return section(
        "orders",
        "Orders and what became of them",
        cut,
        *(_order(item, detail.document) for item in detail.orders),
        said,
    )


def _order(item: OrderReport, document: TreatyDocument) -> str:
    order = item.order
    drill = " (an exercise: stops nothing)" if order.exercise else ""
    ceiling = f" to {order.ceiling.numerator}/{order.ceiling.denominator} of chip time" if order.ceiling else ""
    begins = document.grid.start_of(order.effective_period).value
    what = f"{', '.join(order.scope.activities)} of {', '.join(order.scope.who)}"
    end = "lifted" if item.lifted_by else "expires"
    broken = [site.site for site in item.sites if site.kept is Kept.BROKEN]
    facts = [
        f"{len(item.sites) - len(item.not_heard)} of {len(item.sites)} sites in scope answered",
        _slowest(item),
        f"the books of {many(len(item.stopped), 'site')} keep to it" if order.kind != "resume" else "",
        f"broken by {', '.join(broken[:6])}" if broken else "",
        f"not heard: {', '.join(item.not_heard[:6])}" if item.not_heard else "",
        f"leaked {span(item.leaked)} FLOP" if item.leaked.at_most else "",
    ]
    rows = [(esc(site.site, 120), *(esc(cell) for cell in cells(site))) for site in _worst_first(item)[:SITES]]
    cut = f" {len(item.sites) - SITES} more sites in the order's own report." if len(item.sites) > SITES else ""
    headings = ("site", "seen", "stop agreed", "ceased", "durable", "books", "leaked FLOP", "bound", "")
    return (
        f"<h3>{esc(order.kind.capitalize())}{ceiling}{drill}: {esc(what, 300)}</h3><p>{esc(order.reason, 300)}</p>"
        f"<p>In force from period {order.effective_period} ({instant(begins)}), {end} with period {item.until}. "
        f"Known to f + 1 logs since {instant(item.held_ms)}. "
        f"<b>{esc('; '.join(fact for fact in facts if fact), 900)}.</b></p>"
        f"<p>Order <code>{esc(item.digest, 64)}</code></p>"
        + (
            table(headings, rows, f"Milliseconds after quorum, site by site.{cut}", numbers=[1, 2, 3, 4])
            if rows
            else ""
        )
    )


def _slowest(item: OrderReport) -> str:
    if item.order.kind == "resume":
        return ""
    stops = [site.latencies.ceased for site in item.sites if site.latencies.ceased is not None]
    return f"slowest stop {number(max(stops))} ms after quorum" if stops else "no site said when it stopped"


def _worst_first(item: OrderReport) -> list[SiteReport]:
    ranks = {Kept.BROKEN: 0, Kept.OPEN: 2, Kept.KEPT: 3, Kept.NOT_BOUND: 4}
    return sorted(item.sites, key=lambda site: (1 if site.seen_at is None else ranks[site.kept], site.site))
