"""``brakeline explore`` without a command serves the page; ``brakeline explore report`` writes it as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.ledger.output import Format, FormatOption, emit

if TYPE_CHECKING:
    from brakeline.explorer.scenario.load import Scenario

LOOPBACK = "127.0.0.1"


def serve(scenarios: list[Path], port: int) -> None:
    """Serve the page on loopback until SIGTERM or Ctrl-C; prints one line with its address when it can be opened.

    Raises:
        ScenarioError: a scenario has mistakes; each is told with file and line.
    """
    import signal
    import socket

    import uvicorn
    from brakeline.explorer.page.app import application
    from brakeline.explorer.page.desk import Desk
    from brakeline.ledger.errors import BrakelineError

    found = [*(_load(path) for path in scenarios), *_presets()]
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
    except OSError as error:
        raise BrakelineError(
            code="explore-address",
            message="the page cannot be served at this address",
            expected="a free port of this machine",
            found=f"{LOOPBACK}:{port}: {error.strerror}",
            fix="choose another --port; 0 takes a free one",
        ) from None
    server = uvicorn.Server(uvicorn.Config(application(Desk(found)), log_level="warning", access_log=False))
    typer.echo(f"open http://{LOOPBACK}:{listening.getsockname()[1]}/ in a browser; Ctrl-C ends it")
    for number in (signal.SIGTERM, signal.SIGINT):  # the server raises again what ended it, when it has ended
        signal.signal(number, _ended)
    with listening:
        server.run(sockets=[listening])


def _ended(number: int, frame: object) -> None:
    """Take the signal that ended the server: it has done its work."""
    del number, frame


def report(
    scenario: Annotated[str, typer.Argument(help="A scenario: a TOML file, or the name of a preset.")],
    against: Annotated[str | None, typer.Option(help="A second one, to stand beside it.")] = None,
    out: Annotated[Path, typer.Option(help="The file to write; one that exists is replaced.")] = Path(
        "what-it-buys.html"
    ),
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Write one self-contained HTML file for a delegation: six answers, plots, sources; one design or two.

    It needs no network, runs no script, and prints.
    """
    from brakeline.explorer.page.desk import Design, Desk
    from brakeline.explorer.page.report import write
    from rich.console import Console
    from rich.progress import Progress

    chosen = [_named(name) for name in (scenario, against) if name is not None]
    designs = [Design(item.name) for item in chosen]
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("answers")
        text = write(chosen, Desk(chosen), designs, lambda done, total: bar.update(task, completed=done, total=total))
    part = out.with_name(f".{out.name}.part")
    part.write_text(text, "utf-8")
    part.rename(out)
    size = len(text.encode())
    said = {"file": str(out), "bytes": size, "treaties": [item.document.digest for item in chosen]}
    emit(format, said, f"{out}: {size / 1024:.0f} KiB; open it in any browser")


def _named(name: str) -> Scenario:
    from brakeline.explorer.scenario.presets import PRESETS, preset

    return preset(name) if name in PRESETS else _load(Path(name))


def _load(path: Path) -> Scenario:
    from brakeline.explorer.scenario.load import load_scenario

    loaded = load_scenario(path)
    if loaded.scenario is None:
        for problem in loaded.problems:
            typer.echo(str(problem), err=True)
    return loaded.require()


def _presets() -> list[Scenario]:
    from brakeline.explorer.scenario.presets import PRESETS, preset

    return [preset(name) for name in PRESETS]
