"""The report of an order for a terminal. Words and figures only; every figure comes from the order's report."""

from __future__ import annotations

from fractions import Fraction

from brakeline.audit.orders.gather import OrderAudit
from brakeline.audit.report import Exit
from brakeline.audit.text import instant
from brakeline.treaty.order_report import Kept, OrderReport, Range, SiteReport
from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDTH = 124
"""Columns that the table of sites takes."""
MEANING = {
    Exit.REPRODUCED: "every site in scope was heard, and its books keep to the order",
    Exit.FINDINGS: "findings rest on this order",
    Exit.MISCONDUCT: "a verifier's misconduct",
    Exit.UNREADABLE: "something was unreadable",
    Exit.OPEN: "something about the order could not be told",
}
BOOKS = {
    Kept.KEPT: "keep to it",
    Kept.BROKEN: "break it",
    Kept.OPEN: "not all there yet",
    Kept.NOT_BOUND: "not bound",
}


def render(found: OrderAudit, console: Console) -> None:
    """Print the report."""
    order = found.order
    console.print(f"[bold]order[/]     {order.digest}")
    for label, text in head_lines(found):
        console.print(f"[bold]{label:<9}[/] {escape(text)}")
    console.print(_sites(order))
    for site in order.sites:
        for item in site.workloads:
            console.print(f"  {escape(workload_line(site, item.workload, item.step, item.freeze, item.resumed))}")
    console.print(f"[bold]leaked[/]    {escape(leak_line(order))}")
    console.print(f"[bold]not heard[/] {escape(', '.join(order.not_heard) or 'nobody: every site in scope answered')}")
    console.print(f"[bold]stopped[/]   {escape(', '.join(order.stopped) or 'no site whose books show it')}")
    for finding in found.findings:
        console.print(f"  [bold]{finding.body['severity']}[/] {finding.body['rule']}: {escape(finding.sentence)}")
    for problem in found.open:
        console.print(f"  open: {escape(problem.sentence())}")
    console.print(f"[bold]exit {int(found.exit)}[/]    {MEANING[found.exit]}")


def head_lines(found: OrderAudit) -> list[tuple[str, str]]:
    """Return what the order says, and since when it is held, as (label, text)."""
    report, order, grid = found.order, found.order.order, found.document.grid
    ceiling = f" to {order.ceiling.numerator}/{order.ceiling.denominator} of chip time" if order.ceiling else ""
    above = f", runs above {order.scope.above}" if order.scope.above else ""
    drill = " (EXERCISE: stops nothing)" if order.exercise else ""
    what = f"{', '.join(order.scope.activities)} of {', '.join(order.scope.who)}{above}"
    until = "lifted" if report.lifted_by else "expires"
    held = f"first log {instant(report.first_ms)}, f + 1 logs {instant(report.held_ms)}"
    binds = "cannot be broken yet" if report.binding is None else f"can be broken from period {report.binding} on"
    return [
        ("says", f"{order.kind}{ceiling}{drill}: {what}"),
        ("reason", order.reason),
        (
            "in force",
            f"from period {order.effective_period} ({instant(grid.start_of(order.effective_period).value)}), "
            f"{until} with period {report.until}; {binds}",
        ),
        ("held", held),
    ]


def _sites(order: OrderReport) -> Table:
    table = Table(title="ms after quorum", title_justify="left", box=None, pad_edge=False)
    for heading in ("site", "seen", "stop agreed", "ceased", "durable", "books", "leaked FLOP", "bound", ""):
        table.add_column(heading, overflow="fold")
    for site in order.sites:
        table.add_row(escape(site.site), *cells(site))
    return table


def cells(site: SiteReport) -> tuple[str, ...]:
    """Return a site's four latencies, what its books do, what leaked, its bound, and whether that holds."""
    times = ("-" if value is None else f"{value:,}".replace(",", " ") for value in site.latencies)
    books = BOOKS[site.kept] + (f" to {site.kept_until}" if site.kept_until is not None else "")
    bound = "-" if site.bound is None else big(site.bound.flop)
    within = "" if site.bound is None else {None: "within a step", True: "within", False: "ABOVE"}[site.within_bound]
    return (*times, books, span(site.leaked), bound, within)


def workload_line(site: SiteReport, workload: str, step: int, freeze: str | None, resumed: str | None) -> str:
    """Return one line about a workload: where it stopped, what it committed to, what it went on from."""
    states = {item.freeze for item in site.workloads if item.workload == workload}
    frozen = f"frozen {freeze[:16]}..." if freeze else "no commitment"
    went = "" if resumed is None else f", went on from {'the same' if resumed in states else resumed[:16] + '...'}"
    return f"{site.site}: {workload} stopped after step {step}, {frozen}{went}"


def leak_line(order: OrderReport) -> str:
    """Return what leaked at all sites, against the bound."""
    bound = "unknown while a site has not said when it ceased" if order.bound_flop is None else big(order.bound_flop)
    return f"{span(order.leaked)} FLOP from quorum on; bound (chips x peak x utilisation x time): {bound}"


def span(item: Range) -> str:
    """Return a range of FLOP for people."""
    if item.at_least == item.at_most:
        return big(item.at_most)
    return f"{big(item.at_least)} to {big(item.at_most)}"


def big(number: int) -> str:
    """Return a number of FLOP for people: exact below a million, else three significant digits.

    >>> big(999_999), big(1_234_567), big(10**24 - 1)
    ('999 999', '1.23e6', '9.99e23')
    """
    if number < 10**6:
        return f"{number:,}".replace(",", " ")
    digits = str(number)
    return f"{digits[0]}.{digits[1:3]}e{len(digits) - 1}"


def percent(value: Fraction) -> str:
    """Return a share as a percentage with one digit, rounded down.

    >>> percent(Fraction(1, 3))
    '33.3 %'
    """
    whole, tenth = divmod(int(value * 1000), 10)
    return f"{whole}.{tenth} %"
