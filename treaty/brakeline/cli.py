"""The ``brakeline`` command: a loader. Each party registers its commands as an entry point ``brakeline.commands``.

What it is: the place where commands are found, and where an error with a code becomes lines on stderr. What it is not:
a place for commands. An entry point names a Typer app, or an app of one command of the entry point's own name
(``brakeline demo``). An entry point ``brakeline.subcommands`` named ``group.command`` adds one to another's
group: ``brakeline brake submit`` takes the node's network. Command modules import nothing heavy before one runs, so
``brakeline --help`` is quick; a party whose extra is not installed keeps its line there, and says what to install when
it is called.

Exit codes here: 2 for wrong usage, 3 for an error with a code; commands document their own beside these.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import entry_points, version
from typing import Annotated

import typer
from brakeline.ledger.errors import BrakelineError

GROUP = "brakeline.commands"
SUBGROUP = "brakeline.subcommands"
FAILED = 3
_EXTRA_OF = {"audit": "watch", "node": "node", "brake": "node", "verifier": "verifier", "demo": "testnet"}


def build() -> typer.Typer:
    """Return the application with every party's commands; a party that cannot load is told apart, not fatal."""
    root = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help="Make a pause of frontier AI training checkable between parties that do not trust each other.",
        epilog="Begin with: brakeline demo",
    )
    root.callback()(_options)
    groups: dict[str, typer.Typer] = {}
    for entry_point in sorted(entry_points(group=GROUP), key=lambda item: item.name):
        name = entry_point.name
        try:
            app: typer.Typer = entry_point.load()
        except ModuleNotFoundError as error:
            _add_missing(root, name, error)
            continue
        if _is_one_command(app, name):
            root.registered_commands.extend(app.registered_commands)
        else:
            groups[name] = app
            root.add_typer(app, name=name)
    _add_subcommands(groups)
    return root


def _add_subcommands(groups: Mapping[str, typer.Typer]) -> None:
    """Add to each of *groups* the commands that other parties have for it, once in a process."""
    for entry_point in sorted(entry_points(group=SUBGROUP), key=lambda item: item.name):
        group, _, name = entry_point.name.partition(".")
        app = groups.get(group)
        if app is None or name in {command.name for command in app.registered_commands}:
            continue
        try:
            one: typer.Typer = entry_point.load()
        except ModuleNotFoundError as error:
            _add_missing(app, name, error, group)
            continue
        app.registered_commands.extend(one.registered_commands)


def main() -> None:
    """Run the command line; never returns normally."""
    try:
        build()(prog_name="brakeline")
    except BrakelineError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        _fail(_extra_missing(sys.argv[1] if len(sys.argv) > 1 else "", error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(_file_unusable(error))


def _show_version(wanted: bool) -> None:
    if wanted:
        print(version("brakeline"))
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before any command."""


def _is_one_command(app: typer.Typer, name: str) -> bool:
    if app.registered_callback or app.registered_groups or len(app.registered_commands) != 1:
        return False
    (command,) = app.registered_commands
    return (command.name or getattr(command.callback, "__name__", "")) == name


def _add_missing(root: typer.Typer, name: str, error: ModuleNotFoundError, group: str = "") -> None:
    failure = _extra_missing(group or name, error)

    def missing() -> None:
        raise failure

    anything = {"allow_extra_args": True, "ignore_unknown_options": True}
    summary = f"Not installed: {failure.fix}"
    root.command(name, help=summary, add_help_option=False, context_settings=anything)(missing)


def _extra_missing(command: str, error: ModuleNotFoundError) -> BrakelineError:
    package = (error.name or "").partition(".")[0]
    if package in {"", "brakeline"}:
        raise error  # our own module is gone: a broken installation, whose traceback is the message
    extra = _EXTRA_OF.get(command, "node")
    return BrakelineError(
        code="extra-missing",
        message=f"`brakeline {command}` needs the package {package}",
        expected=f"the extra [{extra}]",
        found=f"no package {package}",
        fix=f"pip install 'brakeline[{extra}]'",
    )


def _file_unusable(error: OSError) -> BrakelineError:
    return BrakelineError(
        code="file-unusable",
        message=f"{error.filename}: {error.strerror}",
        expected="a file or folder this user can use",
        found=type(error).__name__,
        fix="check the path and its permissions",
    )


def _fail(error: BrakelineError) -> None:
    print(f"error {error.code}: {error.message}", file=sys.stderr)
    for label, text in (("expected", error.expected), ("found", error.found), ("to do", error.fix)):
        if text:
            print(f"  {label}: {text}", file=sys.stderr)
    sys.exit(FAILED)
