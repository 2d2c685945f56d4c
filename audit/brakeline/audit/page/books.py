"""What the books say the chips did, site by site, and which training run descends from which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from brakeline.audit.detail import Detail, RunBooks, SiteBooks, Span
from brakeline.audit.orders.text import big
from brakeline.audit.page import charts
from brakeline.audit.page.first import accused
from brakeline.audit.page.parts import esc, fold, many, number, section, table
from brakeline.audit.report import AuditReport
from brakeline.treaty.names import lab_of

CHARTED = 12
"""Sites that get a chart of their own: those that findings are about, then the largest."""
ROWS = 200
"""Sites in the table."""
LANES = 40
"""Runs in the graph and in its table."""


def books(report: AuditReport, detail: Detail) -> str:
    """Return the section of books."""
    together = detail.together
    if not together.booked and not together.total_ms:
        return section("books", "Books", "<p>The logs read hold no books.</p>")
    about = {item.about for item in accused(report)}
    first = sorted(
        detail.sites, key=lambda item: (item.site not in about and lab_of(item.site) not in about, -item.total_ms)
    )
    shown = [item for item in first if item.total_ms][:CHARTED]
    width = together.columns[0].last - together.columns[0].first + 1
    per = "a column is a period" if width == 1 else f"a column is {width} periods"
    parts = [charts.books(together, f"All {len(detail.sites)} sites: chip time by activity, as booked; {per}.")]
    for item in shown:
        named = " (findings are about it)" if item.site in about or lab_of(item.site) in about else ""
        parts.append(f"<h3>{esc(item.site, 200)}{named}</h3>")
        parts.append(charts.books(item, f"{item.site}: {_summary(item)}"))
    left = len(detail.sites) - len(shown)
    parts.append(f"<p>{many(left, 'further site')} without a chart here; the table has them.</p>" if left else "")
    parts.append(_table(detail.sites))
    return section("books", "Books: what chips are said to have done", *parts, _WARNING)


_WARNING = (
    "<p class=soft>Books are what a site signed, not what happened: findings say where evidence contradicts them. "
    "Where a period has several versions, the one with the most chip time is drawn.</p>"
)


def _summary(item: SiteBooks) -> str:
    shares = [
        f"{name.value} {_percent(item.chip_ms[name], item.total_ms)}" for name in charts.COLOURS if item.chip_ms[name]
    ]
    missing = f"; books missing for {many(item.missing_periods, 'period')}: {_spans(item)}" if item.missing else ""
    return f"{many(item.booked, 'period')} booked, {', '.join(shares)}{missing}."


def _table(sites: Sequence[SiteBooks]) -> str:
    kinds = list(charts.COLOURS)
    rows = [
        (
            esc(item.site, 120),
            number(item.booked),
            f"{number(item.missing_periods)}{' (' + esc(_spans(item)) + ')' if item.missing else ''}",
            number(item.versions) if item.versions > 0 else "0",
            number(item.total_ms),
            *(_percent(item.chip_ms[kind], item.total_ms) for kind in kinds),
            esc(big(item.flop)) + ("*" if item.unstated_ms else ""),
        )
        for item in sites[:ROWS]
    ]
    cut = f" The first {ROWS} of {len(sites)} sites." if len(sites) > ROWS else ""
    caption = f"Books by site, in order of name. * a lower bound: some lines state no FLOP.{cut}"
    headings = ("site", "periods", "missing", "further versions", "chip-ms", *(k.value for k in kinds), "FLOP")
    return fold("Every site in figures", table(headings, rows, caption, numbers=range(1, len(headings))))


def _spans(item: SiteBooks) -> str:
    named = ", ".join(_span(span) for span in item.missing)
    listed = sum(last - first + 1 for first, last in item.missing)
    return named + (" and more" if listed < item.missing_periods else "")


def _span(span: Span) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]} to {span[1]}"


def _percent(part: int, whole: int) -> str:
    """Return a share as whole per cent, never rounding something to nothing or a part to all."""
    if not whole or not part:
        return "0 %"
    share = 100 * part // whole
    return "< 1 %" if share == 0 else f"{share} %"


def lineages(detail: Detail) -> str:
    """Return the section of runs and descent."""
    if detail.document.rule("threshold") is None:
        return section(
            "lineages", "Lineages", "<p>No threshold is in force, so nobody asks which run descends from which.</p>"
        )
    if not detail.runs:
        return section("lineages", "Lineages", "<p>The books name no training run.</p>")
    shown = _chosen(detail.runs)
    lanes = _in_lanes(shown)
    left = len(detail.runs) - len(shown)
    cut = f" {left} smaller runs are left out." if left else ""
    caption = (
        "Each bar is a run, from the first period it was booked in to the last; a dashed line leads from a run to what "
        f"was made from it.{cut}"
    )
    drawn = charts.lineages(lanes, caption) if any(run.periods for run in lanes) else ""
    rows = [
        (
            esc(run.workload, 80)
            + (f"<br><span class=soft>{many(len(run.names), 'name')}</span>" if len(run.names) > 1 else ""),
            esc(run.lab, 120),
            _span(run.periods) if run.periods else "-",
            number(run.sites),
            number(run.chip_ms),
            esc(big(run.flop)),
            "<br>".join(esc(f"{workload} · {lab}", 120) for lab, workload in run.parents[:6]) or "-",
            number(run.strangers) if run.strangers else "-",
            "<br>".join(f"{esc(name, 64)} in period {period}" for name, period in sorted(run.passed.items())) or "-",
        )
        for run in lanes
    ]
    headings = ("run", "lab", "periods", "sites", "chip-ms", "FLOP", "made from", "parents unknown", "threshold passed")
    table_ = table(headings, rows, f"Runs and what they were made from.{cut}", numbers=[3, 4, 5])
    said = (
        "<p class=soft>A run is what shares a workload's name, or code and data, within a lab. Whoever changes all of "
        "them at once hides a lineage from this graph; other rules look for that.</p>"
    )
    return section("lineages", "Lineages: which run was made from which", drawn, table_, said)


def _chosen(runs: Sequence[RunBooks]) -> list[RunBooks]:
    """Return the runs to show: those that passed a threshold, then those in a line of descent, then the largest."""
    inside = {(run.lab, run.workload) for run in runs if run.parents} | {key for run in runs for key in run.parents}
    ranked = sorted(
        runs, key=lambda run: (not run.passed, (run.lab, run.workload) not in inside, -run.flop, -run.chip_ms)
    )
    return ranked[:LANES]


def _in_lanes(runs: Iterable[RunBooks]) -> list[RunBooks]:
    """Return *runs* so that what was made from a run stands below it; circles are cut where they are met."""
    known = {(run.lab, run.workload): run for run in sorted(runs, key=lambda run: (run.lab, run.workload))}
    children: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for key, run in known.items():
        for parent in run.parents:
            children.setdefault(parent, []).append(key)
    order: dict[tuple[str, str], RunBooks] = {}
    roots = [key for key, run in known.items() if not any(parent in known for parent in run.parents)]
    stack = [*reversed([*roots, *known])]
    while stack:
        key = stack.pop()
        if key not in order:
            order[key] = known[key]
            stack += reversed([child for child in children.get(key, ()) if child not in order])
    return list(order.values())
