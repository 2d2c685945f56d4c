"""The first screen: who is accused of what, what could not be checked, how fresh the logs are and how many agreed.

Below them the three levels, apart: no colour and no word of this page says that all is well.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from brakeline.audit.detail import Detail
from brakeline.audit.page.parts import esc, many, tag
from brakeline.audit.report import AuditReport, Exit, FindingReport, LogReport, LogState
from brakeline.audit.text import MEANING, instant
from brakeline.treaty.explain import duration
from brakeline.treaty.findings import Severity
from brakeline.treaty.remedies import remedy

SHOWN = 5
"""Lines of a fact; the sections below have them all."""
GRAVITY = [severity.value for severity in (Severity.REFERRAL, Severity.DISCREPANCY, Severity.NOTE)]

ASKS = {
    "run-correct": "Does any evidence contradict what was declared?",
    "run-complete": "Is every period of every declared chip accounted for?",
    "fleet-complete": "Is there compute outside the declared inventory?",
}


@dataclass(slots=True)
class Accused:
    """Whom findings are about, how many of which severity, and of what."""

    about: str
    verifier: bool
    severities: Counter[str] = field(default_factory=Counter[str])
    rules: Counter[str] = field(default_factory=Counter[str])

    @property
    def rank(self) -> tuple[int, int, str]:
        """Gravest and most first."""
        gravest = min(GRAVITY.index(name) for name in self.severities)
        return gravest, -self.severities[GRAVITY[gravest]], self.about


def accused(report: AuditReport) -> list[Accused]:
    """Return whom the report accuses, gravest first; a log that ended in misconduct accuses its verifier."""
    found: dict[str, Accused] = {}
    for item in (*report.findings, *report.opened):
        about = str(item.body["about"])
        one = found.setdefault(about, Accused(about, item.misconduct))
        one.severities[severity_of(item)] += 1
        one.rules[str(item.body["rule"])] += 1
    for log in report.logs:
        if log.state is LogState.MISCONDUCT and log.origin not in found:
            one = found[log.origin] = Accused(log.origin, verifier=True)
            one.severities[Severity.REFERRAL.value] += 1
            one.rules["verifier-conduct"] += 1
    return sorted(found.values(), key=lambda item: item.rank)


def severity_of(item: FindingReport) -> str:
    """Return the severity of a finding, one of the three that are known."""
    named = str(item.body["severity"])
    return named if named in GRAVITY else Severity.NOTE.value


def head(report: AuditReport, title: str) -> str:
    """Return the title, of which treaty and when, and the verdict in a sentence."""
    name, version = report.treaty
    named = f"{esc(name, 200)}, version {version}" if name else "treaty not read"
    given = "" if report.as_of_given or report.as_of_ms is None else ", the newest entry read"
    counts = Counter(severity_of(item) for item in (*report.findings, *report.opened))
    said = ", ".join(
        many(counts[name], *words)
        for name, words in (
            (GRAVITY[0], ("referral", "referrals")),
            (GRAVITY[1], ("discrepancy", "discrepancies")),
            (GRAVITY[2], ("note", "notes")),
        )
        if counts[name]
    )
    verdict = f"{MEANING[report.exit].capitalize()}{'; in all ' + said if said else ''}."
    return (
        f"<h1>{esc(title)}: {named}</h1>"
        f'<p class="verdict"><strong>{esc(verdict)}</strong> <span class="soft">As of '
        f"{instant(report.as_of_ms)}{given}; exit code {int(report.exit)}.</span></p>"
    )


def facts(report: AuditReport, detail: Detail | None) -> str:
    """Return the three facts."""
    return f'<div class="facts">{_accused(report)}{_unchecked(report)}{_fresh(report, detail)}</div>'


def levels(report: AuditReport) -> str:
    """Return the three levels of assurance, apart."""
    boxes = "".join(
        f'<div class="fact {_tone(level.state)}"><h3>{esc(level.name)}: {esc(level.state)}</h3>'
        f"<p><i>{ASKS.get(level.name, '')}</i> {esc(level.sentence)}</p></div>"
        for level in report.levels
    )
    return f'<div class="facts levels">{boxes}</div>' if boxes else ""


def _tone(state: str) -> str:
    return {"contradicted": "bad", "incomplete": "bad"}.get(
        state, "open" if state == "outside evidence only" else "calm"
    )


def _fact(name: str, tone: str, title: str, body: str) -> str:
    return f'<div class="fact {tone}" id="fact-{name}"><h2>{esc(title)}</h2>{body}</div>'


def _accused(report: AuditReport) -> str:
    found = accused(report)
    if not found:
        broken = report.exit is Exit.UNREADABLE
        said = "What could be read" if broken else "What the logs hold"
        return _fact(
            "accused", "calm", "Nobody is accused", f"<p>{said} breaks no rule in force. That is not innocence.</p>"
        )
    kinds = Counter("verifier" if item.verifier else "site" if "/" in item.about else "lab" for item in found)
    who = ", ".join(many(kinds[kind], kind) for kind in ("site", "lab", "verifier") if kinds[kind])
    rows = "".join(f"<li>{_line(item)}</li>" for item in found[:SHOWN])
    more = f'<p><a href="#found">and {len(found) - SHOWN} more</a></p>' if len(found) > SHOWN else ""
    grave = "bad" if any(GRAVITY[0] in item.severities for item in found) else "open"
    return _fact("accused", grave, f"Accused: {who}", f"<ul>{rows}</ul>{more}")


def _line(item: Accused) -> str:
    tags = " ".join(tag(name, item.severities[name]) for name in GRAVITY if item.severities[name])
    most = [remedy(rule).title for rule, _ in item.rules.most_common(3)]
    more = f" and {len(item.rules) - 3} more kinds" if len(item.rules) > 3 else ""
    return f'<b class="who">{esc(item.about, 90)}</b>{tags} {esc("; ".join(most))}{more}'


def _unchecked(report: AuditReport) -> str:
    said = [esc(item.message, 170) for item in report.problems]
    said += [_cut_short(log) for log in report.logs if log.divergence is not None]
    said += [esc(item.message, 170) for item in report.unchecked]
    figures = {level.name: level.figures for level in report.levels}
    if unstated := figures.get("run-correct", {}).get("unverifiable", 0):
        said.append(f"{many(unstated, 'figure')} that rules need and nobody stated, or that are sealed")
    if report.sealed:
        said.append(f"{many(len(report.sealed), 'statement')} with sealed values that were not opened here")
    rows = "".join(f"<li>{text}</li>" for text in said[:4])
    more = f'<p><a href="#unchecked">and {len(said) - 4} more</a></p>' if len(said) > 4 else ""
    outside = figures.get("fleet-complete", {})
    always = "<b>Never from logs:</b> compute that is declared nowhere"
    if "sites" in outside:
        always += f". Third parties metered {outside['metered']} of {outside['sites']} sites"
    title = f"Could not be checked: {many(len(said), 'thing')}" if said else "Could not be checked: what no log shows"
    all_else = "" if said else "<li>Everything that stands in the logs was checked.</li>"
    return _fact("unchecked", "open", title, f"<ul>{rows}{all_else}<li>{always}.</li></ul>{more}")


def _cut_short(log: LogReport) -> str:
    problem = log.divergence
    if problem is None or problem.index is None:
        return f"{esc(_name(log), 90)} could not be read"
    return f"{esc(_name(log), 90)} beyond entry {problem.index}, where its replay ended"


def _fresh(report: AuditReport, detail: Detail | None) -> str:
    whole = {log.origin for log in report.logs if log.state is LogState.REPRODUCED and log.origin}
    about = {item.about for item in accused(report) if item.verifier}
    agreed = sorted(whole - about)
    known = len(report.logs) if detail is None else len(detail.document.verifiers)
    need = "" if detail is None else f" (an audit needs {detail.document.quorum.audit})"
    newest = max((log.newest_ms for log in report.logs if log.newest_ms is not None), default=None)
    rows: list[str] = []
    if newest is not None and report.as_of_ms is not None:
        rows.append(f"Newest entry <b>{instant(newest)}</b>, {_age(report.as_of_ms - newest)}")
    rows.append(f"<b>{len(whole)} of {known}</b> logs read and reproduced to the last entry{need}")
    cosigned = [log for log in report.logs if log.state is LogState.REPRODUCED]
    if cosigned:
        fewest = min(len(log.cosigned) for log in cosigned)
        rows.append(
            f"Every checkpoint cosigned by at least <b>{fewest}</b> witnesses; the treaty asks {cosigned[0].quorum}"
        )
    stale = [log for log in report.logs if log.stale_ms]
    rows += [f"<b>Stale:</b> {esc(_name(log), 60)} by {duration(log.stale_ms)}" for log in stale[:2]]
    if not report.as_of_given and report.as_of_ms is not None:
        rows.append("Judged at the newest entry, since no time was given: logs that all stopped look fresh")
    title = f"{len(agreed)} of {known} logs agree" + (f", {len(stale)} stale" if stale else "")
    tone = "calm" if len(agreed) == known and not stale and report.as_of_given else "open"
    return _fact("fresh", tone, title, f"<ul>{''.join(f'<li>{row}</li>' for row in rows)}</ul>")


def _age(ms: int) -> str:
    if ms < 0:
        return f"{duration(-ms)} after the time of this report"
    return "the time of this report" if ms == 0 else f"{_rough(ms)} before the time of this report"


def _rough(ms: int) -> str:
    """Return a length of time in the largest unit that is full, rounded down."""
    for unit, length in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1_000)):
        if ms >= 2 * length:
            return f"{ms // length} {unit}"
    return f"{ms} ms"


def _name(log: LogReport) -> str:
    return log.origin or log.source
