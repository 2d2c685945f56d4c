"""How the commands of the log speak: text for people, JSON for programs, a progress bar where somebody watches.

It is not where they fail: an error is a :class:`~brakeline.ledger.errors.BrakelineError`, which the loader prints.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from brakeline.ledger.reader import Progress


class Format(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs")]
KeyOption = Annotated[str, typer.Option("--vkey", help="the log's key, as the treaty names it")]


def emit(format: Format, value: Mapping[str, object], text: str) -> None:  # noqa: A002  the option's name is --format
    """Print *value* as JSON, or *text*."""
    print(json.dumps(value, indent=2) if format is Format.JSON else text)


@contextmanager
def progress_bar(what: str) -> Generator[Progress | None]:
    """Show a progress bar on a terminal's stderr, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)
