"""Sealed values: what was found over those that were opened here, verifiers' opinions over theirs, what stays shut."""

from __future__ import annotations

from brakeline.audit.page.first import severity_of
from brakeline.audit.page.parts import esc, many, number, section, table, tag
from brakeline.audit.report import AuditReport
from brakeline.treaty.remedies import remedy

ROWS = 100
"""Rows of each list."""


def sealed(report: AuditReport) -> str:
    """Return the section of sealed values, "" where nothing is sealed and nobody speaks of it."""
    if not (report.opened or report.opinions or report.sealed):
        return ""
    return section(
        "sealed",
        "Sealed values",
        _opened(report),
        _opinions(report),
        _shut(report),
        "<p class=soft>The JSON has all.</p>",
    )


def _opened(report: AuditReport) -> str:
    rows = [
        (
            tag(severity_of(item)),
            esc(item.sentence),
            esc(remedy(str(item.body["rule"])).clears),
            f'<code class="id">{esc(item.digest, 16)}</code>',
        )
        for item in report.opened[:ROWS]
    ]
    caption = (
        f"{many(len(report.opened), 'finding')} over values that were opened to this audit; in no log as findings."
    )
    return table(("severity", "finding", "what would clear it", "digest"), rows, caption) if rows else ""


def _opinions(report: AuditReport) -> str:
    rows = [
        (
            esc(item.log, 120),
            esc(item.body.get("rule", "-"), 64),
            esc(item.body.get("about", "-"), 120),
            esc(item.body.get("period", "-"), 20),
            "reproduced here" if item.reproduced else "<b>not reproduced here</b>: its values were not all opened",
        )
        for item in report.opinions[:ROWS]
    ]
    caption = f"{many(len(report.opinions), 'opinion')} of verifiers over values that only they could open."
    return table(("log", "rule", "about", "period", ""), rows, caption) if rows else ""


def _shut(report: AuditReport) -> str:
    rows = [
        (
            esc(item.author, 120),
            str(item.period) if item.period >= 0 else "-",
            number(item.leaves),
            esc(", ".join(item.holders) or "nobody that was read", 300),
            f"<code>{esc(item.statement, 16)}</code>",
        )
        for item in report.sealed[:ROWS]
    ]
    caption = (
        f"{many(len(report.sealed), 'statement')} with sealed values that were not opened here, and who can open them."
    )
    return (
        table(("author", "period", "values", "who says it can open them", "statement"), rows, caption) if rows else ""
    )
