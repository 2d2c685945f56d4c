"""What the node's commands share: how they print, what the environment tells them, how they fail."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer

EXIT_MISTAKE = 3
EXIT_INCOMPLETE = 4
PASSPHRASE_ENV = "BRAKELINE_PASSPHRASE"  # noqa: S105  (the name of a variable, no secret)


class Format(StrEnum):
    """How a command prints its result."""

    TEXT = "text"
    JSON = "json"


Folder = Annotated[Path, typer.Option("--dir", help="The node's folder.")]
FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs.")]


def secret(variable: str) -> bytes | None:
    """Return a variable of the environment, None where it is unset or empty."""
    value = os.environ.get(variable)
    return value.encode() if value else None


def now_ms() -> int:
    """Return Unix ms."""
    import time

    return time.time_ns() // 1_000_000


def emit(value: object, lines: list[str], form: Format) -> None:
    """Print *value* as JSON on one line, or *lines*."""
    if form is Format.JSON:
        typer.echo(json.dumps(value))
    else:
        typer.echo("\n".join(lines))


@contextmanager
def reported() -> Generator[None]:
    """Print an error that a person should see on standard error, and exit with 3."""
    from brakeline.ledger.errors import BrakelineError

    try:
        yield
    except (BrakelineError, OSError, ExceptionGroup) as error:
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):  # a task of the service failed
            first = cast("BaseExceptionGroup[BaseException]", first).exceptions[0]
        if not isinstance(first, BrakelineError | OSError):
            raise
        typer.echo(str(first) if isinstance(first, BrakelineError) else f"file-error: {first}", err=True)
        raise typer.Exit(EXIT_MISTAKE) from None
