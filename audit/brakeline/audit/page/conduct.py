"""The verdict's four lists, and how each verifier of the treaty behaved."""

from __future__ import annotations

from collections.abc import Sequence

from brakeline.audit.detail import Detail
from brakeline.audit.page.parts import esc, many, number, section, table
from brakeline.audit.report import AuditReport, LogReport, LogState, Problem
from brakeline.audit.text import instant
from brakeline.treaty.explain import duration

PROBLEMS = 100
"""Problems of one list."""


def lists(report: AuditReport) -> str:
    """Return the four lists: reproduced, found, could not be checked, staleness."""
    found = f'<p>{many(len(report.findings), "finding")}: <a href="#found">below, gravest first</a>.</p>'
    return section(
        "verdict",
        "The verdict in four lists",
        "<h3>1. Reproduced</h3>",
        _logs(report.logs),
        _receipts(report),
        "<h3>2. Found</h3>",
        found,
        '<h3 id="unchecked">3. Could not be checked</h3>',
        _problems([*report.problems, *report.unchecked]),
        "<h3>4. Staleness</h3>",
        _stale(report),
    )


def _logs(logs: Sequence[LogReport]) -> str:
    if not logs:
        return "<p>Nothing: no log was read.</p>"
    rows = [
        (
            esc(log.origin or log.source, 200),
            f"<b>{log.state.value}</b>" + (f"<br>{esc(log.divergence.sentence())}" if log.divergence else ""),
            number(log.size),
            f"<code>{esc(log.root, 64)}</code>",
            f"{len(log.cosigned)} of {log.quorum} needed",
        )
        for log in logs
    ]
    caption = "Reproduced: every hash, link, signature, admission and finding up to the checkpoint was computed again."
    return table(("log", "state", "entries", "root", "cosignatures"), rows, caption, numbers=[2])


def _receipts(report: AuditReport) -> str:
    counts = report.receipts
    if counts is None:
        return ""
    return (
        f"<p>Receipts: {counts.read} read, {counts.honoured} honoured, {counts.dishonoured} not; the rest is undecided "
        "and listed below.</p>"
    )


def _problems(problems: Sequence[Problem]) -> str:
    outside = "<p>Never from logs: compute that is declared nowhere (see fleet-complete).</p>"
    if not problems:
        return "<p>Nothing of what logs can show.</p>" + outside
    rows = [
        (
            f"<code>{esc(item.code, 80)}</code>",
            esc(item.message),
            esc(item.expected or "-", 200),
            esc(item.found or "-", 200),
            esc(item.fix or "-", 300),
        )
        for item in problems[:PROBLEMS]
    ]
    cut = f"The first {PROBLEMS} of {len(problems)}; the JSON has all." if len(problems) > PROBLEMS else ""
    return table(("code", "what", "expected", "found", "what to do"), rows, cut) + outside


def _stale(report: AuditReport) -> str:
    if report.as_of_ms is None:
        return "<p>No log could be read, so nothing can be said.</p>"
    rows = [
        (
            esc(log.origin or log.source, 200),
            instant(log.newest_ms),
            f"<b>older than allowed by {duration(log.stale_ms)}</b>" if log.stale_ms else "as fresh as the treaty asks",
        )
        for log in report.logs
        if log.newest_ms is not None
    ]
    given = "as the auditor gave it" if report.as_of_given else "of the newest entry read, since no time was given"
    return table(("log", "newest entry", ""), rows, f"Judged at {instant(report.as_of_ms)}, the time {given}.")


def conduct(report: AuditReport, detail: Detail) -> str:
    """Return the section of verifiers."""
    by_origin: dict[str, list[LogReport]] = {}
    for log in report.logs:
        by_origin.setdefault(log.origin, []).append(log)
    rows: list[tuple[str, ...]] = []
    for item in detail.logs:
        copies = by_origin.get(item.origin, [])
        about = [found for found in report.findings if found.body["about"] == item.origin]
        best = max(copies, key=lambda log: log.size, default=None)
        broken = [log for log in copies if log.state is LogState.MISCONDUCT and log.divergence is not None]
        said = [esc(found.sentence) for found in about[:3]] + [
            esc(log.divergence.sentence()) for log in broken[:1] if log.divergence is not None and not about
        ]
        rows.append(
            (
                esc(item.origin, 200),
                esc(item.party, 200),
                "<br>".join(said) or ("nothing found" if item.read else "<b>not read</b>"),
                number(None if best is None else best.size),
                number(None if best is None else best.entries.get("heartbeat", 0)),
                number(item.later_ms),
                number(item.latest_ms),
                number(item.compared),
            )
        )
    headings = ("verifier", "run by", "conduct", "entries", "heartbeats", "later by, ms", "at most", "compared")
    caption = (
        "Later by: how much after the first log it had a statement that several hold (median and most), over as many "
        "statements as are compared, by the logs' own clocks. Slowness is no misconduct."
    )
    blind = (
        "<p class=soft>Seen: two histories, false findings, omission of what it says it mirrored, wrong dates, "
        "receipts not honoured. Not seen: a mere refusal, which leaves no proof; more verifiers that lie alike than "
        "the treaty reckons with.</p>"
    )
    table_ = table(headings, rows, caption, numbers=range(3, len(headings)))
    return section("conduct", "Verifiers and how they behaved", table_, blind)
