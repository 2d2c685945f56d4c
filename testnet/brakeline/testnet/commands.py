"""``brakeline demo``: a whole treaty on this machine, cheats and brake included. Nothing heavy is imported up here."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from brakeline.testnet.outcome import Outcome
    from brakeline.testnet.plan import Plan

demo_app = typer.Typer()
testnet_app = typer.Typer(help="A throw-away treaty to join, on this machine.", no_args_is_help=True)

EXIT_DIFFERENT = 1
EXIT_INTERRUPTED = 130
MAX_LABS = 12
WIDTH = 110
"""Columns that the tables need; a narrower terminal breaks lines itself, a pipe gets them whole."""
MAX_VERIFIERS = 10


class Format(StrEnum):
    """How the result is printed."""

    TEXT = "text"
    JSON = "json"


@demo_app.command(epilog="Example: brakeline demo --seed 7 --keep my-demo")
def demo(
    seed: Annotated[int, typer.Option(min=0, help="Draws which lab cheats how, and when.")] = 1,
    cheats: Annotated[int, typer.Option(min=0, help="How many labs cheat; lab 1 never does.")] = 2,
    labs: Annotated[int, typer.Option(min=2, max=MAX_LABS, help="How many labs.")] = 4,
    verifiers: Annotated[int, typer.Option(min=1, max=MAX_VERIFIERS, help="How many verifiers.")] = 4,
    no_evidence: Annotated[
        bool, typer.Option("--no-evidence", help="No meter: well hidden training cannot be detected.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(help="Folder to leave everything in; new or empty. Default: demo-out/SEED-TIME.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
) -> None:
    """Run a treaty end to end on this machine, about a minute: labs, verifiers, a real training, a brake, an audit.

    Every party is a process of its own with real keys, on loopback. Which lab cheats is drawn beforehand; the audit
    does not know it.

    Exit codes: 0 the audit found exactly what was planted, and the brake worked; 1 it did not; 3 an error.
    """
    from brakeline.testnet.plan import draw

    if cheats > labs - 1:
        raise typer.BadParameter(
            f"--cheats: at most {labs - 1} with {labs} labs, since lab 1 is honest; found {cheats}"
        )
    plan = draw(seed=seed, labs=labs, cheats=cheats, evidence=not no_evidence)
    outcome = _run(plan, verifiers, _folder(keep, seed))
    if form is Format.JSON:
        import json

        typer.echo(json.dumps(outcome.to_json(), indent=2))
    else:
        from brakeline.testnet.show import render
        from rich.console import Console

        console = Console(soft_wrap=True, highlight=False)
        render(outcome, console if console.width >= WIDTH else Console(soft_wrap=True, highlight=False, width=WIDTH))
    raise typer.Exit(0 if outcome.matched else EXIT_DIFFERENT)


@testnet_app.callback()
def testnet() -> None:
    """Verifiers of a throw-away treaty on this machine, for a new site to join."""


@testnet_app.command(epilog="Example: brakeline testnet up --dir try")
def up(
    out: Annotated[Path, typer.Option("--dir", help="Folder for everything; new or empty.")],
    verifiers: Annotated[int, typer.Option(min=1, max=4, help="How many verifiers.")] = 4,
) -> None:
    """Start the verifiers of a throw-away treaty, until SIGTERM or Ctrl-C; DIR/site.toml joins a site to them.

    Prints one JSON line {"ready": ...} when all of them answer. Keys have no passphrase: nothing here is for real use.
    """
    import json
    import signal
    import threading
    import time

    from brakeline.testnet.up import SITE, raised

    def interrupted(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    folder = _folder(out, 0)
    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        with raised(folder, verifiers, lambda: time.time_ns() // 1_000_000) as net:
            typer.echo(json.dumps({"ready": True, "join": str(folder / SITE), "pin": net.pin}))
            threading.Event().wait()
    except KeyboardInterrupt:
        typer.echo("stopped; no verifier is left running", err=True)
    finally:
        signal.signal(signal.SIGTERM, before)


def _folder(keep: Path | None, seed: int) -> Path:
    """Return the folder to use, made; one that holds something already is refused."""
    import time

    from brakeline.ledger.errors import BrakelineError

    folder = keep or Path("demo-out") / f"{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BrakelineError(
            code="demo-folder",
            message="the folder is not empty; nothing in it is overwritten",
            expected="a new or empty folder",
            found=str(folder),
            fix="choose another --keep",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _run(plan: Plan, verifiers: int, out: Path) -> Outcome:
    """Play, audit, compare; every process is gone afterwards, also when SIGTERM or Ctrl-C ends it."""
    import signal

    from brakeline.testnet.show import Progress
    from brakeline.testnet.whole import play_whole

    def interrupted(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        with Progress(plan) as progress:
            return play_whole(plan, verifiers, out, progress)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; every process was stopped. What there is lies in {out}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
