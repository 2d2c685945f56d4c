"""The report of an order as one self-contained page: no script, no network; prints as it reads.

First what delegates ask (who stopped, who was not heard, how fast, how much leaked), then a table and a plot a site,
then findings and what is open, then how to recompute it. Figures are the report's.
"""

from __future__ import annotations

from html import escape

from brakeline.audit.orders.gather import OrderAudit
from brakeline.audit.orders.plot import draw
from brakeline.audit.orders.text import BOOKS, MEANING, big, cells, head_lines, leak_line, percent, span, workload_line
from brakeline.audit.page.parts import card, document, table
from brakeline.audit.text import instant
from brakeline.treaty.order_report import Kept, OrderReport, SiteReport

PLOTS = 60
"""Sites that get a plot; the tables have them all."""
_SVG = "svg{max-width:100%;height:auto}"


def render(found: OrderAudit, *, command: str = "") -> str:
    """Return the page. *command* is the command line that reproduces the report, shown as given."""
    order = found.order
    name, version = found.audit.treaty
    plots = [_site(site, found) for site in order.sites[:PLOTS]]
    more = f"<p>Plots of the first {PLOTS} sites of {len(order.sites)}.</p>" if len(order.sites) > PLOTS else ""
    body = [
        f"<h1>What became of an order</h1><p>{escape(name)}, version {version}, as of {instant(found.audit.as_of_ms)}. "
        f"<strong>{escape(MEANING[found.exit])}</strong> (exit {int(found.exit)}).</p>",
        _cards(order),
        "<h2>The order</h2>",
        table(("", ""), [(escape(label), escape(text)) for label, text in head_lines(found)]),
        f"<p>Digest: <code>{order.digest}</code></p>",
        "<h2>Site by site, ms after quorum</h2>",
        table(
            ("site", "seen", "stop agreed", "ceased", "durable", "books", "leaked FLOP", "bound", ""),
            [(escape(site.site), *(escape(cell) for cell in cells(site))) for site in order.sites],
        ),
        '<p class="soft">Quorum: the order in force and first received, by a log or by the site\'s own node. Instants '
        "of sites are by their own clocks. Bound: chips x peak x utilisation before x time until compute ceased; a "
        "step that was under way may add the treaty's stop_ms. A dash is what nobody has said.</p>",
        "<h2>Compute over time</h2>",
        *plots,
        more,
        "<h2>Findings that rest on this order</h2>",
        _findings(found),
        "<h2>Open</h2>",
        "<ul>" + "".join(f"<li>{escape(problem.sentence())}</li>" for problem in found.open) + "</ul>"
        if found.open
        else "<p>Nothing.</p>",
        "<h2>Recompute it</h2>",
        f"<p>Treaty digest (the pin): <code>{escape(found.audit.pin)}</code></p>",
        f"<p><code>{escape(command)}</code></p>" if command else "",
        '<p class="soft">Books that keep to an order show what was booked. Compute that nobody booked is not in them: '
        "energy, and other evidence from outside, speak to that.</p>",
    ]
    return document("What became of an order", body, style=_SVG)


def _cards(order: OrderReport) -> str:
    heard = len(order.sites) - len(order.not_heard)
    slowest = [site.latencies.ceased for site in order.sites if site.latencies.ceased is not None]
    broken = [site.site for site in order.sites if site.kept is Kept.BROKEN]
    stopped = f"{len(order.stopped)} of {len(order.sites)} sites keep to it"
    what = f"Broken by {', '.join(broken)}." if broken else "No books break it."
    when = f"Slowest stop: {max(slowest)} ms after quorum." if slowest else "No site has said when it stopped."
    quiet = ", ".join(order.not_heard)
    cards = (
        card("bad" if broken else "good" if len(order.stopped) == len(order.sites) else "open", stopped, what),
        card(
            "open" if quiet else "good",
            f"{heard} of {len(order.sites)} sites heard",
            f"{when} " + (f"Not heard: {quiet}." if quiet else ""),
        ),
        card("open" if order.leaked.at_most else "good", f"{span(order.leaked)} FLOP leaked", leak_line(order) + "."),
    )
    return f'<div class="facts">{"".join(cards)}</div>'


def _site(site: SiteReport, found: OrderAudit) -> str:
    drawing = draw(site, found.order, found.document.grid)
    rows = [
        (
            str(item.period),
            percent(item.used),
            span(item.flop),
            span(item.leaked) if item.leaked.at_most else "",
            str(item.logs),
        )
        for item in site.periods
    ]
    works = [
        escape(workload_line(site, item.workload, item.step, item.freeze, item.resumed)) for item in site.workloads
    ]
    kept = BOOKS[site.kept] + (f" up to period {site.kept_until}" if site.kept_until is not None else "")
    bound = ""
    if site.bound is not None:
        factors = f"{big(site.bound.capacity_flop_per_s)} FLOP/s x {percent(site.bound.utilisation)}"
        bound = f"Bound: {factors} x {site.bound.time_ms} ms = {big(site.bound.flop)} FLOP"
        bound += f", and {big(site.bound.step_flop)} for a step that was under way."
    parts = [
        f"<h3>{escape(site.site)}</h3><p>Its books {escape(kept)}. {escape(bound)}</p>",
        drawing or "<p class=soft>No plot: no books, or no library to draw with (pip install 'brakeline[plots]').</p>",
        "".join(f"<p>{line}</p>" for line in works),
        "<details><summary>Its books, period by period</summary>",
        table(("period", "of chip time", "FLOP in scope", "leaked", "logs"), rows),
        "</details>",
    ]
    return f"<section>{''.join(parts)}</section>"


def _findings(found: OrderAudit) -> str:
    if not found.findings:
        return "<p>None.</p>"
    rows = [
        (
            f"<b>{escape(str(item.body['severity']))}</b>",
            escape(str(item.body["rule"])),
            escape(str(item.body["about"])),
            str(item.body.get("period", "-")),
            f"{escape(item.sentence)}<br><code class=soft>{item.digest}</code>",
        )
        for item in found.findings
    ]
    return table(("severity", "rule", "about", "period", "finding"), rows)
