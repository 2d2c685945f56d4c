"""``brakeline treaty validate``: recompute the published figures and write or check the page that lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from brakeline.treaty.commands.files import Format, FormatOption, emit, fail, read_bytes, reported, write_whole
from brakeline.treaty.commands.treaty import treaty_app


@treaty_app.command("validate", epilog="Example: brakeline treaty validate --check docs/validation.md")
def validate(
    out: Annotated[Path | None, typer.Option(help="Write the page to this file.")] = None,
    check: Annotated[Path | None, typer.Option(help="Compare this file with the page.")] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Recompute every published figure that this software claims to reproduce. Needs no treaty.

    Exit code 0: every row is inside its tolerance (and the file of --check is up to date). 3: not so.
    """
    from brakeline.treaty.validation import COMMAND, render, rows

    with reported():
        table = rows()
        page = render(table)
        outside = [row for row in table if not row.inside]
        width = max(len(row.check) for row in table)
        lines = [
            f"{'ok ' if row.inside else 'OUT'} {row.check:<{width}}  {row.computed:>10}  "
            f"expected {row.expected} ({row.tolerance})"
            for row in table
        ]
        lines.append(f"{len(table) - len(outside)} of {len(table)} inside their tolerance")
        emit({"rows": [row.as_dict() for row in table], "outside": len(outside)}, lines, form)
        if out is not None:
            write_whole(out, page.encode("utf-8"))
        if outside:
            fail(f"validation-outside: {len(outside)} rows are outside their tolerance, {outside[0].check!r} first")
        if check is not None and read_bytes(check) != page.encode("utf-8"):
            fail(f"validation-differs: {check} is not the page of this version. Write it anew: {COMMAND}")
