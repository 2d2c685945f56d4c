"""How to recompute every number of the page: the commands, the digests they must give, and where each number is."""

from __future__ import annotations

import hashlib
import json

from brakeline.audit.page.parts import esc, section, table
from brakeline.audit.report import AuditReport

_WHERE = (
    ("the three facts, the levels", "levels, findings, unchecked, problems, logs, as_of", "findings, logs, unchecked"),
    ("the verdict in four lists", "logs, receipts, findings, unchecked, problems", "logs, unchecked"),
    ("findings, docket", "findings, docket", "findings, figures"),
    ("books", "-", "books, chip_time"),
    ("lineages", "-", "books (workload, parents, model_out)"),
    ("orders", "brakeline audit order DIGEST ... --format json", "orders, order_sites"),
    ("verifiers", "logs, findings", "statements (received_at_ms), heartbeats"),
)


def plain(report: AuditReport) -> str:
    """Return what ``--format json`` prints."""
    return json.dumps(report.to_json(), indent=2, sort_keys=True, ensure_ascii=False)


def recompute(report: AuditReport, command: str) -> str:
    """Return the section; *command* is the command line of this audit, as given."""
    digest = hashlib.sha256((plain(report) + "\n").encode()).hexdigest()
    told = command or "brakeline audit replay LOG... --treaty FILE --pin DIGEST"
    lines = (
        "# The verdict, findings and docket, as JSON. This prints " + digest,
        f"{told} --format json | sha256sum",
        "# Every row behind the sums, as Parquet tables; one file of evidence a misdeed, which convicts alone.",
        f"{told} --tables tables --evidence evidence",
        "# A second opinion by another program, which shares no code.",
        "python examples/check_log.py LOG --treaty FILE --pin DIGEST",
    )
    roots = [
        (esc(log.origin or log.source, 200), str(log.size), f"<code>{esc(log.root, 64)}</code>") for log in report.logs
    ]
    return section(
        "recompute",
        "Recompute every number",
        f"<p>Treaty digest (the pin, from a source that you trust): <code>{esc(report.pin, 64)}</code></p>",
        f"<pre>{esc(chr(10).join(lines), 8000)}</pre>",
        "<p>With the same logs, treaty and time the JSON is the same byte for byte, wherever it is computed. Sums of "
        "books, lineages and orders on this page come from the same replay and are in no finding.</p>",
        table(("log", "entries", "root hash that was reproduced"), roots, "What was read."),
        table(
            ("on this page", "in the JSON", "in the tables"),
            [tuple(esc(x) for x in row) for row in _WHERE],
            "Where each number is.",
        ),
        "<p class=soft>A finding is named by the SHA-256 of its canonical JSON, a statement by that of its payload.",
        "</p>",
    )
