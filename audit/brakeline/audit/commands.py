"""``brakeline audit``: replay logs, write test vectors. Nothing heavy is imported before a command runs.

Exit codes of ``replay`` are those of :mod:`brakeline.audit.report` (docs/spec/report.md); 2 from typer itself, for a
wrong command line, is told apart by the usage text on standard error.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from brakeline.audit.report import AuditReport

app = typer.Typer(help="Recompute what logs say; trust nobody.", no_args_is_help=True)


@app.callback()
def audit() -> None:
    """Recompute what logs say; trust nobody."""


class Format(StrEnum):
    """How the report is printed."""

    TEXT = "text"
    JSON = "json"


def parse_instant(text: str) -> int:
    """Return Unix ms of an instant: Unix milliseconds, or ISO 8601 with an offset (``2026-03-01T12:00:00Z``).

    Raises:
        typer.BadParameter: anything else (a time without an offset means different instants to different people).
    """
    from datetime import datetime

    if text.isascii() and text.isdigit() and len(text) <= 16:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter("expected Unix milliseconds or ISO 8601 with an offset, such as 2026-03-01T12:00:00Z")
    return round(moment.timestamp() * 1000)


@app.command(epilog="Example: brakeline audit replay logs/* --treaty treaty.toml --pin 9f86d081... --format json")
def replay(
    sources: Annotated[list[str], typer.Argument(help="Logs: exported directories, or http(s) addresses.")],
    treaty: Annotated[Path, typer.Option(help="The treaty: TOML, or its signed envelope (DSSE JSON).")],
    pin: Annotated[str, typer.Option(help="The treaty's digest, 64 hex digits, from a source you trust.")],
    as_of: Annotated[
        str | None, typer.Option(help="Judge staleness at this time: Unix ms, or ISO 8601 with an offset.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="text for people, json (docs/spec/report.md) for programs.")
    ] = Format.TEXT,
    html: Annotated[Path | None, typer.Option(help="Also write the report as one self-contained HTML page.")] = None,
    paranoid: Annotated[
        bool, typer.Option("--paranoid", help="Verify every statement with both signature libraries.")
    ] = False,
) -> None:
    """Recompute every hash, link, signature, admission, finding and the verdict of the given logs.

    Exit codes: 0 reproduced, nothing found, nothing open; 1 findings; 2 a verifier's misconduct; 3 unreadable input;
    4 reproduced, but something could not be checked, is missing or is stale. Where several apply: 3 before 2, 1, 4.
    """
    from brakeline.audit.replay import audit_sources

    as_of_ms = None if as_of is None else parse_instant(as_of)
    report = audit_sources(sources, treaty, pin.lower(), as_of_ms=as_of_ms, paranoid=paranoid)
    if html is not None:
        _write_html(report, html, _command(sources, treaty, pin, as_of))
    _show(report, form)
    raise typer.Exit(int(report.exit))


@app.command(epilog="Example: brakeline audit vectors --out docs/spec/vectors")
def vectors(
    out: Annotated[Path, typer.Option(help="Directory to write into; made if absent.")] = Path("docs/spec/vectors"),
) -> None:
    """Write byte-exact test vectors of every format, from fixed seeds (always the same bytes)."""
    from brakeline.audit.vectors import write

    for path in write(out):
        typer.echo(str(path))


def _show(report: AuditReport, form: Format) -> None:
    if form is Format.JSON:
        import json

        typer.echo(json.dumps(report.to_json(), indent=2, sort_keys=True, ensure_ascii=False))
        return
    from brakeline.audit.text import render
    from rich.console import Console

    render(report, Console(soft_wrap=True, highlight=False))


def _write_html(report: AuditReport, path: Path, command: str) -> None:
    from brakeline.audit.html import render

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(report, command=command), encoding="utf-8")


def _command(sources: list[str], treaty: Path, pin: str, as_of: str | None) -> str:
    import shlex

    words = ["brakeline", "audit", "replay", *sources, "--treaty", str(treaty), "--pin", pin]
    return shlex.join([*words, *(["--as-of", as_of] if as_of else [])])
