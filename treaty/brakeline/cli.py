"""The ``brakeline`` command: a loader. Each party registers its commands as an entry point ``brakeline.commands``.

Command modules import nothing heavy until a command runs, so ``brakeline --help`` is quick and works with whatever
extras are installed. Exit codes here: 2 for wrong usage, 3 for an error with a code (printed on stderr); commands
document their own beside these.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer

GROUP = "brakeline.commands"
FAILED = 3
_EXTRA_OF = {
    "grpc": "node",
    "psutil": "node",
    "stamina": "node",
    "structlog": "node",
    "uvicorn": "verifier",
    "starlette": "verifier",
    "prometheus_client": "verifier",
    "numpy": "testnet",
}


def build() -> typer.Typer:
    """Return the application with every installed party's commands."""
    root = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help="Make a pause of frontier AI training checkable between parties that do not trust each other.",
        epilog="Begin with: brakeline demo",
    )
    for entry_point in sorted(entry_points(group=GROUP), key=lambda item: item.name):
        root.add_typer(entry_point.load(), name=entry_point.name)
    return root


def main() -> None:
    """Run the command line; never returns normally."""
    from brakeline.ledger.errors import BrakelineError

    try:
        build()(prog_name="brakeline")
    except BrakelineError as error:
        print(f"error {error.code}: {error.message}", file=sys.stderr)
        for label, text in (("expected", error.expected), ("found", error.found), ("to do", error.fix)):
            if text:
                print(f"  {label}: {text}", file=sys.stderr)
        sys.exit(FAILED)
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(f"error extra-missing: this command needs the package {error.name}", file=sys.stderr)
        print(f"  to do: pip install 'brakeline[{extra}]'", file=sys.stderr)
        sys.exit(FAILED)
