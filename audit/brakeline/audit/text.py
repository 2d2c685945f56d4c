"""The report for a terminal: what was reproduced, what was found, what could not be checked, how stale the logs are.

Words only; every figure comes from :mod:`brakeline.audit.report`. Colour is the console's business and carries no
meaning that the words do not.
"""

from __future__ import annotations

from datetime import UTC, datetime

from brakeline.audit.report import AuditReport, DocketReport, Exit, FindingReport, LogReport, LogState, Problem
from rich.console import Console
from rich.markup import escape
from rich.table import Table

MEANING = {
    Exit.REPRODUCED: "reproduced; nothing found; nothing open",
    Exit.FINDINGS: "findings stand",
    Exit.MISCONDUCT: "a verifier's misconduct",
    Exit.UNREADABLE: "something was unreadable",
    Exit.OPEN: "reproduced, but something could not be checked, is missing or is stale",
}
_STYLE = {LogState.REPRODUCED: "green", LogState.MISCONDUCT: "bold red", LogState.UNREADABLE: "bold red"}


def instant(ms: int | None) -> str:
    """Return an instant (Unix ms) in UTC for people, or a dash."""
    if ms is None:
        return "-"
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def render(report: AuditReport, console: Console) -> None:
    """Print *report*."""
    name, version = report.treaty
    console.print(f"[bold]treaty[/]   {escape(name) or 'not read'} version {version}, pin {report.pin}")
    if report.as_of_ms is not None:
        given = (
            "as given" if report.as_of_given else "the newest entry of all logs; give --as-of to judge by your clock"
        )
        console.print(f"[bold]as of[/]    {instant(report.as_of_ms)} ({given})")
    console.print(_logs(report.logs))
    for log in report.logs:
        if log.divergence is not None:
            label = "misconduct of" if log.state is LogState.MISCONDUCT else "unreadable:"
            console.print(
                f"[bold red]{label}[/] {escape(log.origin or log.source)}: {escape(log.divergence.sentence())}"
            )
    _problems(console, "unreadable", report.problems)
    _findings(console, report.findings)
    _opened(console, report)
    _docket(console, report.docket)
    _problems(console, "could not be checked", report.unchecked)
    console.print("[bold]what this shows[/]")
    for level in report.levels:
        console.print(f"  {level.name}: [bold]{level.state}[/]. {escape(level.sentence)}")
    console.print(f"[bold]exit {int(report.exit)}[/]   {MEANING[report.exit]}")


def _logs(logs: tuple[LogReport, ...]) -> Table:
    table = Table(title=None, box=None, pad_edge=False)
    for heading in ("log", "state", "entries", "cosigned", "newest entry", "root"):
        table.add_column(heading, overflow="fold")
    for log in logs:
        table.add_row(
            escape(log.origin or log.source),
            f"[{_STYLE[log.state]}]{log.state.value}[/]",
            str(log.size),
            f"{len(log.cosigned)} (needs {log.quorum})",
            instant(log.newest_ms),
            log.root[:16] or "-",
        )
    return table


def _findings(console: Console, findings: tuple[FindingReport, ...]) -> None:
    if not findings:
        console.print("[bold]findings[/] none")
        return
    console.print(f"[bold]findings[/] {len(findings)}")
    for item in findings:
        head = f"  [bold]{item.body['severity']}[/] {item.body['rule']}"
        console.print(f"{head}: {escape(item.sentence)} [dim]{item.digest[:16]}[/]")


def _opened(console: Console, report: AuditReport) -> None:
    """Print what was concluded from sealed values, and exactly what is sealed and was not opened."""
    if report.opened:
        console.print(f"[bold]found over opened values[/] {len(report.opened)} (in no log as findings)")
        for item in report.opened:
            console.print(f"  [bold]{item.body['severity']}[/] {item.body['rule']}: {escape(item.sentence)}")
    if report.opinions:
        console.print("[bold]opinions of verifiers over sealed values[/]")
        for opinion in report.opinions:
            said, how = opinion.body, "reproduced" if opinion.reproduced else "not reproduced here"
            when = f" in period {said['period']}" if "period" in said else ""
            console.print(f"  {escape(opinion.log)}: {said['rule']} about {escape(str(said['about']))}{when}: {how}")
    if report.sealed:
        console.print("[bold]sealed, and not opened here[/]")
        for sealed in report.sealed:
            period = f"period {sealed.period}" if sealed.period >= 0 else "no period"
            holders = ", ".join(sealed.holders) or "nobody that was read"
            console.print(
                f"  {escape(sealed.author)}, {period}, statement {sealed.statement}: {sealed.leaves} values; "
                f"held by {escape(holders)}"
            )


def docket_line(item: DocketReport) -> str:
    """Return what became of one finding, in words."""
    if item.state == "determined":
        return f"determined by the parties: {item.conclusion}"
    if item.state == "referred" and item.reply_due_ms is not None:
        word = f"{len(item.replies)} replies" if item.replies else "no reply"
        return f"referred to the parties: {word}, and it stood when the time was over ({instant(item.reply_due_ms)})"
    if item.state in ("open", "replied") and item.reply_due_ms is not None:
        return f"{item.state}; a reply is asked by {instant(item.reply_due_ms)}"
    if item.state == "cleared":
        return "cleared: it was logged, and no longer stands"
    return item.state


def _docket(console: Console, docket: tuple[DocketReport, ...]) -> None:
    """Print what asks for a reply, was answered, determined or cleared; the rest goes without saying."""
    told = [item for item in docket if item.state != "noted" and (item.state != "referred" or item.reply_due_ms)]
    if told:
        console.print("[bold]docket[/]")
        for item in told:
            console.print(f"  {item.finding[:16]} {escape(docket_line(item))}")


def _problems(console: Console, title: str, problems: tuple[Problem, ...]) -> None:
    if problems:
        console.print(f"[bold]{title}[/]")
        for problem in problems:
            console.print(f"  {escape(problem.sentence())}")
