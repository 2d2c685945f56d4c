"""Findings by severity, in plain sentences, each with its article and what would clear it; and the docket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from brakeline.audit.page.first import GRAVITY, severity_of
from brakeline.audit.page.parts import esc, fold, many, number, section, table, tag
from brakeline.audit.report import AuditReport, DocketReport, FindingReport
from brakeline.audit.text import docket_line, instant
from brakeline.treaty.remedies import remedy
from brakeline.treaty.rule_table import RULES
from brakeline.treaty.strictjson import JsonValue

IN_FULL = 40
"""Findings of one severity that are shown in full."""
GROUPS = 100
"""Rows of the table that adds up the rest."""
DOCKET = 100
"""Rows of the docket."""

_ASKS = {
    "referral": "goes to the parties",
    "discrepancy": "opens a query: whom it is about may reply, and what still stands after that goes to the parties",
    "note": "asks nothing of anybody",
}


def findings(report: AuditReport) -> str:
    """Return the section of findings."""
    docket = {item.finding: item for item in report.docket}
    parts: list[str] = []
    for name in GRAVITY:
        items = [item for item in report.findings if severity_of(item) == name]
        if items:
            parts.append(f"<h3>{tag(name)} {many(len(items), 'finding')}: {_ASKS[name]}</h3>")
            parts += [_finding(item, docket.get(item.digest)) for item in items[:IN_FULL]]
            parts.append(_rest(items[IN_FULL:]))
    none = "<p>None. No rule in force was broken by what the logs hold.</p>"
    said = (
        "<p class=soft>A finding is a computation over signed statements, named by digest. Software never pronounces "
        "non-compliance: a referral is the strongest thing it says.</p>"
    )
    return section("found", "Findings, gravest first", *(parts or [none]), said)


def _finding(item: FindingReport, docket: DocketReport | None) -> str:
    body, rule = item.body, str(item.body["rule"])
    row = RULES.get(rule)
    clears = remedy(rule).clears
    state = f" · {esc(docket_line(docket))}" if docket is not None else ""
    tone = {"referral": "bad", "discrepancy": "open"}.get(severity_of(item), "calm")
    figures, statements = _object(body.get("figures")), _list(body.get("statements"))
    facts = [
        ("rule", f"{esc(rule)}: {esc(row.fires) if row else 'not one of this version'}"),
        ("what it cannot see", esc(row.blind) if row else "-"),
        ("period", esc(body.get("period", "-"))),
        *((esc(name, 64), f"<code>{esc(value, 200)}</code>") for name, value in sorted(figures.items())),
        ("statements", "<br>".join(f"<code>{esc(digest, 64)}</code>" for digest in statements[:8]) or "-"),
        ("finding", f"<code>{esc(item.digest, 64)}</code>"),
    ]
    more = f"<p>and {len(statements) - 8} more statements: in the JSON</p>" if len(statements) > 8 else ""
    return (
        f'<div class="finding {tone}"><p class="what"><b>{esc(item.sentence)}</b></p>'
        f"<p class=soft>{esc(body['article'], 200)}{state}</p><p><i>What would clear it:</i> {esc(clears)}</p>"
        f"{fold('Figures and statements', table(('', ''), facts), more)}</div>"
    )


def _rest(items: Sequence[FindingReport]) -> str:
    """Return what is beyond IN_FULL, added up by whom it is about and by rule."""
    if not items:
        return ""
    groups: dict[tuple[str, str], list[FindingReport]] = {}
    for item in items:
        groups.setdefault((str(item.body["about"]), str(item.body["rule"])), []).append(item)
    largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    rows = [
        (esc(about, 120), f"{esc(rule, 64)}: {esc(remedy(rule).title)}", number(len(found)), _periods(found))
        for (about, rule), found in largest[:GROUPS]
    ]
    cut = f"; {len(largest) - GROUPS} smaller groups left out" if len(largest) > GROUPS else ""
    caption = f"{len(items)} further findings of this severity, added up{cut}. The JSON has every one."
    return table(("about", "rule", "findings", "periods"), rows, caption, numbers=[2])


def _periods(items: Iterable[FindingReport]) -> str:
    known = [period for item in items if isinstance(period := item.body.get("period"), int)]
    if not known:
        return "-"
    return str(min(known)) if min(known) == max(known) else f"{min(known)} to {max(known)}"


def docket(report: AuditReport) -> str:
    """Return the docket: what became of each finding, and what was cleared; nothing is ever taken off it."""
    known = {item.digest: item for item in report.findings}
    told = [item for item in report.docket if item.state != "noted"]
    rows = [
        (
            f'<b class="id">{esc(item.state)}</b>',
            esc(item.sentence) or "a finding whose words no log read has",
            f'<span class="id">{instant(item.opened_ms)}</span>',
            f'<span class="id">{instant(item.reply_due_ms)}</span>',
            "<br>".join(f"<code>{esc(reply, 16)}</code>" for reply in item.replies[:4]) or "-",
            esc(item.conclusion or "-")
            + (f"<br><code>{esc(item.determination, 16)}</code>" if item.determination else ""),
            f'<code class="id">{esc(item.finding, 16)}</code>'
            + ("" if item.finding in known else "<br>no longer stands"),
        )
        for item in told[:DOCKET]
    ]
    if not rows:
        return section("docket", "Docket", "<p>Empty: no finding asks for a reply, and none was cleared.</p>")
    cut = f" The first {DOCKET} of {len(told)}; the JSON has all." if len(told) > DOCKET else ""
    noted = sum(1 for item in report.docket if item.state == "noted")
    caption = f"What became of each finding; {many(noted, 'note')} left out.{cut}"
    headings = ("state", "finding", "its time began", "reply due", "replies", "determined", "digest")
    return section("docket", "Docket", table(headings, rows, caption))


def _object(value: JsonValue | None) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue | None) -> list[JsonValue]:
    return value if isinstance(value, list) else []
