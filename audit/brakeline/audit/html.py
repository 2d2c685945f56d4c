"""The report as one self-contained page: no script, no network, no font from elsewhere; prints as it reads.

What a delegate needs stands first: whether the logs could be reproduced, what was found, what could not be checked.
Every figure is the report's (:mod:`brakeline.audit.report`), and the last section says how to recompute it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from brakeline.audit.report import AuditReport, DocketReport, FindingReport, LogReport, LogState, Problem
from brakeline.audit.text import MEANING, docket_line, instant

_STYLE = """
:root{color-scheme:light dark;--ink:#1a1a1a;--soft:#5a5a5a;--line:#d6d6d6;--back:#fff;
--good:#1b6e3c;--bad:#a3161a;--open:#8a5a00}
@media(prefers-color-scheme:dark){:root{--ink:#eee;--soft:#aaa;--line:#444;--back:#161616;
--good:#6fcf97;--bad:#ff8a80;--open:#f2c14e}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);
max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .5rem;border-bottom:1px solid var(--line)}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line)}
code{font-size:.85em;overflow-wrap:anywhere}.soft{color:var(--soft)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(16rem,1fr));gap:1rem;margin:1.2rem 0}
.fact{border:1px solid var(--line);border-top:.35rem solid var(--tone);padding:.7rem .9rem}
.fact b{display:block;font-size:1.15rem}
.good{--tone:var(--good)}.bad{--tone:var(--bad)}.open{--tone:var(--open)}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr,.fact{break-inside:avoid}}
"""


def render(report: AuditReport, *, title: str = "Audit of a treaty's logs", command: str = "") -> str:
    """Return the page. *command* is the command line that reproduces the report, shown as given."""
    name, version = report.treaty
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(name) or 'treaty not read'}, version {version}, as of {instant(report.as_of_ms)}. "
        f"<strong>{escape(MEANING[report.exit])}</strong> (exit {int(report.exit)}).</p>",
        _facts(report),
        "<h2>What this shows, and what it cannot</h2>",
        table(
            ("level", "state", "in words"),
            ((escape(x.name), f"<b>{escape(x.state)}</b>", escape(x.sentence)) for x in report.levels),
        ),
        "<h2>Findings</h2>",
        _findings(report.findings, {item.finding: item for item in report.docket}),
        _cleared(report),
        "<h2>Logs</h2>",
        _logs(report.logs),
        _problems("Unreadable", report.problems),
        _problems("Could not be checked", report.unchecked),
        "<h2>Recompute it</h2>",
        f"<p>Treaty digest (the pin): <code>{escape(report.pin)}</code></p>",
        f"<p><code>{escape(command)}</code></p>" if command else "",
        '<p class="soft">A finding is named by the SHA-256 of its canonical JSON, a statement by that of its payload. '
        "Software never pronounces non-compliance: a referral is the strongest thing it says.</p>",
    ]
    return document(title, body)


def document(title: str, body: Iterable[str], *, style: str = "") -> str:
    """Return a whole page of *body* (HTML), with the house's style and *style* after it."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    page = f"<head>{head}<style>{_STYLE}{style}</style></head><body>{''.join(body)}</body>"
    return f'<!doctype html><html lang="en">{page}</html>\n'


def card(tone: str, head: str, text: str) -> str:
    """Return a card for the top of a page; *tone* is good, bad or open, *head* and *text* are plain text."""
    return f'<div class="fact {tone}"><b>{escape(head)}</b>{escape(text)}</div>'


def _facts(report: AuditReport) -> str:
    good = [log for log in report.logs if log.state is LogState.REPRODUCED]
    conduct = [item for item in report.findings if item.misconduct]
    logs = "good" if len(good) == len(report.logs) and good and not report.problems else "bad"
    about = sorted({str(item.body["about"]) for item in report.findings})
    found = f"{len(report.findings)} finding{'' if len(report.findings) == 1 else 's'}"
    what = f"About {', '.join(about)}." if about else "No rule in force was broken by what the logs hold."
    if conduct:
        what += f" {len(conduct)} about the conduct of verifiers."
    unchecked = len(report.unchecked)
    cannot = (
        "; ".join(problem.message for problem in report.unchecked[:3]) or "Everything that logs can show was checked."
    )
    cards = (
        (
            logs,
            f"{len(good)} of {len(report.logs)} logs reproduced",
            "Every hash, link, signature and conclusion recomputed.",
        ),
        ("bad" if report.findings else "good", found, what),
        ("open" if unchecked else "good", f"{unchecked} not checked", cannot),
    )
    inner = "".join(card(*item) for item in cards)
    return f'<div class="facts">{inner}</div>'


def _cleared(report: AuditReport) -> str:
    """Return what stood once and does not now: nothing is ever taken off the docket."""
    standing = {item.digest for item in report.findings}
    gone = [item for item in report.docket if item.finding not in standing]
    if not gone:
        return ""
    rows = ((escape(item.sentence) or f"<code>{item.finding}</code>", escape(docket_line(item))) for item in gone)
    return "<h2>Cleared</h2>" + table(("finding", "what became of it"), rows)


def _findings(findings: Sequence[FindingReport], docket: Mapping[str, DocketReport]) -> str:
    if not findings:
        return "<p>None.</p>"
    rows = (
        (
            f"<b>{escape(str(item.body['severity']))}</b>",
            f"{escape(str(item.body['rule']))}<br><span class=soft>{escape(str(item.body['article']))}</span>",
            escape(str(item.body["about"])),
            str(item.body.get("period", "-")),
            f"{escape(item.sentence)}<br><code class=soft>{item.digest}</code>",
            escape(docket_line(docket[item.digest])) if item.digest in docket else "-",
        )
        for item in findings
    )
    return table(("severity", "rule", "about", "period", "finding", "docket"), rows)


def _logs(logs: Sequence[LogReport]) -> str:
    rows = (
        (
            escape(log.origin or log.source),
            f"<b>{log.state.value}</b>" + (f"<br>{escape(log.divergence.sentence())}" if log.divergence else ""),
            f"{log.size}<br><code class=soft>{log.root}</code>",
            f"{len(log.cosigned)}, needs {log.quorum}",
            instant(log.newest_ms) + (f"<br><b>stale by {log.stale_ms} ms</b>" if log.stale_ms else ""),
        )
        for log in logs
    )
    return table(("log", "state", "entries, root", "cosigned", "newest entry"), rows)


def _problems(title: str, problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{escape(problem.sentence())}</li>" for problem in problems)
    return f"<h2>{escape(title)}</h2><ul>{items}</ul>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; *headings* are plain text, cells are HTML."""
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
