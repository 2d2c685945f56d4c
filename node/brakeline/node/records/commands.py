"""``brakeline node import``: records of another system become books. Imports stay light."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.ledger.output import Format, FormatOption, emit

if TYPE_CHECKING:
    from brakeline.node.records.importing import Outcome

app = typer.Typer(rich_markup_mode=None)

EXIT_INCOMPLETE = 4
_SHOWN = 20


@app.command("import", epilog="Example: brakeline node import windows.csv --dir node --map import.toml --dry-run")
def import_(
    folder: Annotated[Path, typer.Option("--dir", help="The node's folder.")],
    files: Annotated[list[Path] | None, typer.Argument(help="Records: .csv, .jsonl, or sacct's text.")] = None,
    mapping: Annotated[
        Path | None, typer.Option("--map", help="What their names mean: a TOML file (docs/meters.md).")
    ] = None,
    records: Annotated[
        str | None, typer.Option("--records", help="Format of all files: csv, jsonl, sacct. Default: by their ending.")
    ] = None,
    rejected: Annotated[Path | None, typer.Option(help="Write rejected rows there, with why (JSON Lines).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be signed; sign nothing.")] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Book what other systems recorded: CSV, JSON Lines (one chip and window a line), or sacct's text.

    Every row is booked, booked as unattributed, or rejected with its line and why; the three add up to what was read. A
    period that is stated already gets new books and a correction. The same rows imported again change nothing. The node
    must not run meanwhile. Exit 4: rows were rejected.
    """
    import time

    from brakeline.node.cli import reported
    from brakeline.node.records import importing
    from brakeline.node.records import mapping as mappings
    from brakeline.node.records.read import FORMATS

    if records is not None and records not in FORMATS:
        raise typer.BadParameter(f"--records: one of {', '.join(FORMATS)}")
    with reported():
        outcome = importing.run_in(
            folder,
            [(path, records) for path in files or []],
            mappings.load(mapping),
            sign=not dry_run,
            passphrase=os.environ.get("BRAKELINE_PASSPHRASE"),
            now_ms=lambda: time.time_ns() // 1_000_000,
        )
        if rejected is not None:
            lines = (json.dumps(importing.rejection_json(item)) + "\n" for item in outcome.rejections)
            rejected.write_text("".join(lines), "utf-8")
        emit(format, {**importing.as_json(outcome), "signed": not dry_run}, "\n".join(_text(outcome, dry_run=dry_run)))
    if outcome.rejections:
        raise typer.Exit(EXIT_INCOMPLETE)


def _text(outcome: Outcome, *, dry_run: bool) -> list[str]:
    lines = [f"{'':<14}{'rows':>8}{'chip-ms':>20}{'FLOP':>32}{'tokens':>20}{'joules':>16}"]
    for name in ("read", "booked", "unattributed", "rejected"):
        totals = getattr(outcome, name)
        flop, tokens, joules = (totals.amounts[amount] for amount in ("flop", "tokens", "joules"))
        lines.append(f"{name:<14}{totals.rows:>8}{totals.chip_ms:>20}{flop:>32}{tokens:>20}{joules:>16}")
    lines += [
        f"{item.source.file}, line {item.source.line}: {item.code}: {item.why}" for item in outcome.rejections[:_SHOWN]
    ]
    lines += [f"{where}: note: {note}" for where, note in outcome.notes[:_SHOWN]]
    hidden = max(0, len(outcome.rejections) - _SHOWN) + max(0, len(outcome.notes) - _SHOWN)
    lines += [f"... and {hidden} more; --rejected FILE and --format json have all"] if hidden else []
    lines += [f"displaced by rows that come before them: {len(outcome.displaced)}"] if outcome.displaced else []
    would = "would be " if dry_run else ""
    for item in outcome.stated:
        what = "corrected" if item.corrects else "booked"
        lines.append(f"period {item.period} {would}{what}: {len(item.books.lines)} lines")
        if dry_run:
            lines += [
                f"  {line.activity:<14}{line.workload:<32}"
                + " ".join(f"{time.chip_class}={time.value.value} chip-ms" for time in line.chip_ms)
                for line in item.books.lines
            ]
    return [*lines, *([] if outcome.stated else ["nothing to sign: the books say this already"])]
