"""``brakeline explore sweep``: many designs of a treaty at once.

Added to the commands of :mod:`brakeline.explorer.commands`; what it computes is in :mod:`brakeline.explorer.sweeps`.
"""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.explorer.commands_answers import EXIT_MISTAKE, ScenarioArgument, questions, read
from brakeline.explorer.formats import Format, FormatOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from brakeline.explorer.answers.forms import AnswerId, Cell, Series
    from brakeline.explorer.scenario.load import Scenario
    from brakeline.explorer.sweeps.axes import Axis
    from brakeline.explorer.sweeps.file import Progress as Told


def sweep(
    scenario: ScenarioArgument,
    axis: Annotated[list[str], typer.Option(help="TERM=1,2,3 or TERM=low:high:count; several times.")],
    out: Annotated[Path, typer.Option(help="Keeps what is done; the same command goes on with it.")],
    question: Annotated[
        list[str] | None, typer.Option(help="Ask this of every design, whatever term it moves; several times.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Worlds; default: the scenario's.", min=10)] = None,
    jobs: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    table: Annotated[Path | None, typer.Option(help="Write every design into this file, as CSV.")] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw the designs into this file, as SVG: the headline of the first question, along the first term."
        ),
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Try every combination of the values of some terms of the treaty. Stopped, it goes on where it was.

    Without --question the terms are parameters of rules that sum; it says how often the honest are accused and the
    worst cheat is caught, and prints the designs that no other beats. With it, any term may move (lines, deadlines,
    quorums, goals), and the headline of each answer is printed; the table has all their figures.
    """
    from brakeline.ledger.errors import BrakelineError
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    signal.signal(signal.SIGTERM, _stop)
    wanted = sorted(questions(question), key=question.index) if question else []
    asked = read(scenario)
    columns = (TextColumn("chunks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        axes = list(_axes(axis, asked, every=bool(wanted)))
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            shown = bar.add_task("chunks", total=None)

            def told(n: int, total: int) -> None:
                bar.update(shown, completed=n, total=total)

            done, drawn = _swept(asked, axes, wanted, out, trials, jobs, told)
    except BrakelineError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_MISTAKE) from None
    if table is not None:
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([[column.name for column in done.columns], *done.rows])
    if plot is not None:
        from brakeline.explorer.page.charts import svg

        plot.write_text(svg(drawn), "utf-8")
    (_show_answers if wanted else _show_frontier)(done, form)


def _axes(written: Iterable[str], scenario: Scenario, *, every: bool) -> Iterable[Axis]:
    from brakeline.explorer.sweeps.axes import axis
    from brakeline.explorer.sweeps.sums import FIELDS

    return (axis(text, scenario, None if every else FIELDS) for text in written)


def _swept(
    scenario: Scenario,
    axes: Sequence[Axis],
    wanted: Sequence[AnswerId],
    out: Path,
    trials: int | None,
    jobs: int,
    told: Told,
) -> tuple[Series, Series]:
    """Return all designs, and how they are drawn."""
    if wanted:
        from brakeline.explorer.sweeps import answers

        done = answers.run(scenario, axes, wanted, out, trials, jobs, told)
        return done, answers.drawn(done, axes)
    from brakeline.explorer.sweeps import sums

    done = sums.run(scenario, axes, out, trials, jobs, told)
    return done, done


def _show_frontier(done: Series, form: Format) -> None:
    from brakeline.explorer.sweeps.sums import frontier

    names = [column.name for column in done.columns]
    best = frontier(done)
    if form is Format.JSON:
        rows = [dict(zip(names, row, strict=True)) for row in best]
        typer.echo(json.dumps({"designs": len(done.rows), "frontier": rows}))
        return
    typer.echo(f"{done.title}; {len(best)} that no other beats:")
    for row in best:
        typer.echo(", ".join(f"{name} {_cell(cell)}" for name, cell in zip(names, row, strict=True)))


def _show_answers(done: Series, form: Format) -> None:
    from brakeline.explorer.sweeps.answers import REFUSED, headlines
    from rich.console import Console
    from rich.table import Table

    if form is Format.JSON:
        typer.echo(json.dumps({"designs": len(done.rows), "rows": done.records()}))
        return
    terms = [column for column in done.columns if "." not in column.name and column.name != REFUSED]
    shown = [*terms, *headlines(done)]
    printed = Table(title=done.title, box=None, pad_edge=False, title_justify="left")
    for column in shown:
        printed.add_column(f"{column.title} ({column.unit})" if column.unit else column.title, overflow="fold")
    for record in done.records():
        refused = record[REFUSED]
        cells = [_cell(record[column.name]) for column in shown]
        printed.add_row(*(cells if refused is None else [*cells[: len(terms)], str(refused)]))
    Console().print(printed)


def _stop(_number: int, _frame: object) -> None:
    """End as after an interrupt, so that the processes of the pool end too."""
    raise SystemExit(143)


def _cell(cell: Cell) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else "none" if cell is None else str(cell)


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    app.command(
        "sweep",
        epilog="Example: brakeline explore sweep eu-1e25 --axis line-systemic-risk=1e24:1e26:5 --question burden "
        "--out sweep.jsonl --plot burden.svg",
    )(sweep)
