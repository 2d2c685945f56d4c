"""``brakeline audit``: replay logs, check evidence, write vectors. Nothing heavy is imported before a command runs.

Exit codes of ``replay`` are those of :mod:`brakeline.audit.report` (docs/spec/report.md); 2 from typer itself, for a
wrong command line, is told apart by the usage text on standard error.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from brakeline.audit.detail import Detail
    from brakeline.audit.evidence.bundle import Bundle
    from brakeline.audit.look import Look
    from brakeline.audit.report import AuditReport

_OURSELVES = (sys.executable, "-c", "from brakeline.cli import main; main()", "audit", "answer-cases")

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
    receipts: Annotated[
        Path | None, typer.Option(help="A folder of receipts (*.tlog-proof): does each log still honour them?")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="Write a bundle of evidence a misdeed into this folder; made if absent.")
    ] = None,
    tables: Annotated[
        Path | None, typer.Option(help="Write Parquet tables into this folder (docs/spec/tables.md); made if absent.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep states here, and go on from them; a folder that only you can write.")
    ] = None,
    save_every: Annotated[int, typer.Option(min=1, help="Entries of a log between two states.")] = 65_536,
    since: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint that you kept: signatures up to it were checked before.")
    ] = None,
    processes: Annotated[int, typer.Option(min=0, max=64, help="Processes; 0: as the logs' length asks for.")] = 0,
    policy: Annotated[
        Path | None, typer.Option(help="Your own witness policy (C2SP tlog-policy), judged beside the treaty's.")
    ] = None,
    progress: Annotated[
        bool | None, typer.Option(help="Say how far it is; by default when somebody watches.", show_default=False)
    ] = None,
    disclosures: Annotated[
        Path | None,
        typer.Option(help="A folder of disclosures (*.disclosure.json), to reproduce opinions."),
    ] = None,
) -> None:
    """Recompute every hash, link, signature, admission, finding and the verdict of the given logs.

    Exit codes: 0 reproduced, nothing found, nothing open; 1 findings; 2 a verifier's misconduct; 3 unreadable input;
    4 reproduced, but something could not be checked, is missing or is stale. Where several apply: 3 before 2, 1, 4.
    """
    from brakeline.audit.copies import read_policy
    from brakeline.audit.opinions import disclosures_in
    from brakeline.audit.pinned import load_pinned
    from brakeline.audit.reading.one import Reading, read_kept
    from brakeline.audit.reading.pace import Pace
    from brakeline.audit.replay import audit_sources
    from brakeline.ledger import collector

    collector.settle()
    own = None if policy is None else read_policy(policy)
    kept = read_kept(since, load_pinned(treaty, pin.lower())) if since else {}
    as_of_ms = None if as_of is None else parse_instant(as_of)
    opened = None if disclosures is None else disclosures_in(disclosures)
    bundles: list[Bundle] = []
    details: list[Detail] = []

    def look_at(look: Look) -> None:
        if html is not None:
            from brakeline.audit.detail import detail_of

            details.append(detail_of(look))
        if tables is not None:
            from brakeline.audit.tables import write_tables

            write_tables(look, tables)

    report = audit_sources(
        sources,
        treaty,
        pin.lower(),
        as_of_ms=as_of_ms,
        paranoid=paranoid,
        receipts=receipts,
        evidence=bundles,
        tell=look_at,
        progress=Pace(sys.stderr) if progress or (progress is None and sys.stderr.isatty()) else None,
        how=Reading(
            processes=processes,
            states=state,
            save_every=save_every,
            since=kept,
            disclosures=opened,
            disclosed="" if opened is None else opened.digest,
        ),
        policy=own,
    )
    if html is not None:
        _write_html(report, details, html, _command(("replay",), sources, treaty, pin, as_of, disclosures))
    _show(report, form)
    if evidence is not None:
        from brakeline.audit.evidence.bundle import write_bundles

        for path in write_bundles(bundles, evidence):
            typer.echo(f"evidence: {path}", err=True)
    raise typer.Exit(int(report.exit))


@app.command(
    "verify-evidence",
    epilog="Example: brakeline audit verify-evidence fork-verifier-2.example-1f2e3d4c.evidence.json"
    " --treaty treaty.toml --pin 9f86d081...",
)
def verify_evidence(
    file: Annotated[Path, typer.Argument(help="The bundle: one file, one misdeed (docs/spec/evidence.md).")],
    treaty: Annotated[Path, typer.Option(help="The treaty: TOML, or its signed envelope (DSSE JSON).")],
    pin: Annotated[str, typer.Option(help="The treaty's digest, 64 hex digits, from a source you trust.")],
    log: Annotated[
        str | None, typer.Option(help="A mirror of the accused log; omission and misjudging need it.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
) -> None:
    """Check a bundle of evidence offline, believing nothing in it, and say what it proves against whom.

    Exit code 0: it convicts whom it names. 3: it does not, with a code that says why (`evidence-proves-nothing` where
    all is genuine and nothing contradicts).
    """
    from contextlib import ExitStack

    from brakeline.audit.evidence.bundle import MAX_BUNDLE, parse
    from brakeline.audit.evidence.check import check
    from brakeline.audit.pinned import load_pinned
    from brakeline.ledger.source import opened

    pinned = load_pinned(treaty, pin.lower())
    with file.open("rb") as handle:
        bundle = parse(handle.read(MAX_BUNDLE + 2))
    with ExitStack() as stack:
        proven = check(bundle, pinned, None if log is None else stack.enter_context(opened(log)))
    if form is Format.JSON:
        import json

        value = {"proven": True, "act": proven.act, "about": proven.about, "sentence": proven.sentence}
        typer.echo(json.dumps(value, indent=2, sort_keys=True))
    else:
        typer.echo(f"proven ({proven.act}): {proven.sentence}")


@app.command(
    epilog="Example: brakeline audit watch https://log-1.example https://log-2.example --treaty treaty.toml"
    " --pin 9f86d081... --state watch/"
)
def watch(
    sources: Annotated[list[str], typer.Argument(help="Logs: http(s) addresses, or directories that grow.")],
    treaty: Annotated[Path, typer.Option(help="The treaty: TOML, or its signed envelope (DSSE JSON).")],
    pin: Annotated[str, typer.Option(help="The treaty's digest, 64 hex digits, from a source you trust.")],
    state: Annotated[Path, typer.Option(help="Folder for mirrors, evidence and memory; made if absent.")],
    every_s: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between rounds.")] = 30.0,
    once: Annotated[bool, typer.Option("--once", help="One round, for cron; exit code as replay.")] = False,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Serve Prometheus metrics on 127.0.0.1.")] = 0,
    disclosures: Annotated[
        Path | None,
        typer.Option(help="A folder into which disclosures (*.disclosure.json) come; they open sealed values here."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="text for people, json: one object a line.")] = Format.TEXT,
) -> None:
    """Follow logs as they grow; tell at once what a replay would find, and a log that is silent or stops growing.

    Each alarm is told once when it is raised and once when it is cleared, also across restarts. Evidence of misconduct
    is written below --state. Runs until SIGINT or SIGTERM, then exits with the code of its last round (as replay).
    """
    from brakeline.audit.watch.serve import run

    code = run(
        sources,
        treaty,
        pin.lower(),
        state,
        every_s=every_s,
        once=once,
        metrics_port=metrics_port,
        as_json=form is Format.JSON,
        disclosures=disclosures,
    )
    raise typer.Exit(code)


@app.command(
    epilog="Example: brakeline audit order 3f1c9a70 logs/* --treaty treaty.toml --pin 9f86d081... --html order.html"
)
def order(
    digest: Annotated[str, typer.Argument(help="The order's digest, or the first 8 or more digits of it.")],
    sources: Annotated[list[str], typer.Argument(help="Logs: exported directories, or http(s) addresses.")],
    treaty: Annotated[Path, typer.Option(help="The treaty: TOML, or its signed envelope (DSSE JSON).")],
    pin: Annotated[str, typer.Option(help="The treaty's digest, 64 hex digits, from a source you trust.")],
    as_of: Annotated[
        str | None, typer.Option(help="Judge deadlines at this time: Unix ms, or ISO 8601 with an offset.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="text for people, json (docs/spec/report.md) for programs.")
    ] = Format.TEXT,
    disclosures: Annotated[
        Path | None,
        typer.Option(help="A folder of disclosures (*.disclosure.json), to see which sites with sealed books stopped."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write one self-contained HTML page, with plots.")] = None,
) -> None:
    """Report on one order: who saw it and stopped, how fast, how much compute leaked, who was not heard.

    The logs are replayed first, as by `replay`. Exit codes: 0 every site was heard and its books keep to the order; 1
    findings rest on it; 2 a verifier's misconduct; 3 unreadable input, or an order that no log holds; 4 something
    about it could not be told. Where several apply: 3 before 2, 1, 4.
    """
    from brakeline.audit.opinions import disclosures_in
    from brakeline.audit.orders.gather import audit_order
    from brakeline.audit.orders.plain import to_plain

    as_of_ms = None if as_of is None else parse_instant(as_of)
    opened = None if disclosures is None else disclosures_in(disclosures)
    found = audit_order(sources, treaty, pin.lower(), digest.lower(), as_of_ms=as_of_ms, disclosures=opened)
    if html is not None:
        from brakeline.audit.orders.page import render as render_page

        verb = ("order", found.order.digest)
        page = render_page(found, command=_command(verb, sources, treaty, pin, as_of, disclosures))
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page, encoding="utf-8")
    if form is Format.JSON:
        import json

        typer.echo(json.dumps(to_plain(found), indent=2, sort_keys=True, ensure_ascii=False))
    else:
        from brakeline.audit.orders.text import WIDTH, render
        from rich.console import Console

        console = Console(soft_wrap=True, highlight=False)
        render(found, console if console.width >= WIDTH else Console(soft_wrap=True, highlight=False, width=WIDTH))
    raise typer.Exit(int(found.exit))


@app.command(epilog="Example: brakeline audit vectors --out docs/spec/vectors")
def vectors(
    out: Annotated[Path, typer.Option(help="Directory to write into; made if absent.")] = Path("docs/spec/vectors"),
) -> None:
    """Write byte-exact test vectors of every format, from fixed seeds (always the same bytes)."""
    from brakeline.audit.vectors import write

    for path in write(out):
        typer.echo(str(path))


@app.command(epilog="Example: brakeline audit cases --out docs/spec/conformance/cases")
def cases(
    out: Annotated[Path, typer.Option(help="Directory to write into; made if absent.")] = Path(
        "docs/spec/conformance/cases"
    ),
) -> None:
    """Write the conformance suite, one file a case, from fixed seeds (always the same bytes)."""
    from brakeline.audit.conformance.case import write_cases
    from brakeline.audit.conformance.conform import all_cases

    paths = write_cases(all_cases(), out)
    typer.echo(f"{len(paths)} cases in {out}")


@app.command(
    epilog="Example: brakeline audit conform --cases docs/spec/conformance/cases -- python examples/check_cases.py"
)
def conform(
    command: Annotated[
        list[str] | None, typer.Argument(help="The program to be put to the cases; this implementation by default.")
    ] = None,
    cases: Annotated[Path | None, typer.Option(help="A folder of cases; made anew by default.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only cases of these kinds.")] = None,
    form: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
) -> None:
    """Put an implementation to the conformance suite (docs/spec/conformance/README.md has the contract).

    Exit code 0: every case of a kind that it implements is answered rightly. 1: some are not; they are listed.
    """
    from brakeline.audit.conformance.case import read_cases
    from brakeline.audit.conformance.conform import all_cases
    from brakeline.audit.conformance.conform import conform as put

    asked = all_cases() if cases is None else read_cases(cases)
    asked = [case for case in asked if not kind or case.kind in kind]
    answered = list(put(command or [*_OURSELVES], asked))
    wrong = [item for item in answered if not item.right and not item.skipped]
    skipped = sum(1 for item in answered if item.skipped)
    if form is Format.JSON:
        import json

        rows = [
            {"case": x.case.name, "expected": x.case.expect, "answered": x.said, "right": x.right} for x in answered
        ]
        typer.echo(json.dumps({"cases": rows, "wrong": len(wrong), "unsupported": skipped}, indent=1))
    else:
        for item in wrong:
            typer.echo(f"{item.case.name}: {item.case.why}; expected {item.case.expect!r}, answered {item.said!r}")
        right = len(answered) - len(wrong) - skipped
        typer.echo(f"{right} of {len(answered)} answered rightly, {len(wrong)} wrongly, {skipped} not supported")
    raise typer.Exit(1 if wrong else 0)


@app.command(
    "answer-cases",
    hidden=True,
    epilog="Example: brakeline audit answer-cases < questions.jsonl",
)
def answer_cases() -> None:
    """Answer cases from standard input, one a line, as `conform` asks them."""
    from brakeline.audit.conformance.conform import serve_answers

    serve_answers(sys.stdin.buffer, sys.stdout)


def _show(report: AuditReport, form: Format) -> None:
    if form is Format.JSON:
        from brakeline.audit.page.recompute import plain

        typer.echo(plain(report))
        return
    from brakeline.audit.text import render
    from rich.console import Console

    render(report, Console(soft_wrap=True, highlight=False))


def _write_html(report: AuditReport, details: list[Detail], path: Path, command: str) -> None:
    from brakeline.audit.html import render

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(report, details[0] if details else None, command=command), encoding="utf-8")


def _command(
    verb: tuple[str, ...], sources: list[str], treaty: Path, pin: str, as_of: str | None, disclosures: Path | None
) -> str:
    import shlex

    words = ["brakeline", "audit", *verb, *sources, "--treaty", str(treaty), "--pin", pin]
    words += ["--as-of", as_of] if as_of else []
    return shlex.join([*words, *([] if disclosures is None else ["--disclosures", str(disclosures)])])
