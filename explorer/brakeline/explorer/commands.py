"""``brakeline explore``: try a treaty on honest labs and on cheats, before anybody signs it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.explorer import commands_answers, commands_sweep
from brakeline.explorer.formats import Format
from brakeline.explorer.page import commands as page_commands

if TYPE_CHECKING:
    from brakeline.explorer.trials import Setting, Table
    from brakeline.treaty.document import TreatyDocument

app = typer.Typer(
    help="What a treaty would catch, and whom it would hurt.",
    epilog="Example: brakeline explore --port 8080   (without a command: the page, until Ctrl-C)",
)
app.command("report", epilog="Example: brakeline explore report eu-1e25 --against small-labs --out what-it-buys.html")(
    page_commands.report
)

commands_sweep.add_to(app)
commands_answers.add_to(app)

EXIT_MISTAKE = 3
EXIT_MISSED = 4


@app.callback(invoke_without_command=True)
def explore(
    context: typer.Context,
    scenario: Annotated[
        list[Path] | None, typer.Option(help="A scenario of your own to put on the table; several times.")
    ] = None,
    port: Annotated[int, typer.Option(help="Where the page is served, on this machine only; 0: any.", min=0)] = 8420,
) -> None:
    """What a treaty would catch, and whom it would hurt. Without a command: the page, in your browser.

    The page is served on this machine alone and asks nobody else; the presets are on the table, and the scenarios that
    you give before them.
    """
    if context.invoked_subcommand is None:
        page_commands.serve(scenario or [], port)


@app.command(
    "try", epilog="Example: brakeline explore try treaty.toml --strategy unsaid --strategy as-inference --seeds 5"
)
def try_(
    treaty: Annotated[Path, typer.Argument(help="The treaty: a TOML file, or a signed envelope (DSSE JSON).")],
    strategy: Annotated[list[str] | None, typer.Option(help="Which to play; several times. Default: all.")] = None,
    seeds: Annotated[int, typer.Option(help="How many worlds.", min=1, max=10_000)] = 2,
    first_seed: Annotated[int, typer.Option(help="Seed of the first world.", min=0)] = 1,
    days: Annotated[int, typer.Option(help="Length of every world.", min=3, max=3_660)] = 30,
    sites: Annotated[int, typer.Option(help="Sites in every world.", min=1, max=64)] = 3,
    chips: Annotated[int | None, typer.Option(help="Chips of the cheat's site.", min=1_000, max=10_000_000)] = None,
    magnitude: Annotated[
        list[str] | None,
        typer.Option(
            help="FLOP to hide, as 1e24; several. Default: 0.1, 1, 10 % of the site's capacity, and the goal's."
        ),
    ] = None,
    honest_only: Annotated[bool, typer.Option("--honest-only", help="Play honest worlds, and no strategy.")] = False,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: one a core.", min=1)] = None,
    resume: Annotated[
        Path | None, typer.Option(help="A notebook: worlds in it are not played again, and new ones are added.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write the table as one HTML page, too.")] = None,
    require: Annotated[bool, typer.Option(help="Exit 4 when a strategy is caught too seldom.")] = False,
    form: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
) -> None:
    """Play honest worlds and cheats' through the rules that verifiers run, and say what is caught, how often, how soon.

    Of each strategy the way that is seen least is shown. A strategy that nothing in a log can see is called a residual.
    """
    from contextlib import nullcontext
    from dataclasses import replace

    from brakeline.explorer import show
    from brakeline.explorer.notebook import notebook
    from brakeline.explorer.trials import explore as play
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    signal.signal(signal.SIGTERM, _stop)
    document = _read(treaty)
    setting = _setting(document, strategy, magnitude, range(first_seed, first_seed + seeds), days, sites, chips, jobs)
    setting = replace(setting, strategies=()) if honest_only else setting
    columns = (TextColumn("worlds"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("worlds")

        def progress(done: int, total: int) -> None:
            bar.update(shown, completed=done, total=total)

        with nullcontext() if resume is None else notebook(resume, document, setting) as notes:
            table = play(document, setting, progress, notes)
    if page is not None:
        page.write_text(show.page(table, setting, document), "utf-8")
    if form is Format.JSON:
        typer.echo(json.dumps(_json(table, setting, document)))
    else:
        Console().print(show.text(table, setting))
        typer.echo("\n".join(show.lines(table, document)))
    if require and table.missed(document):
        raise typer.Exit(EXIT_MISSED)


def _stop(_number: int, _frame: object) -> None:
    """End as after an interrupt, so that the processes of the pool end too."""
    raise SystemExit(128 + signal.SIGTERM)


@app.command("strategies", epilog="Example: brakeline explore strategies --format json")
def strategies(form: Annotated[Format, typer.Option("--format", help="text or json.")] = Format.TEXT) -> None:
    """List the strategies of evasion: what each does, in which ways, and which rules are meant to see it."""
    from brakeline.explorer.evasion import STRATEGIES

    if form is Format.JSON:
        rows = [
            {"name": s.name, "does": s.does, "ways": s.ways, "seen_by": s.seen_by, "residual": s.residual}
            for s in STRATEGIES.values()
        ]
        typer.echo(json.dumps(rows))
        return
    for item in STRATEGIES.values():
        seen = f"residual: {item.residual}" if item.residual else f"meant to be seen by {', '.join(item.seen_by)}"
        typer.echo(f"{item.name}: {item.does}; {seen}")


def _read(path: Path) -> TreatyDocument:
    from brakeline.ledger.errors import BrakelineError
    from brakeline.treaty.commands.files import read_document

    try:
        return read_document(path)
    except (BrakelineError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_MISTAKE) from None


def _setting(
    document: TreatyDocument,
    names: list[str] | None,
    magnitudes: list[str] | None,
    seeds: range,
    days: int,
    sites: int,
    chips: int | None,
    jobs: int | None,
) -> Setting:
    from brakeline.explorer.evasion import STRATEGIES
    from brakeline.explorer.trials import Setting
    from brakeline.explorer.worlds.honest import SIZES, honest

    unknown = sorted(set(names or ()) - set(STRATEGIES))
    if unknown:
        raise typer.BadParameter(f"--strategy: no {', '.join(unknown)}; brakeline explore strategies lists them")
    count = chips or SIZES[0]
    first = honest(document, 0, days, 1, count).first
    capacity = first.flop(first.chips * days * 86_400_000, 1000)
    goal = document.goals.significant_quantity_flop.value
    flop = [_flop(text) for text in magnitudes or ()] or [capacity // 1000, capacity // 100, capacity // 10, goal]
    chosen = tuple(name for name in STRATEGIES if not names or name in names)
    cores = jobs or os.cpu_count() or 1
    return Setting(days, sites, tuple(seeds), tuple(sorted(set(flop))), chosen, cores, count)


def _flop(text: str) -> int:
    """Read ``1e24`` or ``2.5e23`` exactly."""
    from decimal import Decimal, InvalidOperation

    try:
        value = Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"--magnitude: expected FLOP as 1e24, found {text!r}") from None
    if not value.is_finite() or value != value.to_integral_value() or not 0 < value < 10**40:
        raise typer.BadParameter(f"--magnitude: expected a whole number of FLOP, found {text!r}")
    return int(value)


def _json(table: Table, setting: Setting, document: TreatyDocument) -> dict[str, object]:
    from brakeline.treaty.findings import Severity

    honest = table.honest
    return {
        "treaty": document.digest,
        "days": setting.days,
        "sites": setting.sites,
        "chips": setting.chips,
        "seeds": list(setting.seeds),
        "honest": {
            "site_years": float(honest.site_years),
            "findings": dict(honest.findings),
            "per_site_year": {severity.value: honest.rate(severity) for severity in Severity},
        },
        "rows": [
            {
                "strategy": row.strategy,
                "way": row.way,
                "flop": str(row.flop),
                "trials": row.trials,
                "caught": row.caught,
                "interval": row.interval,
                "rules": dict(row.rules),
                "delay_ms": row.delay_ms,
            }
            for row in table.rows
        ],
        "missed": sorted({row.strategy for row in table.missed(document)}),
    }
